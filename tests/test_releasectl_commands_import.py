"""`releasectl commands import` as a process of its own, against a scripted service."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from releasephase.v1.command_service_pb2 import (
    Command,
    ListCommandChangesResponse,
    ListCommandsResponse,
    ReplaceCommandsRequest,
)
from support.command_line import RELEASECTL, Result, environment, releasectl, start
from support.imports import FILES
from support.scripted_service import Refusal, ScriptedService

MIGRATE = Command(name="applications/shop/commands/1", label="Release command", line="./migrate", position=1)
NOTIFY = Command(name="applications/shop/commands/2", label="notify", line="./notify", position=2)
SETTINGS = ListCommandsResponse(commands=[MIGRATE, NOTIFY], etag="7")
LINE = 'python manage.py migrate --database "$DATABASE" && ./notify'
STALE = Refusal(grpc.StatusCode.ABORTED, "the etag is 7, and 9 by now", "STALE_ETAG")


async def imported(service: ScriptedService, file: Path, *arguments: str) -> Result:
    return await releasectl(service.socket, "commands", "import", "shop", str(file), *arguments)


async def test_it_is_done_in_one_piece(service: ScriptedService) -> None:
    """All commands are sent as they will be, with the etag that was read."""
    now = ListCommandsResponse(commands=[Command(label="Release command", line=LINE), NOTIFY], etag="8")
    service.answer("ListCommands", SETTINGS)
    service.answer("ReplaceCommands", now)
    file = FILES / "Procfile"
    result = await imported(service, file)
    assert result.exit_code == 0
    assert result.stdout.decode() == (
        f"changed    Release command\n           line: ./migrate -> {LINE}\nunchanged  notify\n"
    )
    assert result.stderr == f"{file}: not taken: web, worker\nshop has 2 commands now\n"
    changed = Command(name=MIGRATE.name, label="Release command", line=LINE, position=1)
    expected = ReplaceCommandsRequest(parent="applications/shop", commands=[changed, NOTIFY], etag="7")
    assert service.requests[1:] == [expected]


async def test_a_dry_run(service: ScriptedService) -> None:
    """It shows the same, and has the daemon look at it without changing anything."""
    service.answer("ListCommands", SETTINGS)
    service.answer("ReplaceCommands", SETTINGS)
    result = await imported(service, FILES / "fly.toml", "--label", "prepare", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.decode() == (
        "unchanged  Release command\n"
        "unchanged  notify\n"
        "added      prepare\n"
        "           number: 3\n"
        '           line: ["bin/rails", "db:prepare", "--trace", "a b"]\n'
        "           timeout: 1h10m\n"
    )
    assert result.stderr.endswith("nothing was changed: without --dry-run, shop would have 3 commands\n")
    assert [request.validate_only for request in service.requests[1:]] == [True]


async def test_a_dry_run_as_json(service: ScriptedService) -> None:
    """What would be there, and the etag that the import itself can be given."""
    service.answer("ListCommands", SETTINGS)
    service.answer("ReplaceCommands", SETTINGS)
    result = await imported(service, FILES / "compose.yaml", "--service", "migrate", "--dry-run", "--json")
    found = json.loads(result.stdout)
    assert [each["label"] for each in found["commands"]] == ["Release command", "notify", "migrate"]
    assert [each["position"] for each in found["commands"]] == [1, 2, 3]
    assert found["etag"] == "7"


async def test_a_second_time(service: ScriptedService) -> None:
    """There is nothing to do, so nothing is done."""
    there = ListCommandsResponse(commands=[Command(label="Pre-deploy command", line="alembic upgrade head")])
    service.answer("ListCommands", there)
    result = await imported(service, FILES / "railway.toml")
    assert (result.exit_code, result.stdout) == (0, b"unchanged  Pre-deploy command\n")
    assert result.stderr.endswith("nothing was changed: shop has all of it already\n")
    assert len(service.requests) == 1


async def test_many_things_that_are_not_taken(service: ScriptedService, tmp_path: Path) -> None:
    """They are a line that can be read, not a screen full."""
    service.answer("ListCommands", SETTINGS)
    file = tmp_path / "Procfile"
    file.write_text("release: ./migrate\n" + "".join(f"w{number}: ./work\n" for number in range(34)))
    result = await imported(service, file)
    told = "w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 and 24 more"
    assert result.stderr.startswith(f"{file}: not taken: {told}\n")


async def test_settings_that_somebody_else_changed(service: ScriptedService) -> None:
    """Nothing is done, and it is said how to go on."""
    service.answer("ListCommands", SETTINGS)
    service.answer("ReplaceCommands", STALE)
    service.answer("ListCommandChanges", ListCommandChangesResponse())
    result = await imported(service, FILES / "Procfile", "--if-etag", "5")
    assert (result.exit_code, result.stdout) == (1, b"")
    assert "the settings of shop were changed meanwhile, and this was not done" in result.stderr
    assert service.requests[1].etag == "5"


async def test_a_command_under_another_label(service: ScriptedService) -> None:
    """Nobody wants it to run twice."""
    there = Command(label="migrations", line="alembic upgrade head")
    service.answer("ListCommands", ListCommandsResponse(commands=[there], etag="1"))
    service.answer("ReplaceCommands", SETTINGS)
    result = await imported(service, FILES / "railway.toml", "--dry-run")
    assert (
        "'Pre-deploy command' runs the same as 'migrations': --label can put it in the place of that one\n"
        in result.stderr
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Procfile", b"web: ./serve\n", "has no line `release: command`; it has web"),
        ("Procfile", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not UTF-8, from byte 1 on"),
        (
            "heroku.yml",
            b"release:\n  - \x1b]0;x",
            "is not YAML: unacceptable character #x001b: special characters are not allowed",
        ),
        (
            "fly.toml",
            b"release: ./migrate",
            "is not TOML: Expected '=' after a key in a key/value pair (at line 1, column 8)",
        ),
        ("app.json", b'{"scripts": ', "line 1, column 13: is not JSON: Expecting value"),
        ("railway.json", b" " * 1_048_577, "is larger than 1048576 bytes"),
        (
            "Procfile",
            b"release: ./a\x1b[2J\n./b\x1b[2J",
            "line 2: must have the form `process type: command`",
        ),
        (
            "compose.yaml",
            b'services: {"\\x1b[2J": {command: a}}',
            "services: choose one with --service; services with a command: \\x1b[2J",
        ),
    ],
)
async def test_a_file_that_is_not_what_its_name_says(
    service: ScriptedService, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """The file and the place are named, safe for a terminal, before the daemon is asked anything."""
    file = tmp_path / name
    file.write_bytes(content)
    result = await imported(service, file)
    assert (result.exit_code, result.stdout) == (2, b"")
    assert result.stderr == f"releasectl: {file}: {message}\n"
    assert service.requests == []


async def test_another_name(service: ScriptedService, tmp_path: Path) -> None:
    """What a file is can be said; by itself a name that nobody knows says nothing. Windows marks UTF-8."""
    file = tmp_path / "procfile-live"
    file.write_bytes(b"\xef\xbb\xbfrelease: ./migrate\r\n")
    refused = await imported(service, file)
    assert (refused.exit_code, service.requests) == (2, [])
    assert (
        "its name is none of Procfile, heroku.yml, fly.toml, render.yaml, railway.json, railway.toml,"
        " app.json, compose.yaml: say with --format what it is: procfile, heroku, fly, render, "
    ) in refused.stderr
    service.answer("ListCommands", SETTINGS)
    result = await imported(service, file, "--format", "procfile")
    assert result.stdout == b"unchanged  Release command\nunchanged  notify\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Procfile.dev", b"release: ./migrate"),
        ("fly.production.toml", b"deploy.release_command = './migrate'"),
        ("heroku.eu.yml", b"release: {command: ./migrate}"),
    ],
)
async def test_a_name_with_a_part_of_its_own(
    service: ScriptedService, tmp_path: Path, name: str, content: bytes
) -> None:
    """Who has a file for each environment names them so."""
    file = tmp_path / name
    file.write_bytes(content)
    service.answer("ListCommands", SETTINGS)
    service.answer("ReplaceCommands", SETTINGS)
    assert (await imported(service, file, "--dry-run")).exit_code == 0


async def test_standard_input(service: ScriptedService) -> None:
    """It has no name, so its format has to be said."""
    verb = ("commands", "import", "shop", "-")
    refused = await releasectl(service.socket, *verb, stdin=b"release: ./migrate")
    assert (refused.exit_code, service.requests) == (2, [])
    assert refused.stderr == (
        "releasectl: stdin: has no name to tell what it is: say with --format what it is:"
        " procfile, heroku, fly, render, railway-json, railway-toml, app-json, compose\n"
    )
    service.answer("ListCommands", SETTINGS)
    text = b"release: ./migrate\nweb: ./serve"
    result = await releasectl(service.socket, *verb, "--format", "procfile", stdin=text)
    assert result.stdout == b"unchanged  Release command\nunchanged  notify\n"
    assert result.stderr == "stdin: not taken: web\nnothing was changed: shop has all of it already\n"


async def test_standard_input_that_is_closed(service: ScriptedService) -> None:
    """`<&-` leaves nothing to read."""
    verb = (f"{RELEASECTL} commands import shop - --format fly <&-",)
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", *verb, stderr=asyncio.subprocess.PIPE, env=environment(service.socket)
    )
    _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (2, b"releasectl: stdin: is closed\n")


@asynccontextmanager
async def reading(service: ScriptedService, fifo: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """An import that reads from a pipe whose other end is held open until the block ends."""
    os.mkfifo(fifo)
    process = await start(service.socket, "commands", "import", "shop", str(fifo))
    writer = await asyncio.to_thread(os.open, fifo, os.O_WRONLY)
    try:
        yield process
    finally:
        os.close(writer)


async def test_a_pipe_that_does_not_end(service: ScriptedService, tmp_path: Path) -> None:
    """Ctrl-C ends the reading of it, at once."""
    async with reading(service, tmp_path / "Procfile") as process:
        process.send_signal(signal.SIGINT)
        assert await process.communicate() == (b"", b"")
    assert (process.returncode, service.requests) == (130, [])


async def test_a_device_that_does_not_end(service: ScriptedService) -> None:
    """No more is read than a file may have."""
    result = await imported(service, Path("/dev/zero"), "--format", "fly")
    assert (result.exit_code, result.stderr) == (2, "releasectl: /dev/zero: is larger than 1048576 bytes\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dry-run", "--if-etag", "5"), "a dry run changes nothing: leave out --if-etag"),
        (("--format", "nomad"), "'nomad' is not one of 'procfile', 'heroku'"),
        (("--service", "web", "--service", "job"), "Invalid value for '--service': can be given once only"),
        (("--label", "a", "--label", "b"), "Invalid value for '--label': can be given once only"),
    ],
)
async def test_wrong_usage(service: ScriptedService, arguments: tuple[str, ...], message: str) -> None:
    """What contradicts itself, or what nobody knows."""
    result = await imported(service, FILES / "Procfile", *arguments)
    assert (result.exit_code, service.requests) == (2, [])
    assert message in result.stderr
