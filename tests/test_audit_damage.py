"""A log with a damaged page: what does not lie on it can be read, and verifying tells which events do."""

import os
from pathlib import Path

import pytest

from released.audit import faults
from released.audit.search import Place
from released.audit.verification.findings import Report
from released.audit.verification.log_file import verify_database
from released.errors import Unavailable
from released.model.events import CommandOutput, StateChanged
from released.model.states import ReleaseState, Stream
from support import audit_log
from support.damage import destroy_page, page_of, page_within
from support.samples import accepted
from support.tampering import tamper

RELEASES = 9
EACH = 3
DAMAGED = 4
OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)

LINE = os.urandom(10_000).hex()
"""A command that takes pages of its own."""

WRITTEN = os.urandom(50_000)

UNREADABLE = "the event can't be read"
UNREADABLE_OUTPUT = "the output of the event can't be read"
ALTERED_OUTPUT = "the output of the event is not what its digest vouches for"
MISSING_OUTPUT = "the output of the event is missing"
ORPHANED_OUTPUT = "output is stored for an event that is not there or has none"


def release_id(number: int) -> str:
    return f"release {number}"


def accept_sequence(number: int) -> int:
    return number * EACH + 1


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log of some releases, one of which is larger than a page."""
    path = tmp_path / "audit.db"
    async with audit_log.opened(path) as audit:
        for number in range(RELEASES):
            audit.append(release_id(number), accepted(LINE if number == DAMAGED else "true"))
            audit.append_output(release_id(number), [(OUTPUT, WRITTEN if number == DAMAGED else b"output")])
            await audit.append(release_id(number), StateChanged(state=ReleaseState.SUCCEEDED))
    return path


def test_what_is_told_of_damage_is_brief() -> None:
    """SQLite may name thousands of pages; every refused caller, and `status`, is told."""
    path = Path("/var/lib/released/audit.db")
    brief, long = faults.damaged("Tree 2 page 3", path), faults.damaged("Tree 2 page 3 " * 300, path)
    assert brief.message.endswith("restore a backup (Tree 2 page 3)")
    assert long.message.endswith("page 3 Tre…)")
    assert len(long.message) == len(brief.message) - len("Tree 2 page 3") + faults.LONGEST_WORDS


async def test_other_releases_can_be_read(path: Path) -> None:
    """One by one, and in lists, which leave out the one that can't be."""
    destroy_page(path, page_within(path, LINE.encode()))
    async with audit_log.opened(path) as audit:
        for number in range(RELEASES):
            if number == DAMAGED:
                with pytest.raises(Unavailable):
                    await audit.query.release(release_id(number))
                continue
            record = await audit.query.release(release_id(number))
            assert record is not None
            assert record.state is ReleaseState.SUCCEEDED
            assert len(await audit_log.events_of(audit, release_id(number))) == EACH
        places = [Place(0, accept_sequence(number)) for number in range(RELEASES)]
        listed = await audit.query.releases_at(places)
        assert [accept_sequence(number) in listed for number in range(RELEASES)] == [
            number != DAMAGED for number in range(RELEASES)
        ]
        assert await audit.query.unreachable([places[DAMAGED]]) == [release_id(DAMAGED)]
        with pytest.raises(Unavailable):
            await audit.query.releases_at([places[DAMAGED]])


async def test_a_release_whose_event_was_taken_out_is_no_unknown_one(path: Path) -> None:
    """Somebody did that, and not retention: neither a list nor a look at it is silent about that."""
    tamper(path, f"DELETE FROM events WHERE sequence = {accept_sequence(DAMAGED)}")  # noqa: S608
    async with audit_log.opened(path) as audit:
        place = Place(0, accept_sequence(DAMAGED))
        assert await audit.query.releases_at([place]) == {}
        assert await audit.query.unreachable([place]) == [release_id(DAMAGED)]
        with pytest.raises(Unavailable, match=f"{release_id(DAMAGED)} is missing: see `releasectl audit"):
            await audit.query.release(release_id(DAMAGED))


async def test_a_release_whose_name_is_damaged_counts_all_the_same(path: Path) -> None:
    """It is among what can't be read, without a name."""
    destroy_page(path, page_of(path, "releases"))
    async with audit_log.opened(path) as audit:
        assert await audit.query.unreachable([Place(0, accept_sequence(DAMAGED))]) == [""]


async def test_a_release_whose_output_is_damaged_is_in_lists(path: Path) -> None:
    """All but its output is there."""
    destroy_page(path, page_within(path, WRITTEN))
    async with audit_log.opened(path) as audit:
        record = await audit.query.release(release_id(DAMAGED))
        assert record is not None
        assert record.commands[0].stdout_bytes == len(WRITTEN)
        assert (await audit.query.history(release_id(DAMAGED)))[-1].body == StateChanged(
            state=ReleaseState.SUCCEEDED
        )
        with pytest.raises(Unavailable):
            await audit_log.events_of(audit, release_id(DAMAGED))


async def test_a_release_without_output_needs_none_that_is_damaged(tmp_path: Path) -> None:
    """Its events can be read and exported, though those of other releases can't, on every page of output."""
    path, data = tmp_path / "audit.db", os.urandom(300)
    async with audit_log.opened(path) as audit:
        audit.append(release_id(0), accepted("true"))
        audit.append_output(release_id(0), [(OUTPUT, data)])
        for number in (1, 2):
            await audit.append(release_id(number), accepted("true"))
    destroy_page(path, path.read_bytes().index(data) // 4096 + 1)
    async with audit_log.opened(path) as audit:
        for number in (1, 2):
            assert len(await audit_log.events_of(audit, release_id(number))) == 1
        assert len(await audit.query.all_events_after(2, 4)) == 2
        with pytest.raises(Unavailable):
            await audit_log.events_of(audit, release_id(0))


async def test_an_event_that_makes_no_sense_hides_no_other_release(path: Path) -> None:
    """A bit that has flipped, which SQLite does not notice."""
    data = path.read_bytes()
    place = data.index(f"{LINE[:64]}".encode())
    path.write_bytes(data[:place] + b'"' + data[place + 1 :])
    async with audit_log.opened(path) as audit:
        listed = await audit.query.releases_at(
            [Place(0, accept_sequence(number)) for number in range(RELEASES)]
        )
        assert len(listed) == RELEASES - 1
    (problem,) = verify_database(path).problems
    assert problem.sequence == accept_sequence(DAMAGED)


EDITED = [
    "UPDATE releases SET outcome = 'DEPLOYED', outcome_time = NULL",
    "UPDATE releases SET outcome = 'DEPLOYED', outcome_time = 1, outcome_caller = NULL",
    "UPDATE releases SET state = 'EDITED'",
    "UPDATE releases SET create_time = 9000000000000000000",
    "UPDATE command_runs SET start_time = 9000000000000000000",
    "UPDATE command_runs SET state = 'EDITED'",
]


@pytest.mark.parametrize("statement", EDITED)
async def test_edited_row_of_a_release_is_told_as_damage(path: Path, statement: str) -> None:
    """Not as a defect of the daemon's, which goes on writing."""
    tamper(path, f"{statement} WHERE release_id = '{release_id(0)}'")
    async with audit_log.opened(path) as audit:
        with pytest.raises(Unavailable, match=r"has a row that makes no sense: .*`releasectl audit") as told:
            await audit.query.release(release_id(0))
        assert told.value.reason == "AUDIT_DAMAGED"
        assert await audit.query.release(release_id(1))
        assert audit.health.writable


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET event_time = 9000000000000000000 WHERE sequence = 2",
        "UPDATE events SET body = '[]' WHERE sequence = 2",
        "UPDATE outputs SET encoding = 'zstd' WHERE sequence = 2",
        "UPDATE outputs SET encoding = 'edited' WHERE sequence = 2",
    ],
)
async def test_edited_event_is_told_as_damage(path: Path, statement: str) -> None:
    """To whoever reads the release, or the output of its commands."""
    tamper(path, statement)
    async with audit_log.opened(path) as audit:
        with pytest.raises(Unavailable, match="has a row that makes no sense") as told:
            await audit_log.events_of(audit, release_id(0))
        assert told.value.reason == "AUDIT_DAMAGED"
        assert await audit_log.events_of(audit, release_id(1))


@pytest.mark.parametrize(
    ("content", "told", "event_count"),
    [
        pytest.param(
            LINE.encode(), (UNREADABLE, accept_sequence(DAMAGED)), EACH * RELEASES - 1, id="an event"
        ),
        pytest.param(
            WRITTEN, (UNREADABLE_OUTPUT, accept_sequence(DAMAGED) + 1), EACH * RELEASES, id="its output"
        ),
    ],
)
def test_row_18_verifying_tells_which_event_can_t_be_read(
    path: Path, content: bytes, told: tuple[str, int], event_count: int
) -> None:
    """And looks at all that come behind."""
    destroy_page(path, page_within(path, content))
    report = verify_database(path)
    assert report.damage
    assert [each for each in described(report) if each[1]] == [told]
    assert report.event_count == event_count


def test_verifying_tells_of_other_output_beside_damage(path: Path) -> None:
    """What was edited, deleted and inserted is found in front of what can't be read, and behind it."""
    tamper(
        path,
        "UPDATE outputs SET data = x'00' WHERE sequence IN (2, 20)",
        "DELETE FROM outputs WHERE sequence IN (5, 23)",
        "INSERT INTO outputs VALUES (3, '', x'00'), (21, '', x'00')",
    )
    destroy_page(path, page_within(path, WRITTEN))
    told = {
        (ALTERED_OUTPUT, 2),
        (ORPHANED_OUTPUT, 3),
        (MISSING_OUTPUT, 5),
        (UNREADABLE_OUTPUT, accept_sequence(DAMAGED) + 1),
        (ALTERED_OUTPUT, 20),
        (ORPHANED_OUTPUT, 21),
        (MISSING_OUTPUT, 23),
    }
    assert {each for each in described(verify_database(path)) if each[1]} == told


def test_verifying_needs_no_output_to_look_at_events(path: Path) -> None:
    """Of a log without a readable page of it, each event is verified, and each output told."""
    destroy_page(path, page_of(path, "outputs"))
    report = verify_database(path)
    assert report.damage
    assert report.event_count == EACH * RELEASES
    expected = [(UNREADABLE_OUTPUT, accept_sequence(number) + 1) for number in range(RELEASES)]
    assert [each for each in described(report) if each[1]] == expected


def described(report: Report) -> list[tuple[str, int | None]]:
    return [(problem.description, problem.sequence) for problem in report.problems]
