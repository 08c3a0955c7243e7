"""`releasectl logs` with options that choose lines, against a scripted service."""

import asyncio
import json
import re
from collections.abc import Sequence

import pytest
from google.protobuf.json_format import ParseDict

from releasephase.v1.audit_service_pb2 import ListEventsResponse
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import CommandRun, Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest
from support.command_line import releasectl, start, terminal
from support.scripted_service import ScriptedService
from support.story import NAME, Story, newest_first

BINARY = bytes(byte for byte in range(256) if byte != 10)


def a_log(story: Story) -> Sequence[ReleaseEvent]:
    """What two commands and the entrypoint wrote; the second one failed."""
    return [
        story.accepted(),
        story.running(),
        story.output(None, b"entrypoint\n"),
        story.started(0),
        story.output(0, b"Apply one\nApp"),
        story.output(0, b"error: one\n", stderr=True),
        story.output(0, b"ly two\n"),
        story.finished(0),
        story.started(1),
        story.output(1, b"ERROR " + BINARY + b"\nlast"),
        story.output(1, b"Error: \xc3\xb6\n", stderr=True),
        story.finished(1, "FAILED", exit_code=1),
        story.failed("Exit code 1.", 1),
    ]


@pytest.mark.parametrize(
    ("options", "expected"), [(("--command", "2"), b"2\n"), (("--grep", "1"), b"caches: 1\n")]
)
async def test_following_waits_until_the_commands_are_known(
    service: ScriptedService, options: tuple[str, str], expected: bytes
) -> None:
    """Whoever follows from the beginning can choose a command, and sees the labels of all."""
    story = Story.of_settings()
    waiting, known = Release(), Release()
    waiting.CopyFrom(story.release)
    events = [
        *(
            story.accepted(),
            story.preparing(),
            story.commands_resolved("caches", "migrate"),
            story.started(0),
        ),
        *(story.output(0, b"1\n"), story.finished(0), story.started(1), story.output(1, b"2\n")),
        *(story.finished(1), story.succeeded()),
    ]
    known.CopyFrom(story.release)
    known.state = Release.STATE_RUNNING
    service.answer("GetRelease", waiting, known)
    service.stream(*events)  # until it is known
    service.stream(*events)
    result = await releasectl(service.socket, "logs", "-f", NAME, *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, expected, "")


async def test_a_command_that_is_not_known_yet(service: ScriptedService) -> None:
    """It is not said that there is none."""
    service.answer("GetRelease", Story.of_settings().release)
    result = await releasectl(service.socket, "logs", NAME, "--command", "migrate")
    assert result.exit_code == 2
    assert f"the commands of {NAME} are known once its image is there" in " ".join(result.stderr.split())


@pytest.fixture
def story(service: ScriptedService) -> Story:
    """A release whose log can be read, from its beginning and from its end."""
    story = Story("migrate", "self test")
    events = a_log(story)
    service.stream(*events)
    service.answer("ListEvents", newest_first(events))
    service.answer("GetRelease", story.release)
    return story


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tail", "5"), "no output\n"),
        (("--command", "quiet"), "no output\n"),
        (("--command", "2"), "no output: notify was skipped\n"),
        (("--command", "3"), "no output: hello was skipped: not now\n"),
        (("--grep", "error"), "no line matches\n"),
        (("--command", "2", "--json"), "no output: notify was skipped\n"),
        (("--tail", "0"), ""),
    ],
)
async def test_no_lines(service: ScriptedService, options: tuple[str, ...], message: str) -> None:
    """Nobody takes it for a log that was lost; who asks for none is told nothing."""
    story = Story("quiet", "notify", "hello")
    story.release.command_runs[2].skip_reason = "not now"
    service.stream(
        story.accepted(),
        *(story.started(0), story.finished(0, "FAILED", exit_code=1), story.skipped(1), story.skipped(2)),
        story.failed("Exit code 1.", 0),
    )
    story.release.command_runs[1].state = CommandRun.STATE_SKIPPED
    service.answer("ListEvents", ListEventsResponse())
    service.answer("GetRelease", story.release)
    result = await releasectl(service.socket, "logs", NAME, *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, b"", message)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--stream", "stderr"), b"migrate: error: one\nself test: Error: \xc3\xb6\n"),
        (("--command", "1"), b"Apply one\nerror: one\nApply two\n"),
        (("--command", "migrate", "--stream", "stdout"), b"Apply one\nApply two\n"),
        (("--command", "self test", "--stream", "stdout"), b"ERROR " + BINARY + b"\nlast"),
        (("--grep", "^(entry|App.y t)"), b"-: entrypoint\nmigrate: Apply two\n"),
        (("--grep", "error"), b"migrate: error: one\n"),
        (("--grep", "ERROR: .$", "-i"), b"self test: Error: \xc3\xb6\n"),
        (("--grep", "ERROR", "--command", "2"), b"ERROR " + BINARY + b"\n"),
        (("--grep", "App", "--tail", "1"), b"migrate: Apply two\n"),
        (("--tail", "2"), b"self test: last\nself test: Error: \xc3\xb6\n"),
        (("--tail", "2", "--command", "1"), b"Apply two\nerror: one\n"),
        (("--tail", "1", "--stream", "stdout"), b"self test: last"),
        (("--tail", "0"), b""),
        (("--tail", "99", "--command", "1"), b"Apply one\nApply two\nerror: one\n"),
        (("--timestamps", "--command", "1", "--tail", "2"), b"..05.000Z Apply two\n..06.000Z error: one\n"),
        (("-t", "--grep", "entry"), b"..03.000Z -: entrypoint\n"),
    ],
)
async def test_lines_that_were_asked_for(
    service: ScriptedService, story: Story, options: Sequence[str], expected: bytes
) -> None:
    """Options add up; bytes are as they came, and a label tells commands apart unless there is only one."""
    result = await releasectl(service.socket, "logs", NAME, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == expected.replace(b"..", b"2026-01-31T12:00:")


async def test_the_daemon_is_asked_for_the_end_only(service: ScriptedService) -> None:
    """Of one command, of one stream, and page by page until there are enough lines."""
    story = Story("migrate", "check")
    outputs = newest_first([story.output(0, b"%d\n" % number) for number in range(90)]).events
    story.succeeded()
    service.answer("GetRelease", story.release)
    service.answer(
        "ListEvents",
        *(ListEventsResponse(events=outputs[at : at + 30], next_page_token=f"after {at}") for at in (0, 30)),
    )
    result = await releasectl(
        service.socket, *("logs", NAME, "--command", "migrate", "--stream", "stdout", "--tail", "40")
    )
    assert result.stdout.splitlines() == [b"%d" % number for number in range(50, 90)]
    get, *lists = service.requests
    assert get == GetReleaseRequest(name=NAME)
    assert [each.page_token for each in lists] == ["", "after 0"]
    assert {(each.release, each.order_by) for each in lists} == {(NAME, "sequence desc")}
    assert {each.filter for each in lists} == {
        "(kind = command_output OR kind = output_lost OR kind = output_realigned) AND sequence <= 273 "
        "AND command_index = 0 AND stream = STDOUT"
    }


async def test_lines_as_json_are_events_of_one_line(service: ScriptedService, story: Story) -> None:
    """Each with the place, the time and the bytes of its line, whatever those are."""
    result = await releasectl(service.socket, "logs", NAME, "--command", "2", "--json")
    events = [ParseDict(json.loads(line), ReleaseEvent()) for line in result.stdout.splitlines()]
    written = [b"ERROR " + BINARY + b"\n", "Error: ö\n".encode(), b"last"]
    assert [event.command_output.data for event in events] == written
    assert [(event.release, event.command_output.command_index) for event in events] == [(NAME, 1)] * 3
    assert [event.sequence for event in events] == [30, 33, 30]


@pytest.mark.parametrize("command", ["0", "3", "migrat", "Migrate", "-1", ""])
async def test_a_command_that_is_not_there(service: ScriptedService, story: Story, command: str) -> None:
    """The message says which ones there are."""
    result = await releasectl(service.socket, "logs", NAME, f"--command={command}")
    assert (result.exit_code, result.stdout) == (2, b"")
    assert f"has no command {command!r}; it has 1 'migrate', 2 'self test'" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--grep", "a(b"),
            "'a(b' is no regular expression: missing ), unterminated subpattern at position 1",
        ),
        (("--grep", "[[:digit:]]"), "Possible nested set"),
        (("--grep", "x{99999999999}"), "the repetition number is too large"),
        (("-i",), "give both, or none"),
        (("--tail", "-1"), "--tail"),
        (("--stream", "both"), "--stream"),
    ],
)
async def test_what_can_not_be_meant(service: ScriptedService, options: Sequence[str], words: str) -> None:
    """It is said before the daemon is asked."""
    result = await releasectl(service.socket, "logs", NAME, *options)
    assert result.exit_code == 2
    assert words in re.sub(r"\s+", " ", result.stderr)
    assert service.requests == []


async def test_gaps_are_told_beside_the_lines(service: ScriptedService) -> None:
    """A grep that finds nothing says where it could not look."""
    story = Story("migrate")
    events = [
        *(story.accepted(), story.started(0), story.output(0, b"one\ntwo", omitted_bytes=7)),
        *(story.lost(0, "rotated", stderr=True), story.succeeded()),
    ]
    service.stream(*events)
    service.answer("ListEvents", newest_first(events))
    service.answer("GetRelease", story.release)
    for options in (
        ("--grep", "three"),
        ("--grep", "three", "--tail", "1"),
        ("--stream", "stdout", "--tail", "1"),
    ):
        result = await releasectl(service.socket, "logs", NAME, *options)
        assert result.exit_code == 0
        assert result.stdout == (b"migrate: two" if "--stream" in options else b"")
        told = "[… stderr of migrate: output is missing: rotated …]\n"
        omitted = "[… stdout of migrate: 7 bytes omitted …]\n"
        assert result.stderr == ("" if "--stream" in options else omitted + told)
        service.stream(*events)


@pytest.mark.parametrize("options", [("--tail", "1"), ("--tail", "1", "--grep", "o"), ("--grep", "o")])
async def test_follow_goes_on_where_the_tail_ends(service: ScriptedService, options: Sequence[str]) -> None:
    """A line that had begun is shown once, when it has ended; nothing twice."""
    story = Story("migrate")
    before = [story.accepted(), story.started(0), story.output(0, b"one\nfo")]
    release = Release(name=NAME, command_runs=story.release.command_runs, last_sequence=story.sequence)
    service.answer("GetRelease", release)
    gate = asyncio.Event()
    after = [story.output(0, b"ur\n"), story.finished(0), story.succeeded()]
    if options == ("--tail", "1"):
        service.answer("ListEvents", newest_first(before))
        service.stream(gate, *after)
    elif "--tail" in options:
        service.stream(*before, asyncio.Event())
        service.stream(gate, *after)
    else:
        service.stream(*before, gate, *after)
    process = await start(service.socket, "logs", NAME, "-f", *options)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"migrate: one\n"
    gate.set()
    output, messages = await process.communicate()
    assert (process.returncode, output, messages) == (0, b"migrate: four\n", b"")


async def test_ctrl_c_while_following_lines_says_how_to_come_back(service: ScriptedService) -> None:
    """As it does for the whole log."""
    story = Story("migrate")
    service.stream(story.accepted(), story.started(0), story.output(0, b"one\n"), asyncio.Event())
    service.answer("GetRelease", story.release)
    async with terminal(service.socket, "logs", NAME, "-f", "--grep", "one") as screen:
        await screen.read_until("migrate: one")
        screen.type(b"\x03")
        assert f"Come back with: releasectl watch {NAME}" in await screen.read_to_end()
    assert screen.process.returncode == 130


async def test_lines_can_not_command_the_terminal(service: ScriptedService) -> None:
    """Neither the output nor a label can."""
    story = Story("\x1b]0;a\x07")
    service.stream(
        *(story.accepted(), story.started(0), story.output(0, b"10%\r20%\x1b[2J\xff\nend")),
        story.succeeded(),
    )
    service.answer("GetRelease", story.release)
    async with terminal(service.socket, "logs", NAME, "--stream", "stdout") as screen:
        seen = await screen.read_to_end()
    label = "\\x1b]0;a\\x07: "
    assert seen == f"{label}20%\\x1b[2J\\xff\r\n{label}end\r\n"
