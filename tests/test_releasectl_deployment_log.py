"""The form of the deployment log, asserted byte for byte."""

from collections.abc import Sequence

from releasectl.deployment_log import DeploymentLog
from releasephase.v1.release_event_pb2 import ReleaseEvent
from support.story import Story, a_failure, a_success


def log(*events: ReleaseEvent) -> bytes:
    renderer = DeploymentLog()
    return b"".join(piece.data for event in events for piece in renderer.feed(event))


def test_a_release_that_succeeds() -> None:
    """Heading, then per command its name, its output and a blank line."""
    _, events = a_success()
    assert log(*events) == (
        b"===== docker release commands =====\n"
        b"\n"
        b"Running migrate...\n"
        b"\n"
        b"Applying 0001_initial... OK\n"
        b"\n"
        b"Running check...\n"
        b"\n"
        b"no issues\n"
        b"\n"
    )


def test_commands_that_are_known_later() -> None:
    """Those of the image and of the settings are known when the image is there; the log is the same."""
    story = Story.of_settings()
    events = [
        *(story.accepted(), story.preparing(), story.resolved(), story.commands_resolved("migrate", "check")),
        *(story.running(), story.started(0), story.finished(0, "FAILED", exit_code=1), story.skipped(1)),
        story.failed("Exit code 1.", 0),
    ]
    assert log(*events).endswith(b"Running migrate...\n\n\nMigrate failed. Exit code 1.\nSkipped: check.\n")


def test_commands_that_were_never_known() -> None:
    """There is nothing to be skipped."""
    story = Story.of_settings()
    failed = story.failed("The label is no JSON.", cause="COMMANDS_INVALID")
    assert log(story.accepted(), story.preparing(), failed).endswith(
        b"\n\nRelease failed. The label is no JSON.\n"
    )


def test_commands_that_are_skipped() -> None:
    """Each is told when its turn has come, with the reason, whenever that was recorded."""
    story = Story.of_settings()
    resolved = story.commands_resolved(
        "backup", "migrate", "check", "notify", backup="done by hand", notify="no!"
    )
    events = [
        *(story.accepted(), story.preparing(), resolved, story.skipped(0), story.skipped(3)),
        *(story.running(), story.started(1), story.output(1, b"ok\n"), story.finished(1)),
        *(story.started(2), story.finished(2), story.succeeded()),
    ]
    assert log(*events) == (
        b"===== docker release commands =====\n\n"
        b"Skipping backup: done by hand.\n\n"
        b"Running migrate...\n\nok\n\n"
        b"Running check...\n\n\n"
        b"Skipping notify: no!\n\n"
    )


def test_a_command_whose_turn_never_came_is_not_said_to_be_skipped_on_purpose() -> None:
    """It would not have run anyway; one list has all that did not."""
    story = Story.of_settings()
    resolved = story.commands_resolved("migrate", "check", "notify", check="known to be broken")
    events = [
        *(story.accepted(), story.preparing(), resolved, story.skipped(1), story.running()),
        *(story.started(0), story.finished(0, "FAILED", exit_code=1), story.failed("Exit code 1.", 0)),
    ]
    assert log(*events).endswith(b"Migrate failed. Exit code 1.\nSkipped: check, notify.\n")


def test_nothing_but_skipped_commands() -> None:
    """The release succeeds, and says why it did nothing."""
    story = Story.of_settings()
    resolved = story.commands_resolved("migrate", migrate="done\nby hand")
    assert log(story.accepted(), resolved, story.skipped(0), story.succeeded()) == (
        b"===== docker release commands =====\n\nSkipping migrate: done by hand.\n\n"
    )


def an_allowed_failure(story: Story, exit_code: int = 3, signal: int = 0) -> list[ReleaseEvent]:
    """The first command fails, and is allowed to."""
    story.release.command_runs[0].allow_failure = True
    finished = story.finished(0, "FAILED", exit_code, signal)
    return [story.accepted(), story.running(), story.started(0), story.output(0, b"half"), finished]


def test_a_failure_that_is_allowed() -> None:
    """It is told where it happened, and that the release goes on."""
    story = Story("self-test", "notify")
    events = an_allowed_failure(story)
    assert log(*events, story.started(1), story.finished(1), story.succeeded()) == (
        b"===== docker release commands =====\n\n"
        b"Running self-test...\n\nhalf\n\n"
        b"Self-test failed. The command ended with exit code 3. The release goes on.\n\n"
        b"Running notify...\n\n\n"
    )


def test_a_failure_that_is_allowed_to_the_last_command() -> None:
    """The release has succeeded all the same; a signal is named."""
    story = Story("self-test")
    events = an_allowed_failure(story, exit_code=137, signal=9)
    assert log(*events, story.succeeded()).endswith(
        b"Self-test failed. The command ended with exit code 137 (SIGKILL). The release goes on.\n\n"
    )


def test_a_failure_that_is_not_allowed_after_all() -> None:
    """Out of memory is no exit code of the command's own: the release does not go on, and nothing says so."""
    story = Story("self-test", "notify")
    events = an_allowed_failure(story, exit_code=137, signal=9)
    ended = log(*events, story.skipped(1), story.failed("Out of memory.", 0, "OUT_OF_MEMORY"))
    assert b"goes on" not in ended
    assert ended.endswith(b"half\n\nSelf-test failed. Out of memory.\nSkipped: notify.\n")


def test_a_failure_after_one_that_was_allowed() -> None:
    """Both are told, in their order."""
    story = Story("self-test", "notify")
    events = an_allowed_failure(story)
    ended = log(*events, story.failed("The container is gone.", cause="CONTAINER_FAILED"))
    assert ended.endswith(
        b"exit code 3. The release goes on.\n\nRelease failed. The container is gone.\nSkipped: notify.\n"
    )


def test_a_release_that_fails() -> None:
    """The failed command is named with the reason, then what never ran."""
    _, events = a_failure()
    assert log(*events) == (
        b"===== docker release commands =====\n"
        b"\n"
        b"Running migrate...\n"
        b"\n"
        b"Traceback\n"
        b"\n"
        b"Migrate failed. Exit code 1.\n"
        b"Skipped: check.\n"
    )


def test_a_command_without_output() -> None:
    """The form is the same: a blank line before its output and one after it."""
    story = Story("true")
    events = [story.accepted(), story.started(0), story.finished(0), story.succeeded()]
    assert log(*events).endswith(b"\n\nRunning true...\n\n\n")


def test_a_release_without_commands() -> None:
    """There is nothing to run, and so nothing under the heading."""
    story = Story()
    assert log(story.accepted(), story.succeeded()) == b"===== docker release commands =====\n\n"


def test_nothing_is_written_before_there_is_something_to_say() -> None:
    """A release that waits has an empty log."""
    story = Story("migrate")
    assert log(story.accepted(), story.notice("QUEUED", 2), story.preparing(), story.running()) == b""


def test_a_failure_before_any_command() -> None:
    """What failed is the release then."""
    story = Story("migrate", "check")
    failed = story.failed("There is no image\n  shop:42.", cause="IMAGE_UNAVAILABLE")
    assert log(story.accepted(), story.preparing(), failed) == (
        b"===== docker release commands =====\n"
        b"\n"
        b"Release failed. There is no image shop:42.\n"
        b"Skipped: migrate, check.\n"
    )


def test_a_cancelled_release() -> None:
    """A cancelled release says so, and what never ran."""
    story = Story("migrate", "check")
    events = [
        story.accepted(),
        story.started(0),
        story.output(0, b"half\n"),
        story.finished(0, "CANCELLED", exit_code=143, signal=15),
        story.skipped(1),
        story.cancelled(),
    ]
    assert log(*events).endswith(b"half\n\nRelease cancelled.\nSkipped: check.\n")


def test_why_a_release_was_cancelled() -> None:
    """The reason of who asked for it stands behind that, on one line."""
    story = Story("migrate")
    events = [story.accepted(), story.cancel_requested("wrong\nimage"), story.cancelled()]
    assert log(*events).endswith(b"\n\nRelease cancelled: wrong image\nSkipped: migrate.\n")
    # It had ended by itself when it was to be stopped.
    story = Story("migrate")
    events = [story.accepted(), story.cancel_requested("wrong image"), story.succeeded()]
    assert b"cancelled" not in log(*events)


def test_output_is_untouched() -> None:
    """Bytes of any kind, from both streams, come out in the order in which they came."""
    story = Story("mixed")
    chunks = [(b"a\xff", False), (b"\x1b[31mb\x00", True), (b"\r\n\xc3", False), (b"\xa4\n", False)]
    events = [
        story.accepted(),
        story.started(0),
        *(story.output(0, data, stderr=stderr) for data, stderr in chunks),
        story.finished(0),
        story.succeeded(),
    ]
    assert log(*events).endswith(b"Running mixed...\n\na\xff\x1b[31mb\x00\r\n\xc3\xa4\n\n")


def test_output_without_a_final_newline() -> None:
    """The blank line after it is still a blank line."""
    assert output_of(b"no newline") == b"no newline\n\n"


def test_omitted_output_is_counted() -> None:
    """What the daemon did not keep is a line of its own."""
    story = Story("talk")
    events = [
        story.accepted(),
        story.started(0),
        story.output(0, b"head"),
        story.output(0, b"tail\n", omitted_bytes=1234567),
        story.finished(0),
    ]
    assert log(*events).endswith("\n\nhead\n[… 1234567 bytes omitted …]\ntail\n\n".encode())


REMOVED = "output was removed by the retention of the audit log"


def test_output_that_was_removed_is_told_once() -> None:
    """However many events it was in, whichever stream; of each command by itself."""
    story = Story("migrate", "check")
    events = [
        story.accepted(),
        story.pruned(None, 1024),
        *(story.started(0), story.pruned(0, 2**20), story.notice("RUNNING")),
        *(story.pruned(0, 2**19, stderr=True), story.finished(0)),
        *(story.started(1), story.pruned(1, 10), story.output(1, b"kept\n"), story.finished(1)),
        story.succeeded(),
    ]
    assert log(*events).decode() == (
        f"===== docker release commands =====\n\n[… {REMOVED}: 1 KiB …]\n\n"
        f"Running migrate...\n\n[… {REMOVED}: 1.5 MiB …]\n\n"
        f"Running check...\n\n[… {REMOVED}: 10 B …]\nkept\n\n"
    )


def test_omitted_output_after_a_whole_line() -> None:
    """No empty line comes before the count."""
    assert (
        output_of(b"head\n", b"tail\n", omitted_bytes=5) == "head\n[… 5 bytes omitted …]\ntail\n\n".encode()
    )


def test_lost_output_is_told_where_it_is_missing() -> None:
    """Nobody shall take the log for complete: what is missing, of which command, and why."""
    story = Story("migrate", "check")
    events = [
        story.accepted(),
        story.started(0),
        story.output(0, b"half a li"),
        story.lost(0, "the engine's log\nhas lost its beginning", stderr=True),
        story.output(0, b"the end\n"),
        story.finished(0),
        story.lost(None, "gone"),
        story.started(1),
        story.finished(1),
        story.succeeded(),
    ]
    assert log(*events).decode().removeprefix("===== docker release commands =====\n\n") == (
        "Running migrate...\n\n"
        "half a li\n"
        "[… output on stderr of migrate is missing: the engine's log has lost its beginning …]\n"
        "the end\n\n"
        "[… output on stdout is missing: gone …]\n\n"
        "Running check...\n\n\n"
    )


def test_realigned_output_is_told() -> None:
    """What was found again differs from what is stored: something may be missing at the seam."""
    story = Story("migrate")
    events = [
        story.accepted(),
        story.started(0),
        story.output(0, b"a\nb\n"),
        story.realigned(0, missing_bytes=1200, altered_bytes=3),
        story.finished(0),
    ]
    assert (
        log(*events)
        .decode()
        .endswith(
            "a\nb\n"
            "[… output on stdout of migrate may be missing: "
            "the engine's log lacks 1200 bytes that are stored, and differs in 3 more …]\n\n"
        )
    )


def test_output_outside_of_commands() -> None:
    """What the entrypoint wrote stands before the command, set off by a blank line."""
    story = Story("migrate")
    events = [
        story.accepted(),
        story.output(None, b"waiting for db... "),
        story.output(None, b"there"),
        story.started(0),
        story.finished(0),
        story.output(None, b"bye\n"),
        story.succeeded(),
    ]
    assert log(*events) == (
        b"===== docker release commands =====\n\nwaiting for db... there\n\nRunning migrate...\n\n\nbye\n\n"
    )


def test_a_failed_release_without_its_commands_end() -> None:
    """A lost engine leaves no end of the command; the log is well-formed all the same."""
    story = Story("migrate")
    events = [
        story.accepted(),
        story.started(0),
        story.output(0, b"half a li"),
        story.failed("The engine went away.", 0, "ENGINE_LOST"),
    ]
    assert log(*events).endswith(b"half a li\n\nMigrate failed. The engine went away.\n")


def output_of(*chunks: bytes, omitted_bytes: int = 0) -> bytes:
    """Return the log of one command's output; the omitted bytes are before its last chunk."""
    story = Story("talk")
    outputs: Sequence[ReleaseEvent] = [story.output(0, chunk) for chunk in chunks]
    outputs[-1].command_output.omitted_bytes = omitted_bytes
    whole = log(story.accepted(), story.started(0), *outputs, story.finished(0))
    return whole.removeprefix(b"===== docker release commands =====\n\nRunning talk...\n\n")
