"""`releasectl show`: the release, its commands in time, and what the one that failed wrote last."""

import json
import re

import pytest

from support.command_line import releasectl, terminal
from support.scripted_service import ScriptedService
from support.story import NAME, Story, a_success, newest_first

ID = NAME.removeprefix("releases/")


def a_long_failure(service: ScriptedService, last: bytes) -> None:
    """A release whose second command writes twelve lines and `last`, then fails."""
    story = Story("migrate", "self\x1btest", "notify")
    events = [
        *(story.accepted(), story.started(0), story.output(0, b"migrated\n"), story.finished(0)),
        *(story.started(1), *(story.output(1, b"test %d\n" % number) for number in range(12))),
        *(story.output(1, last, stderr=True), story.finished(1, "FAILED", exit_code=1), story.skipped(2)),
        story.failed("Exit code 1.", 1),
    ]
    service.answer("ListEvents", newest_first(events))
    service.answer("GetRelease", story.release)


async def test_the_last_lines_of_the_command_that_failed(service: ScriptedService) -> None:
    """Ten of them, of both streams, safe to read; and how to get all."""
    a_long_failure(service, b"\x1b[2JTraceback\xff")
    result = await releasectl(service.socket, "show", ID)
    *_, timeline, last_lines, lines = result.stdout.decode().split("\n\n")
    assert timeline.splitlines()[0].startswith("NO  PART")
    assert last_lines == f"Last lines of self\\x1btest; all of them: releasectl logs {ID} --command 2"
    assert lines.splitlines() == [*(f"test {number}" for number in range(3, 12)), "\\x1b[2JTraceback\\xff"]
    assert (result.exit_code, result.stderr) == (0, "")


async def test_a_line_without_end_is_shortened(service: ScriptedService) -> None:
    """Nobody reads a megabyte in a terminal; `logs` has it."""
    a_long_failure(service, b"x" * 300_000)
    result = await releasectl(service.socket, "show", ID)
    last = result.stdout.decode().splitlines()[-1]
    assert (len(last), last.replace("x", "")) == (1000, "…")


async def test_output_that_was_removed(service: ScriptedService) -> None:
    """It is told once for both streams; where nothing is left, `logs` would not have it either."""
    story = Story("migrate")
    gone = [
        *(story.accepted(), story.started(0), story.pruned(0, 7), story.pruned(0, 9, stderr=True)),
        *(story.pruned(0, 7), story.finished(0, "FAILED", exit_code=1), story.failed("Exit code 1.", 0)),
    ]
    service.answer("ListEvents", newest_first(gone), newest_first([*gone, story.output(0, b"left\n")]))
    service.answer("GetRelease", story.release)
    nothing, some = [
        (await releasectl(service.socket, "show", ID)).stdout.decode().split("\n\n")[3:] for _ in range(2)
    ]
    removed = "output was removed by the retention of the audit log"
    assert nothing == [f"Last lines of migrate: {removed}\n"]
    assert some == [
        f"Last lines of migrate; all of them: releasectl logs {ID} --command 1",
        f"[… {removed} …]\nleft\n",
    ]


async def test_no_lines_of_a_release_that_did_not_fail(service: ScriptedService) -> None:
    """Its log is not even asked for."""
    story, _ = a_success()
    service.answer("GetRelease", story.release)
    result = await releasectl(service.socket, "show", ID)
    assert "Last lines" not in result.stdout.decode()
    assert len(service.requests) == 1


async def test_no_lines_where_nothing_was_written(service: ScriptedService) -> None:
    """A heading alone would say nothing."""
    story = Story("migrate")
    service.answer("ListEvents", newest_first([story.accepted(), story.failed("Exit code 1.", 0)]))
    service.answer("GetRelease", story.release)
    result = await releasectl(service.socket, "show", ID)
    assert "Last lines" not in result.stdout.decode()


async def test_a_failure_without_records_of_commands(service: ScriptedService) -> None:
    """What the image declares can't be told: there is nothing to show but why."""
    story = Story.of_settings()
    story.failed("commands[1].label of the image must be one line.", 1, "COMMANDS_INVALID")
    service.answer("GetRelease", story.release)
    result = await releasectl(service.socket, "show", ID)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "state     FAILED COMMANDS_INVALID\n" in result.stdout.decode()
    assert "commands  never known\n" in result.stdout.decode()


async def test_json_is_the_release_alone(service: ScriptedService) -> None:
    """A program asks for the output if it wants it."""
    a_long_failure(service, b"\n")
    result = await releasectl(service.socket, "show", ID, "--json")
    assert json.loads(result.stdout)["name"] == NAME
    assert len(service.requests) == 1


@pytest.mark.parametrize("columns", [40, 100, 300])
async def test_bars_fit_the_terminal(service: ScriptedService, columns: int) -> None:
    """On a narrow one names are shortened, on a wide one nothing is spread without end."""
    story = Story("migrate the database of the shop to its new schema")
    story.release.start_time.CopyFrom(story.release.create_time)
    story.release.command_runs[0].start_time.CopyFrom(story.release.create_time)
    story.accepted()
    story.succeeded()
    service.answer("GetRelease", story.release)
    async with terminal(service.socket, "show", NAME, columns=columns) as screen:
        seen = re.sub(r"\x1b\[[0-9;]*m|\r", "", await screen.read_to_end())
    (bar,) = [line for line in seen.splitlines() if line.startswith("1 ") and "━" in line]
    assert len(bar) <= columns
    assert (bar.count("━") == 100) is (columns == 300)
