"""What a person is told beside the log."""

from releasectl.messages import Messages, drain_message
from releasephase.v1.daemon_service_pb2 import DrainProgress
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import Caller, Receipt
from support.story import NAME, Story


def told(*events: ReleaseEvent) -> list[str]:
    messages = Messages()
    return [message for event in events if (message := messages.of(event))]


def test_a_release_from_the_queue_to_its_end() -> None:
    """Each step is told once, and output is not."""
    story = Story("migrate")
    assert told(
        story.accepted(),
        story.notice("QUEUED", 2),
        story.notice("QUEUED", 2),
        story.notice("QUEUED", 1),
        story.preparing(),
        story.pulling(0, 1000),
        story.pulling(0, 2000),
        story.pulling(1, 3000),
        story.resolved(pulled=True),
        story.created(),
        story.running(),
        story.notice("RUNNING"),
        story.started(0),
        story.output(0, b"x"),
        story.finished(0),
        story.succeeded(),
    ) == [
        f"accepted as {NAME}",
        "queued, position 2",
        "queued, position 1",
        "preparing",
        "pulling registry.example/shop:42, 0 of 5 layers",
        "pulling registry.example/shop:42, 1 of 5 layers",
        "pulled registry.example/shop:42 (digest registry.example/shop@sha256:5678)",
        "created container shop-live-398f",
        "running",
        "succeeded",
    ]


def test_an_image_that_was_there_is_found() -> None:
    """Pulled and found are told apart."""
    story = Story()
    assert told(story.accepted(), story.resolved())[1].startswith("found registry.example/shop:42 (")


def test_commands_of_image_and_settings_are_told() -> None:
    """Nobody named them: what runs, from where, and what does not."""
    story = Story.of_settings()
    resolved = story.commands_resolved("caches", "migrate", "check", check="known to be broken")
    assert told(story.accepted(), resolved, story.skipped(2), story.slow(1, 12))[1:] == [
        "commands: caches (image), migrate (settings), check (settings, to be skipped)",
        "migrate is slow: it has taken four times its median of 12s",
    ]


def test_no_commands_at_all_are_told() -> None:
    """They may be there, disabled or for other environments: only that none runs is known."""
    story = Story.of_settings()
    assert told(story.accepted(), story.commands_resolved())[1:] == [
        "nothing to run: neither the image nor the settings have a command that runs in this environment"
    ]


def test_a_slow_command_is_told_once() -> None:
    """With what it usually takes."""
    story = Story("migrate")
    assert told(story.accepted(), story.started(0), story.slow(0, 12.34), story.notice("RUNNING"))[1:] == [
        "migrate is slow: it has taken four times its median of 12s"
    ]


def test_a_failure_is_told_with_its_reason() -> None:
    """The state alone would not help."""
    story = Story("migrate")
    assert told(story.failed("Exit code 1.", 0)) == ["failed: Exit code 1."]


def test_the_end_is_told_with_its_receipt() -> None:
    """In the form in which the audit log can be asked for it later."""
    story = Story("migrate")
    ends = [story.succeeded(), story.failed("Exit code 1.", 0)]
    for end in ends:
        end.state_changed.receipt.CopyFrom(Receipt(sequence=7, digest="ab" * 32))
    receipt = f"7:{'ab' * 32}"
    assert told(*ends) == [f"succeeded (receipt {receipt})", f"failed (receipt {receipt}): Exit code 1."]


def test_a_cancelled_command() -> None:
    """Who asked why, and which signal was sent to what."""
    story = Story("migrate")
    assert told(
        story.accepted(),
        story.cancel_requested("wrong image"),
        story.signal_sent(0, 15, "cancelled"),
        story.signal_sent(0, 9),
        story.cancelled(),
    )[1:] == [
        "cancel requested: wrong image",
        "sent SIGTERM to migrate: cancelled",
        "sent SIGKILL to migrate",
        "cancelled",
    ]


def test_an_image_without_a_digest_has_an_id() -> None:
    """Which is not what `history --digest` looks for."""
    story = Story("migrate")
    resolved = story.resolved()
    resolved.image_resolved.image_digest = ""
    resolved.image_resolved.image_id = "sha256:1234"
    assert told(story.accepted(), resolved)[1:] == ["found registry.example/shop:42 (image id sha256:1234)"]


def test_a_cancellation_names_its_caller() -> None:
    """By what the daemon's kernel says."""
    event = Story("migrate").cancel_requested("")
    event.cancel_requested.caller.CopyFrom(Caller(uid=1000, user="ci"))
    assert told(event) == ["cancel requested by ci (uid 1000)"]


def test_a_release_that_is_adopted_and_whose_engine_comes_back() -> None:
    """Whoever watches knows why nothing happened for a while; what is missing is told in the log."""
    story = Story("migrate")
    assert told(
        story.accepted(),
        story.started(0),
        story.adopted(),
        story.lost(0, "rotated away"),
        story.reconnected(),
        story.realigned(0, missing_bytes=1),
    )[1:] == [
        "the daemon was started again and goes on with the release",
        "the engine was away and is back; the release goes on",
    ]


def test_a_drain() -> None:
    """What is left to do, and what will not be done now."""
    told = [DrainProgress(running_releases=r, queued_releases=q) for r, q in ((2, 1), (1, 0), (0, 1), (0, 0))]
    assert [drain_message(progress) for progress in told] == [
        "draining: 2 releases under way, 1 queued for the next start",
        "draining: 1 release under way",
        "drained, 1 queued for the next start",
        "drained",
    ]
