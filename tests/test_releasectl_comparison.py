"""What differs between two releases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from releasectl.comparison import FIELDS, Comparison, Environment, compare
from releasectl.comparison_view import (
    compared_fields,
    comparison_object,
    difference_fields,
    duration_table,
)
from releasectl.formatting import iso_time
from releasectl.words import ratio_text
from releasephase.v1.release_pb2 import (
    CONTAINER_MODE_PER_COMMAND,
    OUTCOME_ABANDONED,
    Caller,
    CommandRun,
    EntrypointOverride,
    Failure,
    Mount,
    Release,
    Resources,
)
from support.story import BEGIN, Story, timestamp


def a_run(label: str, line: str = "", took: float | None = None, **fields: Any) -> CommandRun:
    """A command, which succeeded if it took some seconds."""
    run = CommandRun(label=label, line=line or f"./{label}", timeout=Duration(seconds=60), **fields)
    if took is not None:
        run.state = CommandRun.STATE_SUCCEEDED
        run.start_time.CopyFrom(timestamp(BEGIN))
        run.end_time.CopyFrom(timestamp(BEGIN + timedelta(seconds=took)))
    return run


def a_release(*runs: CommandRun, **values: str) -> Release:
    """A release with these commands, and variables with the digests of their values."""
    release = Story().release
    for index, run in enumerate(runs):
        run.index = index
    release.command_runs.extend(runs)
    release.environment_names.extend(values)
    release.environment_digests.update(values)
    return release


def commands_of(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    return {command.label: command.changes for command in comparison.commands}


def rows_of(comparison: Comparison) -> list[tuple[str, str, str]]:
    """What differs, what it was and what it is; a hyphen for what was not there."""
    rows: list[tuple[str, str, str]] = []
    for name, line in difference_fields(comparison):
        sign, text = line.split(" ", 1)
        if name:
            rows.append((name, "-", "-"))
        rows[-1] = (rows[-1][0], text, "-") if sign == "-" else (*rows[-1][:2], text)
    return rows


def test_nothing_differs() -> None:
    """How long something took is no difference, nor which process asked for it."""
    before, after = a_release(a_run("a", took=1), A="1"), a_release(a_run("a", took=9), A="1")
    before.caller.pid, after.caller.pid = 1, 2
    comparison = compare(before, after)
    assert comparison.is_same
    assert rows_of(comparison) == []
    assert list(duration_table(comparison).rows) == [("a", "1s", "9s", "9x")]


CHANGES: list[tuple[str, Callable[[Release], object], tuple[str, str, str]]] = [
    ("application", lambda r: setattr(r, "application", "blog"), ("application", "shop", "blog")),
    ("environment", lambda r: setattr(r, "environment", "test"), ("environment", "live", "test")),
    ("image", lambda r: setattr(r, "image", "shop:43"), ("image", "registry.example/shop:42", "shop:43")),
    ("image_digest", lambda r: setattr(r, "image_digest", "shop@sha256:9"), ("digest", "-", "shop@sha256:9")),
    ("image_id", lambda r: setattr(r, "image_id", "sha256:8"), ("image id", "-", "sha256:8")),
    ("resources", lambda r: r.resources.CopyFrom(Resources(pids=7)), ("limits", "-", "7 pids")),
    ("mounts", lambda r: r.mounts.append(Mount(source="a", target="/b")), ("mounts", "-", "a:/b")),
    ("networks", lambda r: r.networks.append("front"), ("networks", "-", "front")),
    ("user", lambda r: setattr(r, "user", "app"), ("user", "-", "app")),
    ("working_dir", lambda r: setattr(r, "working_dir", "/w"), ("working dir", "-", "/w")),
    (
        "entrypoint",
        lambda r: r.entrypoint.CopyFrom(EntrypointOverride(arguments=[])),
        ("entrypoint", "-", "none"),
    ),
    (
        "container_mode",
        lambda r: setattr(r, "container_mode", CONTAINER_MODE_PER_COMMAND),
        ("containers", "UNSPECIFIED", "PER_COMMAND"),
    ),
    ("release_timeout", lambda r: r.release_timeout.FromSeconds(90), ("release timeout", "-", "1m30s")),
    ("engine_version", lambda r: setattr(r, "engine_version", "24.0"), ("engine", "-", "24.0")),
    ("caller", lambda r: r.caller.CopyFrom(Caller(uid=7, user="ci")), ("caller", "-", "ci (uid 7)")),
    ("requested_by", lambda r: setattr(r, "requested_by", "jane"), ("requested by", "-", "jane")),
    ("labels", lambda r: r.labels.update({"b": "2", "a": "1"}), ("labels", "-", "a=1, b=2")),
    ("state", lambda r: setattr(r, "state", Release.STATE_RUNNING), ("state", "QUEUED", "RUNNING")),
    ("failure", lambda r: r.failure.CopyFrom(Failure(message="no")), ("reason", "-", "no")),
    ("outcome", lambda r: setattr(r, "outcome", OUTCOME_ABANDONED), ("outcome", "-", "ABANDONED")),
]


@pytest.mark.parametrize(("field", "change", "row"), CHANGES, ids=[field for field, *_ in CHANGES])
def test_field_that_differs(
    field: str, change: Callable[[Release], object], row: tuple[str, str, str]
) -> None:
    """It is named with what it was and what it is."""
    after = a_release()
    change(after)
    comparison = compare(a_release(), after)
    assert comparison.fields == (field,)
    assert row in rows_of(comparison)
    assert not comparison.is_same


def test_every_field_is_tried_above() -> None:
    """Whoever compares another field says here how it is shown."""
    assert [field for field, *_ in CHANGES] == list(FIELDS)


def test_what_differs_looks_like_a_diff() -> None:
    """Long values have a line each; what was not there has none."""
    before, after = a_release(OLD="11"), a_release(NEW="22")
    after.image = "shop:43"
    assert difference_fields(compare(before, after)) == [
        ("image", "- registry.example/shop:42"),
        ("", "+ shop:43"),
        ("variable NEW", "+ #22"),
        ("variable OLD", "- #11"),
    ]


def test_order_of_mounts_is_no_difference() -> None:
    """They are where they are."""
    before, after = a_release(), a_release()
    mounts = [Mount(source="a", target="/a"), Mount(source="b", target="/b")]
    before.mounts.extend(mounts)
    after.mounts.extend(reversed(mounts))
    assert compare(before, after).is_same


def test_environment_by_the_digests_of_values() -> None:
    """Added, removed, changed, and what stayed as it was."""
    before = a_release(GONE="11", SAME="22", OTHER="33")
    after = a_release(SAME="22", OTHER="44", NEW="55")
    comparison = compare(before, after)
    assert comparison.environment == Environment(
        added=("NEW",), removed=("GONE",), changed=("OTHER",), unchanged=("SAME",), unknown=()
    )
    assert rows_of(comparison) == [
        ("variable GONE", "#11", "-"),
        ("variable NEW", "-", "#55"),
        ("variable OTHER", "#33", "#44"),
    ]
    assert ("variables", "1 unchanged") in compared_fields(comparison, iso_time)


def test_variable_without_a_digest_is_told_all_the_same() -> None:
    """That it came, and what is there now."""
    after = a_release(A="1")
    del after.environment_digests["A"]
    assert difference_fields(compare(a_release(), after)) == [("variable A", "+ set")]


def test_values_that_cannot_be_compared() -> None:
    """Those of another target, and those that an earlier version accepted: nothing is said of them."""
    before, after = a_release(A="1"), a_release(A="2")
    del before.environment_digests["A"]
    assert compare(before, after).environment.unknown == ("A",)
    other_target = a_release(A="2")
    other_target.environment = "test"
    comparison = compare(other_target, after)
    assert comparison.environment.unknown == ("A",)
    assert ("variables", "whose values can't be compared: A") in compared_fields(comparison, iso_time)


def test_commands() -> None:
    """Added, removed, with another line or timeout."""
    slower = a_run("slower", line="true")
    slower.timeout.seconds = 90
    before = a_release(a_run("same"), a_run("other"), a_run("slower", line="true"), a_run("gone"))
    after = a_release(a_run("new"), a_run("same"), a_run("other", line="./other --all"), slower)
    comparison = compare(before, after)
    assert commands_of(comparison) == {
        "new": ("added",),
        "same": (),
        "other": ("command",),
        "slower": ("timeout",),
        "gone": ("removed",),
    }
    assert rows_of(comparison) == [
        ("command new", "-", "./new"),
        ("command other, line", "./other", "./other --all"),
        ("command slower, timeout", "1m", "1m30s"),
        ("command gone", "./gone", "-"),
    ]


def test_what_else_is_different_about_a_command() -> None:
    """Where it was declared, whether it may fail, what undoes it, and whether it is skipped."""
    before = a_run("a", source=CommandRun.SOURCE_REQUEST)
    after = a_run(
        "a",
        source=CommandRun.SOURCE_SETTINGS,
        allow_failure=True,
        rollback="./undo\n./all",
        skip_reason="known to be broken",
    )
    comparison = compare(a_release(before), a_release(after))
    assert commands_of(comparison) == {"a": ("source", "allow_failure", "rollback", "skip")}
    assert rows_of(comparison) == [
        ("command a, source", "REQUEST", "SETTINGS"),
        ("command a, allow-failure", "no", "yes"),
        ("command a, rollback", "none", r"./undo\n./all"),
        ("command a, skipped", "no", "known to be broken"),
    ]
    assert not comparison.is_same


def test_line_is_not_the_program_of_the_same_words() -> None:
    """One is for a shell, the other is not."""
    program = CommandRun(label="a", timeout=Duration(seconds=60))
    program.argv.arguments.append("./a")
    comparison = compare(a_release(a_run("a")), a_release(program))
    assert commands_of(comparison) == {"a": ("command",)}
    assert rows_of(comparison) == [("command a, line", "./a", '["./a"]')]


def test_order_of_commands() -> None:
    """One that was moved is named, and not those that it passed."""
    before = a_release(*(a_run(label) for label in "abcd"))
    after = a_release(*(a_run(label) for label in "dabc"))
    comparison = compare(before, after)
    assert commands_of(comparison) == {"d": ("order",), "a": (), "b": (), "c": ()}
    assert rows_of(comparison) == [("command d, order", "number 4", "number 1")]


def test_commands_of_the_same_label_are_told_apart_by_their_order() -> None:
    """The second one is the second one."""
    comparison = compare(
        a_release(a_run("a"), a_run("a", line="x")), a_release(a_run("a"), a_run("a", line="y"))
    )
    assert [command.changes for command in comparison.commands] == [(), ("command",)]


def test_durations_are_left_out_where_there_are_none() -> None:
    """A table without a number says nothing."""
    failed = a_run("a", state=CommandRun.STATE_FAILED)
    assert not duration_table(compare(a_release(failed), a_release(failed))).rows


def test_white_space_of_a_line_is_seen() -> None:
    """A line break is a command's end to a shell, and two blanks may be in quotes."""
    comparison = compare(
        a_release(a_run("a", line="echo 1\necho 2"), a_run("b", line="echo '1 2'")),
        a_release(a_run("a", line="echo 1 echo 2"), a_run("b", line="echo '1  2'\n\ttrue")),
    )
    assert rows_of(comparison) == [
        ("command a, line", r"echo 1\necho 2", "echo 1 echo 2"),
        ("command b, line", "echo '1 2'", r"echo '1  2'\n\ttrue"),
    ]


def test_long_lines_are_shown_from_where_they_differ() -> None:
    """Two that begin with the same hundred characters can be told apart."""
    same = "x" * 200
    comparison = compare(a_release(a_run("a", line=f"{same}1")), a_release(a_run("a", line=f"{same}2")))
    assert rows_of(comparison) == [("command a, line", f"…{'x' * 20}1", f"…{'x' * 20}2")]
    comparison = compare(a_release(a_run("a", line=same)), a_release(a_run("a", line=f"{same} --all")))
    assert rows_of(comparison) == [("command a, line", f"…{'x' * 20}", f"…{'x' * 20} --all")]


def test_durations() -> None:
    """Only what succeeded tells how long it takes."""
    failed = a_run("b", took=1)
    failed.state = CommandRun.STATE_FAILED
    before = a_release(a_run("a", took=10), failed, a_run("gone", took=3), a_run("nothing", took=0))
    after = a_release(a_run("a", took=18), a_run("b", took=1), a_run("nothing", took=1))
    table = duration_table(compare(before, after))
    assert list(table.rows) == [
        ("a", "10s", "18s", "1.8x"),
        ("b", "-", "1s", "-"),
        ("nothing", "0s", "1s", "-"),
        ("gone", "3s", "-", "-"),
    ]


@pytest.mark.parametrize(
    ("ratio", "text"), [(None, "-"), (1.0, "1x"), (0.123, "0.12x"), (1.84, "1.8x"), (99.6, "100x")]
)
def test_ratio(ratio: float | None, text: str) -> None:
    """Two digits say enough."""
    assert ratio_text(ratio) == text


def test_json_object() -> None:
    """What is compared, and all that differs, in the contract's own names."""
    before, after = a_release(a_run("a", took=10), A="11"), a_release(a_run("a", took=20), A="22")
    after.image = "shop:43"
    found: dict[str, Any] = comparison_object(compare(before, after))
    (command,) = found.pop("commands")
    run = command.pop("before")
    assert (run["label"], run["line"], run["timeout"]) == ("a", "./a", "60s")
    assert command.pop("after")["end_time"] == "2026-01-31T12:00:20Z"
    assert command == {"label": "a", "changes": [], "ratio": 2.0}
    head = {
        "name": before.name,
        "application": "shop",
        "environment": "live",
        "state": "STATE_QUEUED",
        "create_time": "2026-01-31T12:00:00Z",
    }
    assert found == {
        "before": head,
        "after": head,
        "fields": [{"field": "image", "before": "registry.example/shop:42", "after": "shop:43"}],
        "environment": {"added": [], "removed": [], "changed": ["A"], "unchanged": [], "unknown": []},
    }
