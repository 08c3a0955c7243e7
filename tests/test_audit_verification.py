"""Verifying the audit log: a sound one has no problems; of another, each is told, and where it begins."""

import sqlite3
from pathlib import Path

import pytest

from released.audit.chain import GENESIS, link
from released.audit.verification import log_file, parts
from released.audit.verification.findings import MOST_PROBLEMS, Problem
from released.audit.verification.log_file import verify_database
from released.model.events import CommandFinished, StateChanged
from released.model.states import CommandState, ReleaseState
from support import audit_log
from support.audit_log import problems_of
from support.samples import OTHER_RELEASE, RELEASE, accepted
from support.tampering import ALTERED, tamper, without_triggers
from support.two_releases import AFTER_OUTPUT, EVENTS, OUTPUT, receipt_of, two_releases


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with two releases, and an event of the daemon itself."""
    return await two_releases(tmp_path / "audit.db")


@pytest.fixture(params=[parts.SIZE, 3, 1], ids=lambda size: f"{size} events in a part")
def any_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the log is cut, the report is the same."""
    monkeypatch.setattr(parts, "SIZE", request.param)
    monkeypatch.setattr(log_file, "SIZE", request.param)


@pytest.mark.usefixtures("any_parts")
def test_a_sound_log_has_no_problems(path: Path) -> None:
    """Whatever has happened in it; the report says how far it went."""
    report = verify_database(path)
    assert (report.problems, report.event_count, report.damage) == ([], EVENTS, "")
    assert report.head is not None
    assert (report.head.sequence, report.head.digest) == (EVENTS, receipt_of(path, EVENTS).digest.hex())


async def test_an_empty_log_has_no_problems(tmp_path: Path) -> None:
    """A daemon that was started for the first time."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        report = await audit.verify()
    assert (report.problems, report.event_count, report.damage) == ([], 0, "")


async def test_that_somebody_stopped_a_command_is_verified(path: Path) -> None:
    """It is there in the event only if it was so, and always in the row."""
    async with audit_log.opened(path) as audit:
        stopped = CommandFinished(command_index=0, state=CommandState.FAILED, exit_code=0, stopped=True)
        await audit.append("third", accepted("a"), stopped)
    assert problems_of(path) == []
    tamper(path, "UPDATE command_runs SET stopped = 0 WHERE release_id = 'third'")
    (problem,) = problems_of(path)
    assert problem.description == "command_runs: third 0: stopped is 0, by the events 1"


async def test_releases_with_events_far_apart_are_sound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes on for long, and one that something is told of after its end."""
    async with audit_log.opened(path) as audit:
        await audit.append("third", accepted("a"), StateChanged(state=ReleaseState.PREPARING))
        await audit.append_output(RELEASE, [(OUTPUT, b"late"), (OUTPUT, b"later")])
        await audit.append("third", *AFTER_OUTPUT[2:])
    for size in (1, 2, 5):
        monkeypatch.setattr(log_file, "SIZE", size)
        assert problems_of(path) == []


def altered(first: int, last: int) -> list[tuple[str, int | None]]:
    return [
        (
            f"events {first} to {last} do not follow from each other by their digests: they were changed or "
            "moved, or one was put in or taken out",
            first,
        )
    ]


DELETE_AND_MOVE = (
    "DELETE FROM events WHERE sequence = 8; UPDATE events SET sequence = -sequence WHERE sequence > 8; "
    "UPDATE events SET sequence = -sequence - 1 WHERE sequence < 0"
)
MOVE_AND_INSERT = (
    "UPDATE events SET sequence = -sequence WHERE sequence > 7; "
    "UPDATE events SET sequence = -sequence + 1 WHERE sequence < 0; "
    "UPDATE outputs SET sequence = 18 WHERE sequence = 17"
)
SWAP = (
    "UPDATE events SET sequence = CASE sequence WHEN 8 THEN -9 WHEN 9 THEN -8 END WHERE sequence IN (8, 9); "
    "UPDATE events SET sequence = -sequence WHERE sequence < 0"
)
COPY = (
    "INSERT INTO events SELECT {}, release_id, event_time, kind, body, output_bytes, output_digest, digest "
    "FROM events WHERE sequence = 2"
)
OUTPUT_ALTERED = "the output of the event is not what its digest vouches for"

TAMPERINGS = [
    pytest.param(
        """UPDATE events SET body = replace(body, '"exit_code":1', '"exit_code":0') WHERE sequence = 8""",
        [(ALTERED, 8)],
        id="an event edited",
    ),
    pytest.param("UPDATE events SET body = '{' WHERE sequence = 8", [(ALTERED, 8)], id="no JSON"),
    pytest.param(
        "UPDATE events SET body = CAST(x'ff' AS TEXT) WHERE sequence = 8", [(ALTERED, 8)], id="no text"
    ),
    pytest.param(
        "UPDATE events SET event_time = event_time + 1 WHERE sequence = 1", [(ALTERED, 1)], id="its time"
    ),
    pytest.param(
        "UPDATE events SET kind = 'container_started' WHERE sequence = 6", [(ALTERED, 6)], id="its kind"
    ),
    pytest.param(
        "UPDATE events SET release_id = 'third' WHERE sequence = 10",
        [(ALTERED, 10)],
        id="its release",
    ),
    pytest.param(
        "UPDATE events SET output_bytes = 9 WHERE sequence = 7", [(ALTERED, 7)], id="the size of its output"
    ),
    pytest.param(
        "UPDATE events SET digest = zeroblob(32) WHERE sequence = 8", altered(8, 9), id="its digest"
    ),
    pytest.param(
        "UPDATE events SET event_time = 1 WHERE sequence = 21", [(ALTERED, 21)], id="the newest event"
    ),
    pytest.param(
        "UPDATE events SET event_time = 1 WHERE sequence IN (3, 4, 12)",
        [*altered(3, 4), (ALTERED, 12)],
        id="several events edited",
    ),
    pytest.param(
        "DELETE FROM events WHERE sequence = 8", [("the event is missing", 8)], id="an event deleted"
    ),
    pytest.param(
        "DELETE FROM events WHERE sequence IN (7, 8, 9)",
        [("events 7 to 9 are missing", 7)],
        id="some deleted",
    ),
    pytest.param(
        "DELETE FROM events WHERE sequence = 1", [("the event is missing", 1)], id="the first deleted"
    ),
    pytest.param(
        "UPDATE events SET sequence = 9000000000000000000 WHERE sequence = 21",
        [("events 21 to 8999999999999999999 are missing", 21)],
        id="a large gap",
    ),
    pytest.param(
        DELETE_AND_MOVE,
        altered(8, 20),
        id="an event deleted, others moved up",
    ),
    pytest.param(
        "; ".join([MOVE_AND_INSERT, COPY.format(8)]),
        altered(8, 22),
        id="an event inserted",
    ),
    pytest.param(COPY.format(22), [(ALTERED, 22)], id="an event added"),
    pytest.param(
        COPY.format(0), [("the event comes before the first", 0)], id="an event put before the first"
    ),
    pytest.param(
        SWAP,
        altered(8, 10),
        id="events reordered",
    ),
    pytest.param(
        "UPDATE outputs SET data = x'00' WHERE sequence = 7", [(OUTPUT_ALTERED, 7)], id="output edited"
    ),
    pytest.param(
        "UPDATE outputs SET encoding = '' WHERE sequence = 7", [(OUTPUT_ALTERED, 7)], id="its encoding edited"
    ),
    pytest.param(
        "UPDATE outputs SET encoding = 'rot13' WHERE sequence = 7",
        [(OUTPUT_ALTERED, 7)],
        id="an unknown encoding",
    ),
    pytest.param(
        "UPDATE outputs SET encoding = CAST(x'ff' AS TEXT) WHERE sequence = 7; "
        "INSERT INTO outputs VALUES (10, '', x'00')",
        [(OUTPUT_ALTERED, 7), ("output is stored for an event that is not there or has none", 10)],
        id="an encoding that is no text",
    ),
    pytest.param(
        "DELETE FROM outputs WHERE sequence = 17",
        [("the output of the event is missing", 17)],
        id="output deleted",
    ),
    pytest.param(
        "INSERT INTO outputs VALUES (2, '', x'00')",
        [("output is stored for an event that is not there or has none", 2)],
        id="output inserted",
    ),
    pytest.param(
        "INSERT INTO outputs VALUES (99, '', x'00')",
        [("output is stored for an event that is not there or has none", 99)],
        id="output of no event inserted",
    ),
    pytest.param(
        "INSERT INTO outputs VALUES (-1, '', x'00')",
        [("output is stored for an event that is not there or has none", -1)],
        id="output put before the first event",
    ),
    pytest.param(
        "DELETE FROM events WHERE sequence = 7",
        [("the event is missing", 7)],
        id="an event deleted whose output is left",
    ),
    pytest.param(
        "UPDATE releases SET state = 'SUCCEEDED', cause = NULL WHERE accept_sequence = 11",
        [
            (f"releases: {OTHER_RELEASE}: state is 'SUCCEEDED', by the events 'FAILED'", 11),
            (f"releases: {OTHER_RELEASE}: cause is None, by the events 'COMMAND_FAILED'", 11),
        ],
        id="a release edited",
    ),
    pytest.param(
        "DELETE FROM command_runs WHERE release_id LIKE '%b2'; "
        "DELETE FROM release_labels WHERE release_id LIKE '%b2'; "
        "DELETE FROM releases WHERE release_id LIKE '%b2'",
        [
            (f"releases: {OTHER_RELEASE} is missing", 11),
            (f"release_labels: {OTHER_RELEASE} a is missing", 11),
            (f"release_labels: {OTHER_RELEASE} team is missing", 11),
            (f"command_runs: {OTHER_RELEASE} 0 is missing", 11),
            (f"command_runs: {OTHER_RELEASE} 1 is missing", 11),
        ],
        id="a release deleted",
    ),
    pytest.param(
        "INSERT INTO releases (release_id, accept_sequence, application, environment, image, requested_by, "
        "caller_user, state, create_time) SELECT 'third', 21, application, environment, image, requested_by, "
        "caller_user, state, create_time FROM releases WHERE accept_sequence = 1",
        [("releases: third is there, and no event says so", 21)],
        id="a release inserted",
    ),
    pytest.param(
        "UPDATE releases SET accept_sequence = -1 WHERE accept_sequence = 11",
        [(f"releases: {OTHER_RELEASE}: accept_sequence is -1, by the events 11", None)],
        id="a release before all",
    ),
    pytest.param(
        "UPDATE releases SET accept_sequence = -9223372036854775808 WHERE accept_sequence = 11",
        [(f"releases: {OTHER_RELEASE}: accept_sequence is -9223372036854775808, by the events 11", None)],
        id="a release before all that can be",
    ),
    pytest.param(
        "INSERT INTO releases (release_id, accept_sequence, application, environment, image, requested_by, "
        "caller_user, state, create_time) SELECT 'third', -9223372036854775808, application, environment, "
        "image, requested_by, caller_user, state, create_time FROM releases WHERE accept_sequence = 1",
        [("releases: third is there, and no event says so", None)],
        id="a release inserted before all",
    ),
    pytest.param(
        "UPDATE command_runs SET exit_code = 0 WHERE release_id LIKE '%a1' AND command_index = 0",
        [(f"command_runs: {RELEASE} 0: exit_code is 0, by the events 1", 1)],
        id="a command edited",
    ),
    pytest.param(
        "DELETE FROM command_runs WHERE release_id LIKE '%a1' AND command_index = 1",
        [(f"command_runs: {RELEASE} 1 is missing", 1)],
        id="a command deleted",
    ),
    pytest.param(
        "INSERT INTO command_runs (release_id, command_index, label, state) "
        "VALUES ('none', 0, 'x', 'SUCCEEDED')",
        [("command_runs: none 0 is there, and no event says so", None)],
        id="a command inserted",
    ),
    pytest.param(
        "UPDATE release_labels SET value = '2' WHERE release_id LIKE '%a1' AND key = 'a'",
        [(f"release_labels: {RELEASE} a: value is '2', by the events '1'", 1)],
        id="a label edited",
    ),
    pytest.param(
        "INSERT INTO release_labels SELECT release_id, 'b', '2' FROM releases WHERE accept_sequence = 1",
        [(f"release_labels: {RELEASE} b is there, and no event says so", 1)],
        id="a label inserted",
    ),
    pytest.param(
        "INSERT INTO checkpoints VALUES ('events', 10, zeroblob(32), 21)",
        [("checkpoints: events is there, and no event says so", None), *altered(10, 11)],
        id="pruning made up",
    ),
]


@pytest.mark.usefixtures("any_parts")
@pytest.mark.parametrize(("statements", "problems"), TAMPERINGS)
def test_tampering_is_told_where_it_begins(
    path: Path, statements: str, problems: list[tuple[str, int | None]]
) -> None:
    """And nothing else: what follows from it is no problem of its own."""
    tamper(path, *statements.split("; "))
    assert [(problem.description, problem.sequence) for problem in problems_of(path)] == problems


def test_an_event_that_was_made_to_fit_the_one_before_does_not_fit_the_one_behind(path: Path) -> None:
    """Whoever changes an event and its digest has to change all that come after it."""
    rebuild(path, 8, last=8)
    assert problems_of(path) == [Problem(ALTERED, 9)]


def rebuild(path: Path, edited: int, last: int = EVENTS) -> None:
    """Edit an event, and make the chain anew from there, as somebody who has read docs/audit.md can."""
    with without_triggers(path) as connection:
        connection.execute("UPDATE events SET event_time = event_time + 1 WHERE sequence = ?", (edited,))
        previous = GENESIS
        for *content, digest in connection.execute("SELECT * FROM events ORDER BY sequence").fetchall():
            sequence = content[0]
            previous = link(previous, *content) if edited <= sequence <= last else digest
            connection.execute("UPDATE events SET digest = ? WHERE sequence = ?", (previous, sequence))


def test_a_log_that_was_made_anew_is_found_by_a_receipt_only(path: Path) -> None:
    """A receipt of an event from before the change still holds."""
    before, after = receipt_of(path, 7), receipt_of(path, 20)
    rebuild(path, 8)
    assert problems_of(path) == []
    assert verify_database(path, [before]).problems == []
    (problem,) = verify_database(path, [before, after]).problems
    assert problem.sequence == 20
    assert (
        f"the receipt {after} is not true, the digest is {receipt_of(path, 20).digest.hex()}"
        in problem.description
    )


CUT_OFF = (
    "DELETE FROM outputs WHERE sequence > 10",
    "DELETE FROM command_runs WHERE release_id LIKE '%b2'",
    "DELETE FROM release_labels WHERE release_id LIKE '%b2'",
    "DELETE FROM releases WHERE release_id LIKE '%b2'",
    "DELETE FROM events WHERE sequence > 10",
)


def test_a_log_that_was_cut_off_is_found_by_a_receipt_only(path: Path) -> None:
    """If whoever did it was thorough; the receipt says where the log ends now."""
    receipt = receipt_of(path, 20)
    tamper(path, *CUT_OFF)
    assert problems_of(path) == []
    assert verify_database(path, [receipt]).problems == [
        Problem(
            f"the receipt {receipt} is of an event behind the end of the log, which is event 10: "
            "it was cut off, or is from before"
        )
    ]


def test_a_log_that_was_cut_off_carelessly_is_found(path: Path) -> None:
    """What is stored of the release refers to events that are gone."""
    tamper(path, "DELETE FROM events WHERE sequence > 15")
    problems = problems_of(path)
    assert problems[0] == Problem("output is stored for an event that is not there or has none", 17)
    assert {problem.sequence for problem in problems[1:]} == {11}


@pytest.mark.usefixtures("any_parts")
def test_an_event_that_contradicts_another_one_is_told(path: Path) -> None:
    """In a chain that is sound: the daemon itself would have had to write it."""
    with without_triggers(path) as connection:
        forge(connection, 22, RELEASE, *body_of(connection, 1))
    assert problems_of(path) == [
        Problem(f"the event contradicts an earlier one: releases has {RELEASE} already", 22)
    ]


@pytest.mark.usefixtures("any_parts")
@pytest.mark.parametrize(
    ("kind", "body", "description"),
    [
        ("dance", '{"kind":"dance"}', "the event is of a kind that is not known: 'dance'"),
        ("state_changed", "{", "the event can't be understood: Input data was truncated"),
        (
            "state_changed",
            '{"kind":"command_started","command_index":0}',
            "the event is stored as state_changed and says command_started",
        ),
    ],
)
def test_an_event_that_makes_no_sense_is_told(path: Path, kind: str, body: str, description: str) -> None:
    """In a chain that is sound, too."""
    with without_triggers(path) as connection:
        forge(connection, 22, RELEASE, kind, body)
    assert problems_of(path) == [Problem(description, 22)]


def body_of(connection: sqlite3.Connection, sequence: int) -> tuple[str, str]:
    row = connection.execute("SELECT kind, body FROM events WHERE sequence = ?", (sequence,)).fetchone()
    return row[0], row[1]


def forge(connection: sqlite3.Connection, sequence: int, release_id: str, kind: str, body: str) -> None:
    """Add an event that fits the chain."""
    sql = "SELECT digest FROM events WHERE sequence = ?"
    (previous,) = connection.execute(sql, (sequence - 1,)).fetchone()
    digest = link(previous, sequence, release_id, 1, kind, body)
    connection.execute(
        "INSERT INTO events VALUES (?, ?, 1, ?, ?, NULL, NULL, ?)", (sequence, release_id, kind, body, digest)
    )


def test_a_hundred_problems_are_enough(path: Path) -> None:
    """The answer has to fit into a message."""
    tamper(
        path,
        "WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number LIMIT 200) "
        "INSERT INTO release_labels SELECT release_id, i, '' FROM number, releases",
    )
    assert len(problems_of(path)) == MOST_PROBLEMS
