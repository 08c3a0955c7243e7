"""What all verbs of the command line have in common: errors, usage, signals, help."""

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO

import grpc
import pytest

from support.command_line import releasectl, start
from support.scripted_service import Refusal, ScriptedService, script
from support.story import NAME, Story, a_success

UUID_ONLY = NAME.removeprefix("releases/")


@pytest.fixture
def full_disk() -> Iterator[IO[bytes]]:
    with open("/dev/full", "wb", buffering=0) as full:
        yield full


@pytest.mark.parametrize(
    ("refusal", "exit_code", "stderr"),
    [
        (Refusal(grpc.StatusCode.NOT_FOUND, "no such release"), 3, "releasectl: no such release\n"),
        (Refusal(grpc.StatusCode.PERMISSION_DENIED, "not yours"), 4, "releasectl: not yours\n"),
        (
            Refusal(grpc.StatusCode.UNAVAILABLE, "going down", "SHUTTING_DOWN"),
            5,
            "releasectl: going down\n",
        ),
        (Refusal(grpc.StatusCode.INTERNAL, "a \x1b[31mbug"), 1, "releasectl: a \\x1b[31mbug\n"),
        (
            Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                violations=(("application", "is empty"), ("commands[1].timeout", "is negative")),
            ),
            2,
            "application: is empty\ncommands[1].timeout: is negative\n",
        ),
        (Refusal(grpc.StatusCode.INVALID_ARGUMENT, "bad token"), 2, "releasectl: bad token\n"),
    ],
    ids=lambda value: value.code.name if isinstance(value, Refusal) else "",
)
async def test_every_error_has_its_exit_code_and_a_readable_line(
    service: ScriptedService, refusal: Refusal, exit_code: int, stderr: str
) -> None:
    """A script sees the code, a person the reason, and nobody a traceback."""
    service.answer("GetRelease", refusal)
    result = await releasectl(service.socket, "show", NAME)
    assert (result.exit_code, result.stdout, result.stderr) == (exit_code, b"", stderr)


@pytest.mark.parametrize(
    "verb", [("status",), ("drain",), ("watch", NAME), ("logs", "-f", NAME), ("show", NAME)]
)
async def test_no_daemon_is_5(tmp_path: Path, verb: Sequence[str]) -> None:
    """The path and the reason are named, at once."""
    result = await releasectl(tmp_path / "none.sock", *verb)
    assert result.exit_code == 5
    assert (
        result.stderr == f"releasectl: no daemon answers on {tmp_path}/none.sock: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "shop", "i"], "a target is written APPLICATION/ENVIRONMENT, such as shop/live"),
        (["run", "shop/live", "i", "-c", "./migrate"], "a command is written 'label=shell line'"),
        (["run", "shop/live", "i", "--timeout", "90"], "write 90s, 30m or 1h30m"),
        (
            ["run", "shop/live", "i", "--timeout", "9s"],
            "releasectl commands edit APP COMMAND --timeout DURATION",
        ),
        (["run", "shop/live", "i", "--skip", "a"], "give --reason TEXT, too"),
        (["run", "shop/live", "i", "--skip", "a", "--reason", ""], "give --reason TEXT, too"),
        (["run", "shop/live", "i", "--reason", "a"], "give --skip LABEL, too"),
        (
            ["run", "shop/live", "i", "-c", "a=b", "--allow-failure", "A"],
            "--allow-failure: -c and -x have no command 'A'; they have 'a'",
        ),
        (["run", "shop/live", "i", "--allow-failure", "a"], "they have none: for those in the settings, see"),
        (
            ["run", "shop/live", "i", "-c", "a=b", "--rollback", "a"],
            "a rollback is written 'label=shell line'",
        ),
        (["run", "shop/live", "i", "-c", "a=b", "--rollback", "b=c"], "-c and -x have no command 'b'"),
        (
            ["run", "shop/live", "i", "-c", "a=b", "--rollback", "a=c", "--rollback", "a=d"],
            "a command has one line that undoes it",
        ),
        (["run", "shop/live", "i", "--memory", "much"], "write 512m or 2g"),
        (["run", "shop/live", "i", "--volume", "/media"], "SRC:DST or SRC:DST:ro"),
        (["run", "shop/live", "i", "--env", "=x"], "write NAME=VALUE or NAME"),
        (["run", "shop/live", "i", "--env-file", "/none"], "/none"),
        (["run", "shop/live", "i", "--entrypoint", "'"], "--entrypoint: No closing quotation"),
        (["run", "shop/live", "i", "--pids", "99999999999999999999"], "Value out of range"),
        (["run", "shop/live", "i", "--registry-user", "robot"], "RELEASECTL_REGISTRY_PASSWORD"),
        (["run", "shop/live", "i", "--registry-password-stdin"], "needs --registry-user"),
        (["run", "shop/live", b"\xff".decode(errors="surrogateescape")], "is not UTF-8"),
        (["watch", "shop/live"], "a release is written releases/UUID or UUID"),
        (["history", "a/b/c"], "write APP or APP/ENV"),
        (["history", "--since", "yesterday"], "neither an age nor a date"),
        (["history", "--state", "done"], "is not one of"),
        (["history", "--limit", "0"], "is not in the range"),
        (["outcome", UUID_ONLY, "live"], "is not one of"),
        (
            ["outcome", UUID_ONLY, "deployed", "--run-rollback"],
            "--run-rollback is for a deployment that was abandoned",
        ),
        (["outcome", UUID_ONLY, "abandoned", "--secret", "A=1"], "are for --run-rollback: leave them out"),
        (["unknown"], "No such command"),
    ],
)
async def test_wrong_usage_is_2(tmp_path: Path, arguments: Sequence[str], message: str) -> None:
    """What is expected is said, without asking the daemon."""
    result = await releasectl(tmp_path / "none.sock", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_watching_and_says_how_to_come_back(
    service: ScriptedService, number: signal.Signals
) -> None:
    """The release goes on: nothing but the watch is asked of the daemon."""
    story, events = a_success()
    script(service, story, [*events[:7], asyncio.Event()])  # type: ignore[list-item]
    process = await start(service.socket, "run", "shop/live", "shop:42")
    assert process.stdout is not None
    await process.stdout.readuntil(b"Applying 0001_initial... OK\n")
    process.send_signal(number)
    _, stderr = await process.communicate()
    assert process.returncode == 130
    assert stderr.decode().splitlines()[-1] == (
        f"stopped watching; the release goes on. Come back with: releasectl watch {NAME}"
    )
    assert [type(request).__name__ for request in service.requests] == [
        "StartReleaseRequest",
        "WatchReleaseRequest",
    ]


async def test_a_signal_before_the_release_was_accepted_says_where_to_look(service: ScriptedService) -> None:
    """Nobody knows then whether it was accepted."""
    service.hang("StartRelease")
    process = await start(service.socket, "run", "shop/live", "shop:42")
    await service.asked.wait()
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    assert process.returncode == 130
    assert stderr == b"interrupted; if it was accepted, you find it with: releasectl history shop/live\n"


async def test_a_reader_that_leaves_is_no_error(service: ScriptedService) -> None:
    """`releasectl logs … | head` ends quietly."""
    story = Story("talk")
    outputs = [story.output(0, b"x" * 60000 + b"\n") for _ in range(50)]
    script(
        service, story, [story.accepted(), story.started(0), *outputs, story.finished(0), story.succeeded()]
    )
    process = await start(service.socket, "logs", "-f", NAME)
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert await process.stderr.read() == b""
    assert await process.wait() == 141


async def test_output_that_can_not_be_written_is_an_error(
    service: ScriptedService, full_disk: IO[bytes]
) -> None:
    """A full disk is told in one line, and is not taken for a success."""
    service.answer("GetRelease", Story().release)
    result = await releasectl(service.socket, "show", NAME, stdout=full_disk)
    assert (result.exit_code, result.stderr) == (1, "releasectl: standard output: No space left on device\n")


async def test_a_daemon_that_stops_telling_is_not_a_success(service: ScriptedService) -> None:
    """A stream that ends before the release did has no result."""
    story, events = a_success()
    script(service, story, events[:5])
    result = await releasectl(service.socket, "watch", NAME)
    assert result.exit_code == 5
    assert "stopped telling" in result.stderr


async def test_help_loads_neither_grpc_nor_rich() -> None:
    """It answers at once."""
    code = (
        "import sys, releasectl.cli as cli; cli.commands.main(['--help'], standalone_mode=False);"
        "print(sorted({'grpc', 'rich', 'google.protobuf', 'asyncio'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await process.communicate()
    assert stdout.splitlines()[-1] == b"[]"


async def test_version(tmp_path: Path) -> None:
    """It is that of the distribution."""
    result = await releasectl(tmp_path / "none.sock", "--version")
    assert result.stdout.decode() == f"releasectl {version('releasephase')}\n"
