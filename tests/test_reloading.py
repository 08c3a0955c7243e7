"""Reading the configuration again on SIGHUP: the real daemon, its events, its log, its notifications."""

import asyncio
import os
import pwd
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from released.config import Config, ConfigFile, Configuration, ReleasesConfig
from released.errors import ConfigError
from released.model.events import (
    OWN,
    AnyBody,
    ConfigurationRefused,
    ConfigurationReloaded,
    decode,
)
from released.reloading import reloading
from releasephase.v1.daemon_service_pb2 import ConfigurationStatus, GetStatusRequest
from releasephase.v1.release_service_pb2 import CancelReleaseRequest
from support import audit_log
from support.app import release_request
from support.daemon import BIN, START_SECONDS, write_config
from support.docker_engine import Engine
from support.process import DaemonProcess
from support.readiness import Readiness
from support.service_manager import ServiceManager, service_manager

NO_ENGINE = "unix:///nonexistent/docker.sock"
OWN_USER = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path: a unix socket's may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def daemon(folder: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(folder, NO_ENGINE) as daemon:
        yield daemon


@pytest.fixture
def manager(daemon: DaemonProcess) -> Iterator[ServiceManager]:
    with service_manager(daemon.folder) as manager:
        yield manager


def configure(daemon: DaemonProcess, settings: str, socket: str = "released.sock") -> None:
    """Write the daemon's configuration anew."""
    text = write_config(daemon.folder, NO_ENGINE, settings).read_text()
    daemon.config.write_text(text.replace("released.sock", socket))


def reload(daemon: DaemonProcess, manager: ServiceManager) -> dict[str, str]:
    """Have the daemon read its configuration again; what its service manager is told in the end."""
    os.kill(daemon.pid, signal.SIGHUP)
    return manager.until_reloaded()


def own_events(daemon: DaemonProcess) -> list[AnyBody]:
    """What is recorded of the daemon itself, whatever was still on its way there."""
    # The log is written in order: this release comes after all that there was.
    daemon.stub.StartRelease(release_request(image="shop:1"))
    with closing(sqlite3.connect(daemon.audit)) as database:
        rows = database.execute("SELECT body FROM events WHERE release_id = ? ORDER BY sequence", (OWN,))
        return [decode(body) for (body,) in rows]


def max_concurrent(daemon: DaemonProcess) -> int:
    return daemon.daemon.GetStatus(GetStatusRequest()).max_concurrent


def configuration_status(daemon: DaemonProcess) -> ConfigurationStatus:
    return daemon.daemon.GetStatus(GetStatusRequest()).configuration


def test_good_file_counts_at_once(daemon: DaemonProcess, manager: ServiceManager) -> None:
    """An event names the keys, the log and the service manager are told."""
    configure(daemon, "output_cap = 4096\n[releases]\nstop_grace = 5\nmax_concurrent = 3\n")
    told = reload(daemon, manager)
    assert max_concurrent(daemon) == 3
    changed = ("[audit] output_cap", "[releases] max_concurrent")
    assert own_events(daemon) == [ConfigurationReloaded(changed=changed)]
    said = "the configuration was read again; changed: [audit] output_cap, [releases] max_concurrent"
    assert told["STATUS"] == said
    assert said in daemon.log


def test_file_that_is_the_same_changes_nothing(daemon: DaemonProcess, manager: ServiceManager) -> None:
    """It was read all the same, and the event says so."""
    assert reload(daemon, manager)["STATUS"].endswith("changed: nothing")
    assert own_events(daemon) == [ConfigurationReloaded()]


def test_service_manager_knows_when_a_reload_begins(daemon: DaemonProcess, manager: ServiceManager) -> None:
    """With the time, by which it tells one from another, in the same message."""
    before = time.monotonic_ns() // 1000
    os.kill(daemon.pid, signal.SIGHUP)
    began = manager.receive()
    assert began["RELOADING"] == "1"
    assert before <= int(began["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert manager.receive()["READY"] == "1"


def test_what_counts_from_the_start_waits_and_the_rest_counts(
    daemon: DaemonProcess, manager: ServiceManager
) -> None:
    """The daemon stays where it is reached; each further reading says again what waits."""
    configure(daemon, "reserve = 1048576\n[releases]\nstop_grace = 5\nmax_concurrent = 3\n", "other.sock")
    told = reload(daemon, manager)
    waits = ("[server] socket", "[audit] reserve")
    assert told["STATUS"].endswith("; not before a restart: [server] socket, [audit] reserve")
    assert tuple(configuration_status(daemon).keys_at_restart) == waits
    assert max_concurrent(daemon) == 3
    assert not (daemon.folder / "other.sock").exists()
    reload(daemon, manager)
    assert own_events(daemon) == [
        ConfigurationReloaded(changed=("[releases] max_concurrent",), at_restart=waits),
        ConfigurationReloaded(at_restart=waits),
    ]


def half_written(file: Path) -> None:
    file.write_text("[releases]\nmax_concurrent = 3\nstop_grace =")


def with_an_unknown_key(file: Path) -> None:
    file.write_text("[releases]\nmax_concurrent = 3\nstop_race = 5\n")


def out_of_range(file: Path) -> None:
    file.write_text("[releases]\nmax_concurrent = 0\n")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (half_written, "{file} can't be used"),
        (with_an_unknown_key, "{file}, line 3: [releases] stop_race: there is no such key"),
        (out_of_range, "{file}, line 2: [releases] max_concurrent: "),
        (Path.unlink, "{file} does not exist"),
        (a_folder, "{file} can't be used"),
    ],
)
def test_bad_file_is_refused_and_what_was_before_stays(
    daemon: DaemonProcess, manager: ServiceManager, spoil: Callable[[Path], None], message: str
) -> None:
    """An event, the log and the service manager say why; the daemon goes on."""
    before = max_concurrent(daemon)
    spoil(daemon.config)
    told = reload(daemon, manager)
    (event,) = own_events(daemon)
    assert isinstance(event, ConfigurationRefused)
    assert message.format(file=daemon.config) in event.message
    assert event.message in told["STATUS"]
    assert f"refused, what was before stays: {event.message}" in daemon.log
    assert max_concurrent(daemon) == before
    assert configuration_status(daemon).message == event.message


def test_file_that_is_mended_counts(daemon: DaemonProcess, manager: ServiceManager) -> None:
    """A refusal is no end."""
    half_written(daemon.config)
    reload(daemon, manager)
    configure(daemon, "[releases]\nmax_concurrent = 3\nstop_grace = 5\n")
    reload(daemon, manager)
    assert max_concurrent(daemon) == 3
    assert configuration_status(daemon) == ConfigurationStatus()


def test_many_requests_at_once_end_with_the_last_file(daemon: DaemonProcess) -> None:
    """Files that are good, bad and half written, and a signal for each: what is there at last counts."""
    for number in range(200):
        configure(daemon, f"[releases]\nmax_concurrent = {number % 7}\nstop_grace = 5\n")
        os.kill(daemon.pid, signal.SIGHUP)
    configure(daemon, "[releases]\nmax_concurrent = 99\nstop_grace = 5\n")
    with service_manager(daemon.folder) as manager:
        os.kill(daemon.pid, signal.SIGHUP)
        while max_concurrent(daemon) != 99:
            manager.until_reloaded()
    events = own_events(daemon)
    assert all(isinstance(event, ConfigurationReloaded | ConfigurationRefused) for event in events)


def test_signal_while_the_daemon_starts_does_not_end_it(folder: Path) -> None:
    """From when it begins to ignore them, its first own act, until it is ready, however many there are."""
    daemon = DaemonProcess(folder, NO_ENGINE)
    with Readiness(folder) as ready, ExitStack() as stack:
        daemon.launch(ready.environment)
        stack.push(daemon)
        until_process_handles(daemon, signal.SIGHUP)
        while daemon.is_alive and ready.wait(daemon.pid, 0.001):
            os.kill(daemon.pid, signal.SIGHUP)
        assert daemon.is_alive, daemon.log
        assert max_concurrent(daemon) == 16


def until_process_handles(daemon: DaemonProcess, number: signal.Signals) -> None:
    """Wait until a signal does not have its default effect on the daemon's process, proc(5)."""
    bit = 1 << (number - 1)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and daemon.is_alive:
        status = dict(
            line.split(":\t") for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
        )
        if bit & (int(status["SigIgn"], 16) | int(status["SigCgt"], 16)):
            return
    raise AssertionError(f"the daemon does not handle {number.name}:\n{daemon.log}")


def test_signal_is_ignored_before_anything_else_is_done() -> None:
    """Before the imports, too, which take most of the time until there is a handler."""
    script = (
        "import signal, sys; before = set(sys.modules); import released.__main__ as program;"
        "assert not {'asyncio', 'grpc', 'released.cli'} & (set(sys.modules) - before), 'imported too early';"
        "import released.cli; released.cli.main = lambda: print(signal.getsignal(signal.SIGHUP).name);"
        "program.main()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert (done.stdout, done.stderr) == ("SIG_IGN\n", "")


def test_signals_while_the_daemon_ends_do_not_disturb_it(daemon: DaemonProcess) -> None:
    """It ends as it would have, with 0, whenever one comes."""
    os.kill(daemon.pid, signal.SIGTERM)
    # Without a pause, signals come faster than any Python program can take them, and it never ends.
    while not daemon.ends_within(0.001):
        os.kill(daemon.pid, signal.SIGHUP)
    assert daemon.wait() == 0, daemon.log


def test_default_file_that_goes_away_is_not_taken_for_no_rules(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be missing from the start, but an editor that writes it anew must not open the doors."""
    default = folder / "config.toml"
    monkeypatch.setattr("released.config.loading.DEFAULT_PATH", default)
    file = ConfigFile(None)
    assert file.load() == Config()
    default.write_text("[releases]\nmax_concurrent = 3\n")
    assert file.load().releases.max_concurrent == 3
    default.unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        file.load()


async def test_configuration_counts_also_while_nothing_can_be_recorded(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who may do what can be changed at any time; the log says what could not be recorded."""
    path = folder / "config.toml"
    path.write_text("[releases]\nmax_concurrent = 3\n")
    configuration, wanted = Configuration(Config()), asyncio.Event()
    told = asyncio.get_running_loop().create_future()
    configuration.listen(told.set_result)
    async with audit_log.opened(folder / "audit.db") as audit:
        await audit.close()
        async with reloading(ConfigFile(path), configuration, audit, wanted):
            wanted.set()
            assert (await told).releases == ReleasesConfig(max_concurrent=3)
    assert configuration.current.releases.max_concurrent == 3
    assert "could not be recorded: the daemon is shutting down" in caplog.text


def test_file_is_read_again_while_somebody_locks_the_audit_log(
    daemon: DaemonProcess, manager: ServiceManager
) -> None:
    """A backup, say: each reading counts and ends, and is recorded when that is possible again."""
    with closing(sqlite3.connect(daemon.audit, isolation_level=None)) as backup:
        backup.execute("BEGIN IMMEDIATE")
        for limit in (3, 4):
            configure(daemon, f"[releases]\nmax_concurrent = {limit}\nstop_grace = 5\n")
            assert reload(daemon, manager)["READY"] == "1"
            assert max_concurrent(daemon) == limit
        half_written(daemon.config)
        assert "refused" in reload(daemon, manager)["STATUS"]
        backup.execute("ROLLBACK")
    *reloaded, refused = own_events(daemon)
    assert reloaded == 2 * [ConfigurationReloaded(changed=("[releases] max_concurrent",))]
    assert isinstance(refused, ConfigurationRefused)


def test_file_that_hangs_stops_nothing_else(daemon: DaemonProcess, manager: ServiceManager) -> None:
    """To open a pipe that nobody writes hangs as a network file system does; the daemon serves, and ends."""
    before = max_concurrent(daemon)
    daemon.config.unlink()
    os.mkfifo(daemon.config)
    os.kill(daemon.pid, signal.SIGHUP)
    assert manager.receive()["RELOADING"] == "1"
    assert max_concurrent(daemon) == before
    assert daemon.terminate() == 0, daemon.log


def test_higher_limit_starts_what_waits(folder: Path, engine: Engine, busybox_image: str) -> None:
    """At once; what runs goes on with what counted when it began."""
    settings = "[releases]\nmax_concurrent = {limit}\nstop_grace = 5\nstart_timeout = {start}\n"
    first = settings.format(limit=1, start=60)
    with DaemonProcess(folder, engine.url, first) as daemon, service_manager(folder) as manager:
        names = [
            daemon.stub.StartRelease(
                release_request("echo up; sleep 60", image=busybox_image, application=application)
            ).name
            for application in ("shop", "blog")
        ]
        daemon.until_output(names[0], b"up\n")
        write_config(folder, engine.url, settings.format(limit=2, start=61))
        reload(daemon, manager)
        daemon.until_output(names[1], b"up\n")
        for name in names:
            daemon.stub.CancelRelease(CancelReleaseRequest(name=name))
            assert daemon.outcome(name).state == "CANCELLED"


def test_check_says_that_a_file_is_good_and_touches_nothing(daemon: DaemonProcess) -> None:
    """Also beside a daemon that runs on it."""
    before = sorted(daemon.folder.iterdir()), own_events(daemon)
    checked = check(daemon.config)
    assert (checked.returncode, checked.stdout, checked.stderr) == (
        0,
        f"{daemon.config} is good, as {OWN_USER} sees it\n",
        "",
    )
    assert (sorted(daemon.folder.iterdir()), own_events(daemon)) == before


def test_check_makes_nothing(folder: Path) -> None:
    """Neither the folders that the file names, nor anything in them."""
    config = folder / "config.toml"
    config.write_text(f'[server]\nsocket = "{folder}/run/r.sock"\n[audit]\npath = "{folder}/lib/audit.db"\n')
    assert check(config).returncode == 0
    assert list(folder.iterdir()) == [config]


def test_check_of_a_default_file_that_is_missing_says_so(folder: Path) -> None:
    """It need not be there."""
    missing = folder / "config.toml"
    script = f"""
import pathlib, released.cli
released.cli.DEFAULT_PATH = released.config.loading.DEFAULT_PATH = pathlib.Path({str(missing)!r})
released.cli.main(["--check-config"])
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert (done.returncode, done.stdout) == (
        0,
        f"there is no {missing}: the defaults are good, as {OWN_USER} sees it\n",
    )


def test_check_names_file_line_and_key(folder: Path) -> None:
    """On standard error, alone, and the exit code is 2."""
    config = folder / "config.toml"
    config.write_text("[server]\nsockets = '/a'\n")
    checked = check(config)
    assert (checked.returncode, checked.stdout) == (2, "")
    assert checked.stderr == f"{config}, line 2: [server] sockets: there is no such key\n"


def check(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "released", "--check-config", "--config", config],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
