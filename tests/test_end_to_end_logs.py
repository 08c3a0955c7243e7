"""`logs` and `show` of real releases: what the commands wrote, line by line."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from support.command_line import releasectl, start
from support.daemon import Daemon, running_daemon
from support.docker_engine import Engine

COMMANDS = (
    *("-c", "migrate=for i in $(seq 0 2999); do echo applying $i; done; printf 'no \\377 newline'"),
    *("-c", "self test=echo looking; echo ERROR one >&2; echo error two; echo Error three >&2; exit 3"),
    *("-c", "notify=echo never"),
)


@pytest.fixture(scope="module")
def daemon(engine: Engine) -> Iterator[Daemon]:
    with running_daemon(engine.url, "[releases]\nstop_grace = 1\n") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def failed(daemon: Daemon, busybox_image: str) -> str:
    """The name of a release whose second command failed."""
    run = asyncio.run(releasectl(daemon.socket, "run", "shop/live", busybox_image, *COMMANDS))
    assert run.exit_code == 1
    return name_in(run.stderr)


def name_in(messages: str) -> str:
    """The release that `run` tells of."""
    return str(re.findall(r"^accepted as (\S+)$", messages, re.MULTILINE)[0])


async def lines(daemon: Daemon, name: str, *options: str) -> Sequence[bytes]:
    result = await releasectl(daemon.socket, "logs", name, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines(keepends=True)


async def test_grep(daemon: Daemon, failed: str) -> None:
    """Each line that matches, with the label of its command."""
    assert await lines(daemon, failed, "--grep", "ing (7|13)$") == [
        b"migrate: applying 7\n",
        b"migrate: applying 13\n",
    ]
    found = await lines(daemon, failed, "--grep", "^error", "-i")
    assert sorted(found) == [
        b"self test: ERROR one\n",
        b"self test: Error three\n",
        b"self test: error two\n",
    ]


async def test_command_and_stream(daemon: Daemon, failed: str) -> None:
    """By number or label; together they give the bytes of one stream."""
    written = b"".join(b"applying %d\n" % number for number in range(3000)) + b"no \xff newline"
    assert b"".join(await lines(daemon, failed, "--command", "1", "--stream", "stdout")) == written
    assert await lines(daemon, failed, "--command", "self test", "--stream", "stderr") == [
        b"ERROR one\n",
        b"Error three\n",
    ]
    skipped = await releasectl(daemon.socket, "logs", failed, "--command", "notify")
    assert (skipped.exit_code, skipped.stdout, skipped.stderr) == (0, b"", "no output: notify was skipped\n")


async def test_tail(daemon: Daemon, failed: str) -> None:
    """The last lines of what the other options leave."""
    assert await lines(daemon, failed, "--command", "migrate", "--tail", "2") == [
        b"applying 2999\n",
        b"no \xff newline",
    ]
    assert await lines(daemon, failed, "--stream", "stdout", "--tail", "3") == [
        b"migrate: no \xff newline\n",
        b"self test: looking\n",
        b"self test: error two\n",
    ]
    assert len(await lines(daemon, failed, "--tail", "2500")) == 2500
    assert await lines(daemon, failed, "--grep", "ing", "--tail", "2") == [
        b"migrate: applying 2999\n",
        b"self test: looking\n",
    ]


async def test_timestamps(daemon: Daemon, failed: str) -> None:
    """In UTC, to the millisecond, and rising in each stream."""
    stamped = await lines(daemon, failed, "--timestamps", "--command", "1")
    times = [line.split(b" ", 1)[0] for line in stamped]
    assert all(re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)
    assert len(times) == 3001
    assert all(earlier <= later for earlier, later in pairwise(times))


async def test_follow(daemon: Daemon, busybox_image: str, tmp_path: Path) -> None:
    """The last line that there is, then the new ones, up to the release's end."""
    command = "echo one; printf tw; until [ -e /gate/open ]; do sleep 0.05; done; echo o; echo three"
    options = ("--detach", "--volume", f"{tmp_path}:/gate", "-c", f"wait={command}")
    name = daemon.releasectl("run", "blog/live", busybox_image, *options).stdout.strip()
    watching = await start(daemon.socket, "logs", name, "-f", "--json")
    assert watching.stdout is not None
    while b'"data":"' not in await watching.stdout.readline():
        pass
    following = await start(daemon.socket, "logs", name, "-f", "--tail", "1")
    assert following.stdout is not None
    assert await following.stdout.readline() == b"wait: one\n"
    (tmp_path / "open").touch()
    rest, messages = await following.communicate()
    assert (following.returncode, rest, messages) == (0, b"wait: two\nwait: three\n", b"")
    await watching.communicate()


async def test_show(daemon: Daemon, failed: str) -> None:
    """A bar for each command that ran, and what the one that failed wrote last."""
    result = await releasectl(daemon.socket, "show", failed)
    assert (result.exit_code, result.stderr) == (0, "")
    text = result.stdout.decode()
    assert re.search(r"^-   queue +\S+ +#+$", text, re.MULTILINE)
    assert re.search(r"^-   preparing +\S+ +#+$", text, re.MULTILINE)
    assert re.search(r"^1   migrate +\S+ +#+$", text, re.MULTILINE)
    assert re.search(r"^2   self test +\S+ +#+$", text, re.MULTILINE)
    assert re.search(r"^3   notify +-$", text, re.MULTILINE)
    *_, heading, lines = text.split("\n\n")
    assert heading.startswith("Last lines of self test; all of them: releasectl logs ")
    assert heading.endswith(" --command 2")
    assert sorted(lines.splitlines()) == ["ERROR one", "Error three", "error two", "looking"]


async def test_show_of_much_output_reads_its_end_only(daemon: Daemon, busybox_image: str) -> None:
    """The end of many megabytes is there as it is of few lines, also where other releases write meanwhile."""
    flood = "yes 'a line of some length for the log' | head -c 20000000; echo; echo the end; exit 1"
    run = daemon.releasectl("run", "shop/live", busybox_image, "-c", f"flood={flood}")
    name = name_in(run.stderr)
    text = (await releasectl(daemon.socket, "show", name)).stdout.decode()
    last = text.split("\n\n")[-1].splitlines()
    assert (len(last), last[-1]) == (10, "the end")
    lines_of_tail = await lines(daemon, name, "--tail", "10", "--stream", "stdout")
    assert lines_of_tail[:8] == [b"flood: a line of some length for the log\n"] * 8
    assert lines_of_tail[9] == b"flood: the end\n"
