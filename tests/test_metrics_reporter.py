"""The file of metrics: what is in it after releases that really ran, who writes it, and who may read it."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from released import __version__
from released.audit.reader import AuditReader
from released.audit.writer import Commit
from released.errors import Unavailable
from released.metrics.metrics import Metrics
from released.metrics.reporter import write_atomically
from released.model.events import (
    ConfigurationReloaded,
)
from releasephase.v1.release_service_pb2 import CancelReleaseRequest, EnvironmentVariable
from support import audit_log
from support.app import App, Serve, release_request
from support.docker_engine import Engine
from support.process import DaemonProcess
from support.prometheus import Samples, read, until, until_gone

NO_ENGINE = "unix:///nonexistent/docker.sock"
WRITING_SECONDS = 60
T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path: a unix socket's may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "released.prom"


async def test_file_tells_of_releases_that_really_ran(serve: Serve, path: Path) -> None:
    """Of each result and cause, of each command that ran, and of their output."""
    async with serve(metrics={"path": path}) as app:
        succeeded = await app.run("printf 12345", "printf 123 >&2", environment="test")
        failed = await app.run("false", "true")
        timed_out = await app.run("sleep 60", timeout=0.2)
        running = await app.start("echo up; sleep 60")
        await app.until_output(running.name, b"up\n")
        await app.cancel(running.name)
        cancelled = await app.outcome(running.name)
        refused = await app.run("true", networks=["nonexistent"])
    assert (succeeded.state, cancelled.state) == ("SUCCEEDED", "CANCELLED")
    samples = read(path)
    ended = {name: value for name, value in samples.items() if name.startswith("released_releases_total")}
    assert ended == {
        'released_releases_total{result="succeeded",target="shop/test"}': 1,
        'released_releases_total{cause="command_failed",result="failed",target="shop/live"}': 1,
        'released_releases_total{cause="command_timed_out",result="failed",target="shop/live"}': 1,
        'released_releases_total{cause="container_failed",result="failed",target="shop/live"}': 1,
        'released_releases_total{result="cancelled",target="shop/live"}': 1,
    }
    assert [outcome.cause for outcome in (failed, timed_out, refused)] == [
        "COMMAND_FAILED",
        "COMMAND_TIMED_OUT",
        "CONTAINER_FAILED",
    ]
    counts = {
        result: samples[f'released_command_duration_seconds_count{{result="{result}"}}']
        for result in ("succeeded", "failed", "timed_out", "cancelled")
    }
    assert counts == {"succeeded": 2, "failed": 1, "timed_out": 1, "cancelled": 1}
    assert samples['released_release_duration_seconds_count{result="failed"}'] == 3
    assert samples["released_release_queue_seconds_count"] == 5
    assert samples["released_releases_accepted_total"] == 5
    assert samples['released_output_bytes_total{stream="stdout"}'] == len("12345") + len("up\n")
    assert samples['released_output_bytes_total{stream="stderr"}'] == len("123")
    assert samples["released_engine_up"] == samples["released_audit_writable"] == 1
    assert samples["released_audit_commit_seconds_count"] > 0
    assert samples[f'released_build_info{{version="{__version__}"}}'] == 1


async def test_durations_are_those_that_the_history_has(app_with_metrics: App, path: Path) -> None:
    """In seconds."""
    release = (await app_with_metrics.run("sleep 0.2")).release
    samples = await until(path, lambda samples: samples["released_release_queue_seconds_count"] == 1)
    (run,) = release.command_runs
    expected = {
        'released_command_duration_seconds_sum{result="succeeded"}': (run.start_time, run.end_time),
        'released_release_duration_seconds_sum{result="succeeded"}': (release.start_time, release.end_time),
        "released_release_queue_seconds_sum": (release.create_time, release.start_time),
    }
    for name, (began, ended) in expected.items():
        seconds = (ended.ToNanoseconds() - began.ToNanoseconds()) / 1e9
        assert samples[name] == pytest.approx(seconds, abs=2e-6)


@pytest.fixture
async def app_with_metrics(serve: Serve, path: Path) -> AsyncIterator[App]:
    async with serve(metrics={"path": path, "interval": 1.0}, max_concurrent=1) as app:
        yield app


async def test_file_tells_how_many_run_and_wait(app_with_metrics: App, path: Path) -> None:
    """As it is while they do."""
    app = app_with_metrics
    names = [
        (await app.start("echo up; sleep 60", application=name)).name for name in ("shop", "blog", "wiki")
    ]

    def waits(samples: Samples) -> bool:
        return (samples["released_releases_running"], samples["released_releases_queued"]) == (1, 2)

    await until(path, waits)
    for name in reversed(names):
        await app.cancel(name)
    await until(path, lambda samples: samples["released_releases_running"] == 0)
    assert read(path)["released_releases_queued"] == 0


async def test_adopted_release_is_counted_once(
    folder: Path, path: Path, engine: Engine, busybox_image: str
) -> None:
    """By the daemon that saw its end, with the time that it took under both; what had ended before is not."""
    settings = f'[metrics]\npath = "{path}"\n'
    with DaemonProcess(folder, engine.url, settings) as daemon:
        first = daemon.stub.StartRelease(release_request("true", image=busybox_image))
        assert daemon.outcome(first.name).state == "SUCCEEDED"
        second = daemon.stub.StartRelease(
            release_request("echo up; until [ -e /tmp/go ]; do sleep 0.1; done", image=busybox_image)
        )
        daemon.until_output(second.name, b"up\n")
        daemon.kill()
        daemon.start()
        await until(path, lambda samples: samples["released_releases_running"] == 1)
        daemon.stub.CancelRelease(CancelReleaseRequest(name=second.name))
        release = daemon.outcome(second.name).release
    samples = read(path)
    assert samples["released_releases_adopted_total"] == 1
    assert samples["released_releases_accepted_total"] == 0
    ended = {name: value for name, value in samples.items() if name.startswith("released_releases_total")}
    assert ended == {'released_releases_total{result="cancelled",target="shop/live"}': 1}
    seconds = (release.end_time.ToNanoseconds() - release.start_time.ToNanoseconds()) / 1e9
    counted = samples['released_release_duration_seconds_sum{result="cancelled"}']
    assert counted == pytest.approx(seconds, abs=2e-6)


async def test_no_text_of_a_caller_is_in_the_file(serve: Serve, path: Path) -> None:
    """But for the target, whose form is checked."""
    secret = EnvironmentVariable(name="TOKEN", value="hush-hush", secret=True)
    async with serve(metrics={"path": path}) as app:
        request = {"env": [secret], "labels": {"ticket": "hush-label"}, "requested_by": "hush-person"}
        await app.run("echo hush-output; exit 3", application="shop", **request)
    text = path.read_text()
    assert 'target="shop/live"' in text
    assert "hush" not in text


def test_engine_that_is_away_is_told(folder: Path, path: Path) -> None:
    """By its state, and by the calls that it did not answer."""
    with DaemonProcess(folder, NO_ENGINE, f'[metrics]\npath = "{path}"\n'):
        pass
    samples = read(path)
    assert samples["released_engine_up"] == 0
    assert samples['released_engine_errors_total{kind="unreachable"}'] >= 1


async def test_file_that_cannot_be_written_is_told_once_and_stops_nothing(
    serve: Serve, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start, at the end: nobody wants to read it every 15 seconds."""
    path = folder / "missing" / "released.prom"
    async with serve(metrics={"path": path}) as app:
        assert (await app.run("true")).state == "SUCCEEDED"
    assert caplog.text.count("can't be written") == 1
    assert str(path) in caplog.text


async def test_file_is_written_again_when_that_is_possible_again(serve: Serve, folder: Path) -> None:
    """What was counted meanwhile is in it."""
    path = folder / "missing" / "released.prom"
    async with serve(metrics={"path": path, "interval": 1.0}) as app:
        await app.run("true")
        path.parent.mkdir()
        await until(path, lambda samples: samples["released_release_queue_seconds_count"] == 1)


async def test_release_that_cannot_be_looked_up_does_not_keep_the_rest_from_being_told(
    serve: Serve, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An audit log in trouble is what somebody wants to be told of."""

    async def fail(reader: AuditReader, release_id: str) -> None:
        raise Unavailable("AUDIT_UNAVAILABLE", "the audit log can't be read")

    async with serve(metrics={"path": path, "interval": 3600.0}) as app:
        await app.run("true")
        monkeypatch.setattr(AuditReader, "release", fail)
    samples = read(path)
    assert samples["released_releases_accepted_total"] == 1
    assert samples["released_release_queue_seconds_count"] == 0


async def test_metrics_come_and_go_with_the_configuration(folder: Path) -> None:
    """At once, as long as it is read again; a file that nobody writes any more does not stay."""
    one, other = folder / "one.prom", folder / "other.prom"

    def reconfigure(settings: str) -> None:
        text = daemon.config.read_text().partition("[metrics]")[0]
        daemon.config.write_text(f"{text}[metrics]\n{settings}\n")
        os.kill(daemon.pid, signal.SIGHUP)

    with DaemonProcess(folder, NO_ENGINE) as daemon:
        reconfigure(f'path = "{one}"')
        await until(one, lambda samples: samples["released_engine_up"] == 0)
        reconfigure(f'path = "{other}"')
        await until(other, lambda samples: samples["released_engine_up"] == 0)
        await until_gone(one)
        reconfigure("")
        await until_gone(other)
    assert not list(folder.glob("*.prom*"))


async def test_without_a_file_nothing_is_counted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing that could."""

    def made() -> Metrics:
        raise AssertionError("metrics are made that nobody wants")

    monkeypatch.setattr("released.metrics.reporter.Metrics", made)
    async with serve() as app:
        assert (await app.run("true")).state == "SUCCEEDED"


def test_disk_that_hangs_does_not_keep_the_daemon_from_ending(folder: Path, path: Path) -> None:
    """To open a pipe that nobody reads hangs as a network file system does; so does the last writing."""
    os.mkfifo(path.with_name("released.prom.new"))
    with DaemonProcess(folder, NO_ENGINE, f'[metrics]\npath = "{path}"\n') as daemon:
        assert daemon.terminate() == 0, daemon.log
    assert not path.exists()


def test_anybody_may_read_the_file_whatever_the_umask(path: Path) -> None:
    """node_exporter runs as a user of its own, and the daemon's unit keeps others out of its files."""
    before = os.umask(0o077)
    try:
        write_atomically(path, b"a 1\n")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_link_in_place_of_the_unfinished_file_is_not_followed(path: Path) -> None:
    """Whoever may write in the folder can't have the daemon overwrite another file."""
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.with_name("released.prom.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        write_atomically(path, b"a 1\n")
    assert victim.read_text() == "precious"
    write_atomically(path, b"a 1\n")
    assert path.read_bytes() == b"a 1\n"


def test_reader_sees_all_of_a_text_or_all_of_another(path: Path) -> None:
    """However often it is replaced meanwhile."""
    texts = [b"a 1\n" * 50_000, b"b 2\n" * 50_000]
    write_atomically(path, texts[0])
    written: list[int] = []
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(200):
                write_atomically(path, texts[number % 2])
                written.append(number)
        finally:
            done.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    deadline = time.monotonic() + WRITING_SECONDS
    while not done.is_set() and time.monotonic() < deadline:
        assert path.read_bytes() in texts
    assert len(written) == 200


async def test_listener_that_fails_does_not_stop_the_audit_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect in counting is logged, and everything is recorded all the same."""
    async with audit_log.opened(folder / "audit.db") as audit:

        def fail(_: Commit) -> None:
            raise LookupError("a defect")

        audit.listen(fail)
        assert (await audit.append_own(ConfigurationReloaded())).sequence == 1
        assert (await audit.append_own(ConfigurationReloaded())).sequence == 2
    assert "a defect" in caplog.text
