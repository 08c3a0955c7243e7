"""What becomes of an application's settings when release commands are imported."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from releasectl import options
from releasectl.settings_merge import Fate, merge, twins
from releasephase.v1.command_service_pb2 import Command
from releasephase.v1.release_pb2 import Argv

MIGRATE = Command(
    name="applications/shop/commands/1",
    label="migrate",
    line="./migrate",
    timeout=Duration(seconds=600),
    environments=["live"],
    allow_failure=True,
    rollback="./undo",
    disabled=True,
    position=1,
)
CHECK = Command(name="applications/shop/commands/2", label="check", line="./check", position=2)


def test_what_is_new_comes_last() -> None:
    """In the order of the file, and nothing else is touched."""
    found = [
        options.Command("b", "./b"),
        options.Command("a", argv=["./a", "x"], timeout=timedelta(seconds=9)),
    ]
    kept, *added = merge([MIGRATE], found)
    assert (kept.fate, kept.before, kept.after) == (Fate.UNCHANGED, MIGRATE, MIGRATE)
    assert [(each.fate, each.before) for each in added] == [(Fate.ADDED, None)] * 2
    assert [each.after for each in added] == [
        Command(label="b", line="./b", position=2),
        Command(label="a", argv=Argv(arguments=["./a", "x"]), timeout=Duration(seconds=9), position=3),
    ]


def test_what_is_there_already_keeps_what_the_file_does_not_say() -> None:
    """Only the line is replaced: its place, its environments and the rest are the settings'."""
    changed, left = merge([MIGRATE, CHECK], [options.Command("migrate", argv=["./new"])])
    expected = Command()
    expected.CopyFrom(MIGRATE)
    expected.argv.arguments[:] = ["./new"]
    assert (changed.fate, changed.before, changed.after) == (Fate.CHANGED, MIGRATE, expected)
    assert left.fate is Fate.UNCHANGED


def test_a_timeout_of_the_file_counts() -> None:
    """It says one, so it is meant."""
    (changed,) = merge([MIGRATE], [options.Command("migrate", "./migrate", timeout=timedelta(seconds=5))])
    assert (changed.fate, changed.after.timeout.seconds) == (Fate.CHANGED, 5)


def test_what_is_the_same_already() -> None:
    """To import twice changes nothing."""
    (same,) = merge([MIGRATE], [options.Command("migrate", "./migrate")])
    assert (same.fate, same.after) == (Fate.UNCHANGED, MIGRATE)


def test_a_command_that_is_there_under_another_label() -> None:
    """It would run twice, so it is told."""
    merged = merge([MIGRATE, CHECK], [options.Command("Release command", "./migrate")])
    assert [(added.label, other.label) for added, other in twins(merged)] == [("Release command", "migrate")]
    assert twins(merge([MIGRATE], [options.Command("migrate", "./migrate")])) == []


LABELS = st.lists(st.sampled_from("abcdef"), unique=True)
LINES = st.sampled_from(["./x", "./y"])


@given(LABELS, LABELS, st.data())
def test_nothing_is_removed_or_moved_and_all_of_the_file_is_there(
    before: list[str], labels: list[str], data: st.DataObject
) -> None:
    """Whatever was there and whatever is imported; and a second time nothing happens."""
    settings = [
        Command(label=label, line=data.draw(LINES), disabled=data.draw(st.booleans())) for label in before
    ]
    found = [options.Command(label, data.draw(LINES)) for label in labels]
    after = [each.after for each in merge(settings, found)]
    assert [command.label for command in after] == before + [label for label in labels if label not in before]
    assert {command.label: command.line for command in after}.items() >= {
        command.label: command.line for command in found
    }.items()
    again = merge(after, found)
    assert [each.after for each in again] == after
    assert {each.fate for each in again} <= {Fate.UNCHANGED}
