"""What a person sees: releasectl on a terminal of its own."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import ListReleasesResponse
from support.command_line import terminal
from support.scripted_service import ScriptedService, script, serve
from support.story import NAME, Story, a_failure, a_success

RUN = ("run", "shop/live", "shop:42")
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ScriptedService]:
    async with serve(tmp_path / "released.sock") as service:
        yield service


def plain(seen: str) -> str:
    """Return what was seen without colours and cursor movements."""
    return _CONTROLS.sub("", seen).replace("\r", "")


async def test_run_shows_the_log_and_the_last_word(service: ScriptedService) -> None:
    """The log scrolls by, the line at the bottom is gone at the end."""
    script(service, *a_failure())
    async with terminal(service.socket, *RUN) as screen:
        seen = plain(await screen.read_to_end())
    assert screen.process.returncode == 1
    for line in (
        f"accepted as {NAME}",
        "===== docker release commands =====",
        "Running migrate...",
        "Traceback",
        "Migrate failed. Exit code 1.",
        "Skipped: check.",
    ):
        assert f"{line}\n" in seen
    assert seen.endswith("✗ failed after 6s  releasectl show 01939d3b-7e4a-7cc3-98c4-dc0c0c07398f\n")


async def test_what_is_run_skipped_and_allowed_to_fail_is_seen(service: ScriptedService) -> None:
    """Above the line at the bottom, each once."""
    story = Story.of_settings()
    service.answer("StartRelease", story.release)
    resolved = story.commands_resolved("backup", "check", backup="done by hand")
    story.release.command_runs[1].allow_failure = True
    service.stream(
        *(story.accepted(), story.preparing(), resolved, story.skipped(0), story.running()),
        *(story.started(1), story.finished(1, "FAILED", exit_code=3), story.succeeded()),
    )
    async with terminal(service.socket, *RUN) as screen:
        seen = plain(await screen.read_to_end())
    assert screen.process.returncode == 0
    for line in (
        "commands: backup (image, to be skipped), check (settings)",
        "Skipping backup: done by hand.",
        "Check failed. The command ended with exit code 3. The release goes on.",
    ):
        assert seen.count(f"{line}\n") == 1


async def test_the_line_at_the_bottom_lives(service: ScriptedService) -> None:
    """Queue, pull and command are seen while they last."""
    gates = [asyncio.Event() for _ in range(3)]
    story = Story("migrate", begin=datetime.now(UTC))
    service.answer("StartRelease", story.release)
    service.stream(
        *(story.accepted(queue_position=2), gates[0]),
        *(story.preparing(), story.pulling(2, 10 * 2**20), gates[1]),
        *(
            story.resolved(pulled=True),
            story.running(),
            story.started(0),
            story.output(0, b"10%\r"),
            gates[2],
        ),
        *(story.output(0, b"100%\n"), story.finished(0), story.succeeded()),
    )
    async with terminal(service.socket, *RUN) as screen:
        await screen.read_until("queued")
        await screen.read_until("position 2")
        gates[0].set()
        await screen.read_until("pulling registry.example/shop:42")
        await screen.read_until("2 of 5 layers")
        gates[1].set()
        await screen.read_until("10%")
        await screen.read_until("of 30:00")
        gates[2].set()
        seen = plain(await screen.read_to_end())
    assert "Running migrate...\n\n" in seen
    assert seen.endswith("✓ succeeded in 8s\n")
    assert screen.process.returncode == 0


async def test_output_can_not_command_the_terminal(service: ScriptedService) -> None:
    """Control characters in output and labels are shown, and brackets are no markup."""
    story = Story("[bold]check[/bold]\x1b]0;title\x07")
    service.answer("StartRelease", story.release)
    service.stream(
        *(story.accepted(), story.started(0)),
        *(story.output(0, b"\x1b[2J[red]half \xe2\x9c"), story.output(0, b"err\x07\n", stderr=True)),
        *(story.output(0, b"\x93 \xff\n"), story.failed("a\x1b[31mb", 0)),
    )
    async with terminal(service.socket, *RUN) as screen:
        seen = plain(await screen.read_to_end())
    assert "Running [bold]check[/bold]\\x1b]0;title\\x07...\n" in seen
    assert "\\x1b[2J[red]half err\\x07\n" in seen
    assert "✓ \\xff\n" in seen
    assert "[bold]check[/bold]\\x1b]0;title\\x07 failed. a\\x1b[31mb\n" in seen


async def test_logs_are_escaped_and_complete(service: ScriptedService) -> None:
    """A line that has not ended yet is shown, too."""
    story = Story("migrate")
    service.stream(
        story.accepted(), story.started(0), last := story.output(0, b"one\ntwo\x1b[m"), asyncio.Event()
    )
    service.answer("GetRelease", Release(last_sequence=last.sequence))
    async with terminal(service.socket, "logs", NAME) as screen:
        seen = plain(await screen.read_to_end())
    assert seen == "===== docker release commands =====\n\nRunning migrate...\n\none\ntwo\\x1b[m\n"
    assert screen.process.returncode == 0


async def test_a_daemon_that_comes_back_is_told_and_so_is_what_it_lost(service: ScriptedService) -> None:
    """Above the live line, in the order in which it happened."""
    story = Story("migrate")
    service.answer("StartRelease", story.release)
    service.stream(
        *(story.accepted(), story.started(0), story.output(0, b"one\n"), story.adopted()),
        *(story.lost(0, "rotated\x1b[m away"), story.reconnected(), story.finished(0), story.succeeded()),
    )
    async with terminal(service.socket, *RUN) as screen:
        seen = plain(await screen.read_to_end())
    said = [
        "one\n",
        "the daemon was started again and goes on with the release\n",
        "[… output on stdout of migrate is missing: rotated\\x1b[m away …]\n",
        "the engine was away and is back; the release goes on\n",
    ]
    places = [seen.find(each) for each in said]
    assert -1 not in places
    assert places == sorted(places)


async def test_a_long_line_is_left_to_the_terminal(service: ScriptedService) -> None:
    """Nothing is wrapped by us, so that a line can be copied whole."""
    story = Story("migrate")
    line = "word " * 60 + "end"
    service.answer("StartRelease", story.release)
    events = [story.accepted(), story.started(0), story.output(0, f"{line}\n".encode()), story.finished(0)]
    service.stream(*events, story.succeeded())
    async with terminal(service.socket, *RUN, columns=80) as screen:
        assert f"{line}\n" in plain(await screen.read_to_end())


async def test_ctrl_c_stops_watching(service: ScriptedService) -> None:
    """It is typed, not sent: the terminal turns it into the signal."""
    story, events = a_success()
    service.answer("StartRelease", story.release)
    service.stream(*events[:7], asyncio.Event())
    async with terminal(service.socket, *RUN) as screen:
        await screen.read_until("Applying 0001_initial... OK")
        screen.type(b"\x03")
        seen = plain(await screen.read_to_end())
    assert screen.process.returncode == 130
    assert seen.endswith(f"Come back with: releasectl watch {NAME}\n")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
async def test_no_colour_where_none_is_wanted(service: ScriptedService, environ: dict[str, str]) -> None:
    """NO_COLOR and a terminal that knows no colour are honoured."""
    story, events = a_failure()
    service.answer("StartRelease", story.release)
    service.stream(*events)
    async with terminal(service.socket, *RUN, environ=environ) as screen:
        seen = await screen.read_to_end()
    assert "Migrate failed. Exit code 1." in seen
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", seen)


async def test_a_dumb_terminal_gets_lines_only(service: ScriptedService) -> None:
    """There is nothing in it that moves a cursor."""
    story, events = a_failure()
    service.answer("StartRelease", story.release)
    service.stream(*events)
    async with terminal(service.socket, *RUN, environ={"TERM": "dumb"}) as screen:
        seen = await screen.read_to_end()
    assert "\x1b" not in seen
    assert "failed: Exit code 1." in seen


async def test_history_shows_ages_and_colours(service: ScriptedService) -> None:
    """On a terminal a person wants to know how long ago it was."""
    release = Story(begin=datetime.now(UTC) - timedelta(hours=2, minutes=5)).release
    service.answer("ListReleases", ListReleasesResponse(releases=[release]))
    async with terminal(service.socket, "history", columns=130) as screen:
        seen = await screen.read_to_end()
    assert "\x1b[33mQUEUED" in seen
    assert "2h ago" in plain(seen)


async def test_show_gives_the_time_in_full(service: ScriptedService) -> None:
    """Of one release a person wants to know both the moment and its age."""
    service.answer("GetRelease", Story(begin=datetime.now(UTC) - timedelta(days=3, hours=1)).release)
    async with terminal(service.socket, "show", NAME) as screen:
        seen = plain(await screen.read_to_end())
    assert re.search(r"created {2}\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, 3d ago\n", seen)
