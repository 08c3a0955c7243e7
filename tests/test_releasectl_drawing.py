"""The tables of `history` and `show`: aligned on a pipe, fitted on a terminal."""

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from releasectl.drawing import draw, fitted
from releasectl.formatting import iso_time
from releasectl.tables import (
    Table,
    command_remarks,
    command_table,
    history_table,
    release_fields,
)
from releasephase.v1.release_pb2 import (
    CONTAINER_MODE_PER_COMMAND,
    CONTAINER_MODE_PER_RELEASE,
    OUTCOME_ABANDONED,
    Caller,
    EntrypointOverride,
    Mount,
    Receipt,
    Release,
    Resources,
)
from support.story import BEGIN, NAME, Story, a_failure, timestamp


@pytest.fixture
def failed() -> Release:
    story, _ = a_failure()
    release = story.release
    release.start_time.CopyFrom(timestamp(BEGIN + timedelta(seconds=2)))
    run = release.command_runs[0]
    run.start_time.CopyFrom(release.start_time)
    run.end_time.CopyFrom(timestamp(BEGIN + timedelta(seconds=6.5)))
    run.stderr_bytes = 12345
    return release


def test_history(failed: Release, capsys: pytest.CaptureFixture[str]) -> None:
    """One release a line; what there is nothing to say about is a hyphen."""
    queued = Story("migrate").release
    queued.application = "blog"
    failed.outcome = OUTCOME_ABANDONED
    draw(history_table([queued, failed], iso_time))
    assert capsys.readouterr().out.splitlines() == [
        "RELEASE                               TARGET     STATE   CAUSE           OUTCOME    "
        "CREATED               TOOK  IMAGE",
        "01939d3b-7e4a-7cc3-98c4-dc0c0c07398f  blog/live  QUEUED  -               -          "
        "2026-01-31T12:00:00Z  -     registry.example/shop:42",
        "01939d3b-7e4a-7cc3-98c4-dc0c0c07398f  shop/live  FAILED  COMMAND_FAILED  ABANDONED  "
        "2026-01-31T12:00:00Z  6s    registry.example/shop:42",
    ]


def test_show(failed: Release, capsys: pytest.CaptureFixture[str]) -> None:
    """First what there is to say about the release, then a line for each command."""
    draw(release_fields(failed, iso_time), command_table(failed))
    assert capsys.readouterr().out == (
        f"release  {NAME}\n"
        "target   shop/live\n"
        "state    FAILED COMMAND_FAILED\n"
        "reason   Exit code 1.\n"
        "image    registry.example/shop:42\n"
        "created  2026-01-31T12:00:00Z\n"
        "started  2026-01-31T12:00:02Z\n"
        "ended    2026-01-31T12:00:08Z\n"
        "took     6s\n"
        "\n"
        "NO  COMMAND  SOURCE   STATE    EXIT  TOOK  TIMEOUT  STDOUT  STDERR    LINE\n"
        "1   migrate  REQUEST  FAILED   1     4.5s  30m      -       12.1 KiB  ./migrate\n"
        "2   check    REQUEST  SKIPPED  -     -     30m      -       -         ./check\n"
    )


def test_show_tells_what_was_asked_for() -> None:
    """Every option of the request can be found again; of the environment names, and heads of digests."""
    release = Story().release
    release.queue_position = 2
    release.lock_groups.extend(["orders-db", "disk"])
    release.image_digest = "registry.example/shop@sha256:5678"
    release.caller.CopyFrom(Caller(uid=1000, pid=4711, user="ci", executable="/usr/bin/agent"))
    release.requested_by = "jane"
    release.request_id = "b7e4"
    release.release_timeout.FromTimedelta(timedelta(hours=1, minutes=30))
    release.labels.update({"b": "2", "a": "1"})
    release.environment_names.extend(["A", "B"])
    release.environment_digests["B"] = "0123456789abcdef0123456789abcdef"
    release.engine_version, release.image_id = "20.10.24", "sha256:1234"
    release.networks.extend(["front", "back"])
    release.mounts.extend([Mount(source="/a", target="/b", read_only=True), Mount(source="c", target="/d")])
    release.resources.CopyFrom(Resources(memory_bytes=2**29, cpus=1.5, pids=100))
    release.receipt.CopyFrom(Receipt(sequence=9, digest="ab" * 32))
    release.user, release.working_dir, release.container_name = "app", "/app", "shop-live-398f"
    release.entrypoint.CopyFrom(EntrypointOverride(arguments=["/bin/tini", "--"]))
    assert release_fields(release, iso_time) == [
        ("release", NAME),
        ("target", "shop/live"),
        ("state", "QUEUED"),
        ("queue position", "2"),
        ("lock groups", "orders-db, disk"),
        ("image", "registry.example/shop:42"),
        ("digest", "registry.example/shop@sha256:5678"),
        ("image id", "sha256:1234"),
        ("created", "2026-01-31T12:00:00Z"),
        ("caller", "ci (uid 1000), process 4711 (/usr/bin/agent)"),
        ("requested by", "jane"),
        ("request id", "b7e4"),
        ("release timeout", "1h30m"),
        ("labels", "a=1, b=2"),
        ("environment", "A, B#01234567"),
        ("networks", "front, back"),
        ("mounts", "/a:/b:ro, c:/d"),
        ("limits", "512 MiB memory, 1.5 cpus, 100 pids"),
        ("user", "app"),
        ("working dir", "/app"),
        ("entrypoint", "/bin/tini --"),
        ("container", "shop-live-398f"),
        ("engine", "20.10.24"),
        ("receipt", f"9:{'ab' * 32}"),
    ]


def test_an_image_that_never_was_in_a_registry_has_no_digest() -> None:
    """`history --digest` would not find the engine's id under that name."""
    release = Story().release
    release.image_id = "sha256:1234"
    fields = dict(release_fields(release, iso_time))
    assert (fields["image id"], "digest" in fields) == ("sha256:1234", False)


def test_a_command_of_several_lines_is_one_row() -> None:
    """In which its line breaks are seen."""
    story = Story("migrate")
    story.release.command_runs[0].line = "set -e\n./migrate\n"
    assert command_table(story.release).rows[0][-1] == r"set -e\n./migrate\n"


def test_show_tells_the_outcome() -> None:
    """Who reported it, when, and why, if that was said."""
    release = Story().release
    release.outcome = OUTCOME_ABANDONED
    release.outcome_caller.CopyFrom(Caller(uid=1000, user="ci"))
    release.outcome_time.CopyFrom(timestamp(BEGIN))
    fields = dict(release_fields(release, iso_time))
    assert fields["outcome"] == "ABANDONED by ci (uid 1000), 2026-01-31T12:00:00Z"
    release.outcome_reason = "health check"
    fields = dict(release_fields(release, iso_time))
    assert fields["outcome"] == "ABANDONED by ci (uid 1000), 2026-01-31T12:00:00Z: health check"


def test_show_tells_who_cancelled_a_release() -> None:
    """And when and why, also of a release that ended otherwise."""
    release = Story().release
    assert not {"cancelled", "cancel requested"} & {name for name, _ in release_fields(release, iso_time)}
    release.cancel_time.CopyFrom(timestamp(BEGIN))
    release.state = Release.STATE_SUCCEEDED
    assert ("cancel requested", "2026-01-31T12:00:00Z") in release_fields(release, iso_time)
    release.state = Release.STATE_CANCELLED
    release.cancel_caller.CopyFrom(Caller(user="root"))
    release.cancel_reason = "wrong image"
    expected = ("cancelled", "by root (uid 0), 2026-01-31T12:00:00Z: wrong image")
    assert expected in release_fields(release, iso_time)


def test_a_caller_without_a_name_is_a_number() -> None:
    """Of root, all numbers but the process's are 0; of an old release nobody knows."""
    release = Story().release
    assert "caller" not in dict(release_fields(release, iso_time))
    release.caller.CopyFrom(Caller(pid=7))
    assert ("caller", "uid 0, process 7") in release_fields(release, iso_time)


def test_an_entrypoint_taken_away_is_told_from_the_images_own() -> None:
    """Nothing is not the same as not said."""
    release = Story().release
    release.entrypoint.CopyFrom(EntrypointOverride())
    assert ("entrypoint", "none") in release_fields(release, iso_time)


def test_a_container_for_each_command_is_told() -> None:
    """One for the whole release is what everybody expects."""
    release = Story().release
    release.container_mode = CONTAINER_MODE_PER_COMMAND
    assert ("containers", "one for each command") in release_fields(release, iso_time)
    release.container_mode = CONTAINER_MODE_PER_RELEASE
    assert "containers" not in dict(release_fields(release, iso_time))


def test_show_tells_which_releases_belong_together() -> None:
    """What it tries again, what it undoes, what undoes it, and what it kept others from."""
    release = Story().release
    release.retry_of, release.rollback_of, release.rollback = "releases/a", "releases/b", "releases/c"
    release.lock_groups.extend(["cluster", "shop-db"])
    fields = release_fields(release, iso_time)
    assert ("retry of", "releases/a") in fields
    assert ("rollback of", "releases/b") in fields
    assert ("rolled back by", "releases/c") in fields
    assert ("lock groups", "cluster, shop-db") in fields


def test_show_tells_what_was_taken_from_a_container() -> None:
    """By name, and from which; nothing is said of a release that is like no other."""
    release = Story().release
    assert "like" not in dict(release_fields(release, iso_time))
    release.likeness.container_name = "shop-web-1"
    assert ("like", "shop-web-1: nothing to take") in release_fields(release, iso_time)
    release.likeness.environment_names.extend(["A", "B"])
    release.likeness.networks.append("front")
    release.likeness.mounts.add(source="data", target="/data", read_only=True)
    release.likeness.user = "app"
    expected = "shop-web-1: variables A, B; networks front; mounts data:/data:ro; user app"
    assert ("like", expected) in release_fields(release, iso_time)


def test_show_tells_why_there_are_no_commands() -> None:
    """Not known yet is not none."""
    release = Story.of_settings().release
    assert ("commands", "known once the image is there") in release_fields(release, iso_time)
    release.state = Release.STATE_FAILED
    assert ("commands", "never known") in release_fields(release, iso_time)
    release.state = Release.STATE_SUCCEEDED
    none = "none: neither the image nor the settings have a command that runs in this environment"
    assert ("commands", none) in release_fields(release, iso_time)
    assert "commands" not in dict(release_fields(Story().release, iso_time))


def test_show_tells_what_is_special_about_commands() -> None:
    """Why one was skipped, which may fail, and what undoes one."""
    story = Story("a", "b", "c")
    skipped, special, _ = story.release.command_runs
    skipped.skip_reason = "done by hand"
    special.allow_failure, special.rollback = True, "./undo\n./all"
    assert command_remarks(story.release) == [
        ("a", "skipped: done by hand"),
        ("b", "allow-failure"),
        ("b", r"rollback: ./undo\n./all"),
    ]


def test_a_command_ended_by_a_signal_names_it() -> None:
    """The exit code alone would need a table at hand."""
    story = Story("migrate")
    story.finished(0, "TIMED_OUT", exit_code=143, signal=15)
    story.release.command_runs[0].timeout.CopyFrom(Duration(seconds=90))
    assert command_table(story.release).rows == [
        ("1", "migrate", "REQUEST", "TIMED_OUT", "143 SIGTERM", "-", "1m30s", "-", "-", "./migrate")
    ]


def test_a_command_without_an_exit_code_still_names_its_signal() -> None:
    """A command that was killed may never have told one."""
    story = Story("migrate")
    story.finished(0, "CANCELLED", exit_code=None, signal=9)
    assert command_table(story.release).rows[0][1:5] == ("migrate", "REQUEST", "CANCELLED", "SIGKILL")


def test_what_is_empty_is_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    """A heading without rows says nothing."""
    draw(history_table([], iso_time))
    assert capsys.readouterr().out == ""


def test_a_cell_can_not_break_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a label holds, a row stays a row, and columns stay aligned."""
    draw(Table(("A", "B"), [("x\ny\x1b[0m", "1"), ("移行", "2")], elastic="A"))
    assert capsys.readouterr().out == "A            B\nx\\ny\\x1b[0m  1\n移行         2\n"


TABLE = Table(
    ("NAME", "WHY", "IMAGE"),
    [("releases/1", "because", "registry.example/shop:42")],
    "IMAGE",
    ("WHY", "IMAGE"),
)


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (80, ("releases/1", "because", "registry.example/shop:42")),
        (45, ("releases/1", "because", "registry.example/shop:42")),
        (44, ("releases/1", "because", "registr…example/shop:42")),
        (33, ("releases/1", "because", "reg…/shop:42")),
        (32, ("releases/1", "regist…ample/shop:42")),
        (24, ("releases/1", "reg…/shop:42")),
        (23, ("releases/1",)),
        (5, ("releases/1",)),
    ],
)
def test_a_table_is_fitted_to_the_terminal(width: int, row: tuple[str, ...]) -> None:
    """First the elastic column gives way, then the optional ones; a name is never cut."""
    assert fitted(TABLE, width).rows == [row]
