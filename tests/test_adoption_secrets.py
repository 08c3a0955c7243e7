"""Secrets stay masked when the daemon is killed, and started again, while they are being printed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from releasephase.v1.release_pb2 import CONTAINER_MODE_PER_COMMAND, CONTAINER_MODE_PER_RELEASE, Mount
from releasephase.v1.release_service_pb2 import EnvironmentVariable
from support.app import STDERR, STDOUT, Outcome, release_request
from support.docker_engine import Engine
from support.process import DaemonProcess, daemon_in_memory

SECRET = "0123456789correct-horse-battery-staple"
MODES = [CONTAINER_MODE_PER_RELEASE, CONTAINER_MODE_PER_COMMAND]
HALF, REST = SECRET[:12], SECRET[12:]


@pytest.fixture(params=MODES, ids=["per_release", "per_command"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    with daemon_in_memory(engine.url) as daemon:
        yield daemon


def start(daemon: DaemonProcess, image: str, folder: Path, line: str, **fields: Any) -> str:
    """Start a release of one command, which has the secret; `folder` is its /m. Return its name."""
    env = [EnvironmentVariable(name="PASSWORD", value=SECRET)]
    mounts = [Mount(source=str(folder), target="/m")]
    return daemon.stub.StartRelease(release_request(line, image=image, env=env, mounts=mounts, **fields)).name


def assert_is_seamless(daemon: DaemonProcess, outcome: Outcome) -> None:
    """Nothing had to be aligned, nothing is lost, and no file has a part of the secret."""
    assert outcome.state == "SUCCEEDED", outcome.message
    assert not {"output_realigned", "output_lost"} & set(outcome.kinds)
    for path in (daemon.audit, daemon.audit.with_name("audit.db-wal"), daemon.folder / "released.log"):
        for part in (HALF, REST, SECRET[4:20]):
            assert part.encode() not in path.read_bytes()


def halves(folder: str = "/m") -> str:
    """A shell line that prints the secret in two halves, the second one when it is let go on."""
    return (
        f'printf "it is %s" "$(printf "$PASSWORD" | head -c {len(HALF)})"; touch {folder}/half; '
        f"until [ -e {folder}/go ]; do sleep 0.05; done; "
        f'printf "%s, ok\\n" "$(printf "$PASSWORD" | tail -c {len(REST)})"; echo "and $PASSWORD again" >&2'
    )


def await_half(folder: Path) -> None:
    while not (folder / "half").exists():
        pass


@pytest.mark.parametrize("goes_on", ["while the daemon is away", "when it is back"])
def test_daemon_is_killed_between_two_halves_of_a_secret(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, mode: Any, goes_on: str
) -> None:
    """Whether the second half is in the engine's log only, or comes live: one `***`."""
    name = start(daemon, busybox_image, tmp_path, halves(), container_mode=mode)
    daemon.until_output(name, b"it is ")
    await_half(tmp_path)
    daemon.kill()
    if goes_on == "while the daemon is away":
        (tmp_path / "go").touch()
        await_log(engine, b", ok")
        daemon.start()
    else:
        daemon.start()
        until(daemon, name, "release_adopted")
        (tmp_path / "go").touch()
    outcome = daemon.outcome(name)
    assert outcome.output(stream=STDOUT) == b"it is ***, ok\n"
    assert outcome.output(stream=STDERR) == b"and *** again\n"
    assert_is_seamless(daemon, outcome)


def test_daemon_is_killed_again_and_again_in_output_full_of_secrets(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path, mode: Any
) -> None:
    """What is stored is masked, and so is what it is compared with: every line is there, once."""
    line = (
        "for n in 0 1 2; do i=0; while [ $i -lt 1000 ]; do "
        'echo "line $i $PASSWORD$PASSWORD."; echo "error $i ${PASSWORD%????}" >&2; i=$((i + 1)); '
        "done; until [ -e /m/$n ]; do sleep 0.05; done; done"
    )
    name = start(daemon, busybox_image, tmp_path, line, container_mode=mode)
    for number in range(3):
        daemon.until_output(name, b"line 1")
        daemon.kill()
        (tmp_path / str(number)).touch()
        daemon.start()
    outcome = daemon.outcome(name)
    assert outcome.output(stream=STDOUT) == b"".join(b"line %d ***.\n" % i for i in range(1000)) * 3
    cut_off = SECRET[:-4].encode()
    assert outcome.output(stream=STDERR) == b"".join(b"error %d %s\n" % (i, cut_off) for i in range(1000)) * 3
    assert not {"output_realigned", "output_lost"} & set(outcome.kinds)


def test_secrets_that_only_the_engine_has_are_masked(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path, mode: Any
) -> None:
    """The daemon's runtime folder was emptied: its containers still have their environment."""
    name = start(daemon, busybox_image, tmp_path, halves(), container_mode=mode)
    daemon.until_output(name, b"it is ")
    await_half(tmp_path)
    daemon.kill()
    for file in daemon.secrets.iterdir():
        file.unlink()
    (tmp_path / "go").touch()
    daemon.start()
    outcome = daemon.outcome(name)
    assert outcome.output(stream=STDOUT) == b"it is ***, ok\n"
    assert_is_seamless(daemon, outcome)


def await_log(engine: Engine, data: bytes) -> None:
    """Wait until the engine's own log of the one container of a release has this."""
    filters = '{"label": ["releasephase.release"]}'
    (container,) = engine.http.json("GET", "/containers/json", {"all": "1", "filters": filters})
    path = f"/containers/{container['Id']}/logs"
    while data not in engine.http.request("GET", path, {"stdout": "1"}):
        pass


def until(daemon: DaemonProcess, name: str, kind: str) -> None:
    watch = daemon.watch(name)
    for event in watch:
        if event.WhichOneof("payload") == kind:
            watch.cancel()
            return
    raise AssertionError(f"{name} ended without {kind}")
