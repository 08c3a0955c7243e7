"""Verifying an export of an audit log: what was changed in it is told, and what it has of its log."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from released.audit.chain import GENESIS
from released.audit.verification.export import verify_export
from released.audit.verification.findings import Extent, Problem
from released.model.events import CommandOutput, StateChanged
from released.model.receipt import Receipt
from released.model.states import ReleaseState, Stream
from support import audit_log
from support.exported import Lines, lines_of, write
from support.samples import RELEASE, accepted
from support.tampering import ALTERED

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
EVENTS = 5


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with output that is stored compressed and as it came."""
    path = tmp_path / "log" / "audit.db"
    async with audit_log.opened(path) as audit:
        audit.append(RELEASE, accepted("a"))
        audit.append_output(RELEASE, [(OUTPUT, b"x" * 5000), (OUTPUT, b"\xff\0"), (OUTPUT, b"")])
        await audit.append(RELEASE, StateChanged(state=ReleaseState.SUCCEEDED))
    return path


def test_an_export_is_sound(path: Path, tmp_path: Path) -> None:
    """Whole, from an event on, without output, and empty."""
    lines = lines_of(path)
    report = verify_export(write(tmp_path / "export", lines))
    assert (report.problems, report.event_count) == ([], EVENTS)
    assert report.head is not None
    assert (report.head.sequence, report.head.digest) == (EVENTS, lines[-1]["digest"])
    bare = [{key: value for key, value in line.items() if key != "output"} for line in lines]
    for part in (lines[2:], bare, []):
        assert verify_export(write(tmp_path / "export", part)).problems == []


def test_an_export_says_what_it_has_of_the_log(path: Path, tmp_path: Path) -> None:
    """Where it begins, and from where on output is there: what was pruned or left out is not."""
    first, *written, last = lines_of(path)
    bare = [{key: value for key, value in line.items() if key != "output"} for line in written]

    def extent_of(*lines: dict[str, Any]) -> Extent | None:
        return verify_export(write(tmp_path / "export", list(lines))).extent

    assert extent_of() == Extent()
    assert extent_of(first, *written, last) == Extent(1, 3, 0, 2)
    assert extent_of(*written, last) == Extent(2, 3, 0, 2)
    assert extent_of(first, *bare, last) == Extent(1, 0, 3, 0)
    assert extent_of(first, bare[0], *written[1:], last) == Extent(1, 2, 1, 3)
    assert extent_of(first, written[0], *bare[1:], last) == Extent(1, 1, 2, 0)


Change = Callable[[Lines], None]


def changed(index: int, **values: Any) -> Change:
    return lambda lines: lines[index].update(values)


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        pytest.param(changed(2, body="{}"), [(ALTERED, 3)], id="edited"),
        pytest.param(changed(2, event_time=5), [(ALTERED, 3)], id="its time"),
        pytest.param(changed(0, previous_digest="11" * 32), [(ALTERED, 1)], id="another beginning"),
        pytest.param(lambda lines: lines.pop(2), [("the event is missing", 3)], id="deleted"),
        pytest.param(
            lambda lines: lines.insert(2, lines[1]),
            [("the event comes after a later one, or once more", 2)],
            id="repeated",
        ),
        pytest.param(
            lambda lines: lines.insert(1, lines.pop(2)),
            [("the event is missing", 2), ("the event comes after a later one, or once more", 2)],
            id="reordered",
        ),
        pytest.param(
            changed(2, output="AAAA"),
            [("the output of the event is not what its digest vouches for", 3)],
            id="output edited",
        ),
        pytest.param(
            changed(0, output="AAAA"),
            [("the event has no output, and some is there", 1)],
            id="output inserted",
        ),
        pytest.param(
            changed(2, sequence="?"),
            [("line 3 can't be understood: Expected `int`, got `str` - at `$.sequence`", None)],
            id="nonsense",
        ),
        pytest.param(
            changed(2, output="?"),
            [("the output of the event is not what its digest vouches for", 3)],
            id="output that is none",
        ),
    ],
)
def test_an_export_that_was_tampered_with_is_told(
    path: Path, tmp_path: Path, change: Change, problems: list[tuple[str, int | None]]
) -> None:
    """Where it begins."""
    lines = lines_of(path)
    change(lines)
    found = verify_export(write(tmp_path / "export", lines)).problems
    assert [(problem.description, problem.sequence) for problem in found] == problems


def test_an_export_that_was_cut_off_within_a_line_is_told(path: Path, tmp_path: Path) -> None:
    """A download that broke off, say."""
    export = write(tmp_path / "export", lines_of(path))
    export.write_bytes(export.read_bytes()[:-10])
    problem = Problem("line 5 can't be understood: Input data was truncated")
    assert verify_export(export).problems == [problem]
    receipt = Receipt(3, bytes.fromhex(lines_of(path)[2]["digest"]))
    report = verify_export(export, [receipt])
    assert report.problems == [problem]
    assert report.head is not None
    assert report.head.sequence == 4


@pytest.mark.parametrize(("index", "number"), [(EVENTS, EVENTS + 1), (2, 3)], ids=["the last", "another"])
def test_an_empty_line_of_an_export_is_told(path: Path, tmp_path: Path, index: int, number: int) -> None:
    """Somebody else put it there; the chain goes on behind it."""
    lines = [json.dumps(line) for line in lines_of(path)]
    lines.insert(index, " ")
    export = tmp_path / "export"
    export.write_text("\n".join([*lines, ""]))
    report = verify_export(export)
    assert report.problems == [Problem(f"line {number} is empty: an export has one event in each line")]
    assert report.event_count == EVENTS


def test_an_export_is_compared_with_receipts(path: Path, tmp_path: Path) -> None:
    """Also of the event right before it, and of one that it does not have."""
    lines = lines_of(path)
    receipts = [Receipt(line["sequence"], bytes.fromhex(line["digest"])) for line in lines]
    export = write(tmp_path / "export", lines[2:4])
    assert verify_export(export, receipts[1:4]).problems == []
    report = verify_export(export, receipts)
    assert [problem.description for problem in report.problems] == [
        f"the receipt {receipts[4]} is of an event behind the end of the export, which is event 4: "
        "it was cut off, or is from before",
    ]
    assert [unchecked.description for unchecked in report.unchecked_receipts] == [
        f"the receipt {receipts[0]} can't be checked: the export begins with event 3"
    ]
    assert len(verify_export(export, [Receipt(3, GENESIS)]).problems) == 1
