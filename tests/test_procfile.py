"""The release command of a Procfile: found in its text, and in an image on a real engine."""

import io
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.crash import VARIABLE, CrashPoint
from released.release.declaration import Malformed
from released.release.procfile import procfile_commands
from releasephase.v1.command_service_pb2 import Command, CreateCommandRequest, DeleteCommandRequest
from releasephase.v1.release_pb2 import CommandRun
from support import busybox
from support.app import Serve, release_request
from support.docker_engine import Engine
from support.process import DaemonProcess

HOUR = timedelta(hours=1)

PROCFILE = b"""\
web: gunicorn shop.wsgi --port $PORT

# release: not this one
release: ./manage.py migrate --noinput
worker-1: celery worker
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path: a unix socket's may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


def procfile_image(engine: Engine, content: bytes, *changes: str, path: str = "app/Procfile") -> str:
    """An image with a file, a Procfile in its working directory unless something else is said."""
    archive = io.BytesIO(busybox.shell_image())
    with tarfile.open(fileobj=archive, mode="a") as tar:
        member = tarfile.TarInfo(path)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return engine.make_image(archive.getvalue(), ["WORKDIR /app", *changes], name="procfile")


def test_release_is_taken_and_nothing_else() -> None:
    """Other process types and comments are none of ours."""
    (command,) = procfile_commands(PROCFILE, HOUR)
    assert (command.label, command.line) == ("Release command", "./manage.py migrate --noinput")
    assert (command.source.value, command.timeout) == ("PROCFILE", HOUR)
    assert procfile_commands(b"web: gunicorn\n", HOUR) == ()
    assert procfile_commands(b"", HOUR) == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"release: a\nrelease: b", "line 2 has a second release command: line 1 has one"),
        (b"web: a\n\nrelease:  \n", "line 3: the release command must not be empty"),
        (b"release: \xff", "it is not UTF-8: "),
        (b"release: a\0b", "line 1: the release command must not contain a NUL character"),
    ],
)
def test_what_is_no_release_command_is_refused_with_its_line(content: bytes, message: str) -> None:
    """Nothing is guessed at, and nothing passed over."""
    with pytest.raises(Malformed) as refused:
        procfile_commands(content, HOUR)
    assert str(refused.value).startswith(message)


@given(st.binary() | st.binary().map(lambda tail: b"release: " + tail))
def test_any_content_is_understood_or_refused(content: bytes) -> None:
    """Whoever can build an image can write one."""
    try:
        commands = procfile_commands(content, HOUR)
    except Malformed:
        return
    assert len(commands) <= 1


async def test_procfile_of_an_image_is_read_if_the_operator_says_so(serve: Serve, engine: Engine) -> None:
    """From its working directory; only one container is started."""
    image = procfile_image(engine, b"release: cat Procfile; pwd\n")
    async with serve(read_procfile=True) as app:
        outcome = await app.run(commands=[], image=image)
        assert (outcome.state, outcome.message) == ("SUCCEEDED", "")
        (run,) = outcome.release.command_runs
        assert (run.label, run.source) == ("Release command", CommandRun.SOURCE_PROCFILE)
        assert outcome.output(0) == b"release: cat Procfile; pwd\n/app\n"
        assert outcome.kinds.count("container_created") == 1
        app.reconfigure("releases", read_procfile=False)
        assert (await app.run(commands=[], image=image)).command_states == []


async def test_label_and_request_come_before_a_procfile(serve: Serve, engine: Engine) -> None:
    """Also a label that declares nothing: that is said on purpose."""
    image = procfile_image(engine, b"release: echo never", 'LABEL releasephase.commands="[]"')
    async with serve(read_procfile=True) as app:
        assert (await app.run(commands=[], image=image)).command_states == []
        assert (await app.run("echo mine", image=image)).output(0) == b"mine\n"


@pytest.mark.parametrize("fields", [{"disabled": True}, {"environments": ["test"]}])
async def test_settings_come_before_a_procfile_also_if_none_is_for_the_release(
    serve: Serve, engine: Engine, fields: dict[str, Any]
) -> None:
    """What somebody disabled has not become the image's to decide. When it is removed, it has."""
    image = procfile_image(engine, b"release: echo from the Procfile")
    async with serve(read_procfile=True) as app:
        command = Command(label="Migrate", line="echo from the settings", **fields)
        command = await app.commands.CreateCommand(
            CreateCommandRequest(parent="applications/shop", command=command)
        )
        assert (await app.run(commands=[], image=image)).command_states == []
        assert not (await app.start(commands=[], image=image, validate_only=True)).remarks
        await app.commands.DeleteCommand(DeleteCommandRequest(name=command.name))
        assert (await app.run(commands=[], image=image)).output(0) == b"from the Procfile\n"


async def test_image_without_a_procfile_has_no_commands(serve: Serve) -> None:
    """Most have none."""
    async with serve(read_procfile=True) as app:
        outcome = await app.run(commands=[])
        assert (outcome.state, outcome.command_states) == ("SUCCEEDED", [])


@pytest.mark.parametrize(
    ("content", "path", "message"),
    [
        (b"release:", "app/Procfile", "is malformed: line 1: the release command must not be empty."),
        (b"x", "app/Procfile/x", "Procfile is no regular file, in the image "),
        (b"#" * 1024 * 1024 + b"#", "app/Procfile", "Procfile has more than 1048576 bytes, in the image "),
    ],
)
async def test_procfile_that_can_t_be_used_fails_the_release(
    serve: Serve, engine: Engine, content: bytes, path: str, message: str
) -> None:
    """It says why, and nothing is left in the engine."""
    async with serve(read_procfile=True) as app:
        outcome = await app.run(commands=[], image=procfile_image(engine, content, path=path))
        assert (outcome.state, outcome.cause) == ("FAILED", "COMMANDS_INVALID")
        assert message in outcome.message
    assert engine.release_containers() == set()


async def test_plan_does_not_read_a_procfile(serve: Serve, engine: Engine) -> None:
    """For that, a container would have to be made; it says so."""
    async with serve(read_procfile=True) as app:
        image = procfile_image(engine, b"release: true")
        plan = await app.start(commands=[], image=image, validate_only=True)
        assert list(plan.remarks) == [
            "whether the image's Procfile has a release command is not known before"
        ]
        assert not plan.HasField("expected_duration")


def test_container_that_a_crash_has_left_behind_is_in_nobodys_way(engine: Engine, folder: Path) -> None:
    """Its name is taken and given free again; at the release's end, nothing is left."""
    image = procfile_image(engine, b"release: echo once")
    with DaemonProcess(folder, engine.url, "[releases]\nread_procfile = true\n") as daemon:
        daemon.terminate()
        daemon.start({VARIABLE: CrashPoint.PROCFILE_CONTAINER_CREATED})
        name = daemon.stub.StartRelease(release_request(commands=[], image=image)).name
        daemon.wait()
        assert len(engine.release_containers()) == 1
        daemon.start()
        outcome = daemon.outcome(name)
        assert (outcome.state, outcome.output(0)) == ("SUCCEEDED", b"once\n")
    assert engine.release_containers() == set()
