"""What is verified of a log besides its events: the file, the schema, pruning, receipts."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from released.audit.database import APPLICATION_ID, MIGRATIONS
from released.audit.projections import COMMANDS, LABELS
from released.audit.verification.derived import empty_log
from released.audit.verification.findings import MOST_PROBLEMS, Head, Problem, Unchecked
from released.audit.verification.parts import damage_of
from released.model.receipt import Receipt

_OF_PAGES = "*** in database main ***"
"""What `PRAGMA integrity_check` begins with where it tells of pages and not of rows."""

MOST_OF_A_KIND = 20
"""Findings of SQLite that are told of pages, and of rows."""


_WITHOUT_RELEASE = """
    SELECT DISTINCT release_id FROM {0} LEFT JOIN releases USING (release_id)
    WHERE releases.release_id IS NULL LIMIT ?
"""


class NotALog(Exception):
    """The database is none that this version can verify; it was left as it is."""


def check_version(connection: sqlite3.Connection) -> None:
    """Raise NotALog for another program's database, and a schema other than this version's."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    known = len(MIGRATIONS)
    if application != APPLICATION_ID:
        raise NotALog("this is another program's database, and no audit log")
    if version > known:
        raise NotALog(
            f"the audit log has schema {version}, this version knows up to {known}: verify it with the "
            "version that wrote it, or a newer one"
        )
    if version < known:
        raise NotALog(
            f"the audit log has schema {version}, whose events have no hash chain yet: start this version of "
            f"released on it, which migrates it to schema {known}"
        )


def schema_problems(connection: sqlite3.Connection) -> Iterator[Problem]:
    """Compare the tables, indexes and triggers with those that the daemon makes."""
    with closing(empty_log()) as ours:
        expected = _schema(ours)
    stored = _schema(connection)
    for trouble, names in (
        ("missing", expected.keys() - stored.keys()),
        ("not the daemon's", stored.keys() - expected.keys()),
        (
            "another than the daemon's",
            {name for name in expected if stored.get(name, expected[name]) != expected[name]},
        ),
    ):
        if names:
            yield Problem(f"of the schema, {trouble}: {', '.join(sorted(names))}")


def _schema(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All of the schema by type and name, but what ANALYZE adds; a name may be there twice."""
    entries = defaultdict(list)
    for entry, *rest in connection.execute(
        "SELECT type || ' ' || name, tbl_name, sql FROM sqlite_schema "
        "WHERE NOT (type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4')) ORDER BY rowid"
    ):
        entries[str(entry)].append(tuple(rest))
    return dict(entries)


def integrity(connection: sqlite3.Connection) -> tuple[list[Problem], str]:
    """Let SQLite check the file. Returns problems, one for each of its findings, and what it says of damage.

    Only what is wrong with pages is damage: rows can be made to contradict the schema or an index.
    """
    texts, error = _findings_of_sqlite(connection)
    of_pages, of_rows = [], []
    for text in texts:
        if text.startswith(_OF_PAGES):  # one text has all of them, one a line
            of_pages += text.removeprefix(_OF_PAGES).strip().splitlines()
        elif text != "ok":
            of_rows.append(f"the database contradicts itself: {text}")
    found = [*_the_first(f"the database is damaged: {line}" for line in of_pages), *_the_first(of_rows)]
    if error:
        found.append(f"the database can't be read: {error}")
    damage = damage_of(error) if error else ""
    return [Problem(text) for text in found], damage or next(iter(of_pages), "")


def _findings_of_sqlite(connection: sqlite3.Connection) -> tuple[list[str], sqlite3.DatabaseError | None]:
    """Return what it says, and the error that ended the check, if one did."""
    texts: list[str] = []
    # A cursor reads ahead: with an error behind a row, that row would be lost.
    connection.create_function("note", 1, texts.append)
    try:
        connection.execute(
            "SELECT note(integrity_check) FROM pragma_integrity_check(?)", (MOST_PROBLEMS,)
        ).fetchall()
    except sqlite3.DatabaseError as error:
        return texts, error
    return texts, None


def _the_first(texts: Iterable[str]) -> Iterator[str]:
    """Yield few enough that there is room for what the damage means for events."""
    remaining = iter(texts)
    yield from islice(remaining, MOST_OF_A_KIND)
    if next(remaining, None):
        yield "SQLite finds more of that kind: `PRAGMA integrity_check` in the sqlite3 shell tells what"


def orphans(
    connection: sqlite3.Connection, after: int, through: int
) -> tuple[list[int], set[str], list[Problem], str]:
    """Find rows that belong to nothing. Pruning leaves none either: it removes them first.

    Of output, only what is not of the events after one, through another: their output is looked at with them.
    Returns the sequences of output, the ids of releases, what can't be read, and what SQLite says of damage.
    """
    try:
        output = connection.execute(
            "SELECT outputs.sequence FROM outputs LEFT JOIN events USING (sequence) "
            "WHERE (outputs.sequence <= ? OR outputs.sequence > ?) AND output_digest IS NULL LIMIT ?",
            (after, through, MOST_PROBLEMS),
        ).fetchall()
        releases = [
            release_id
            for table in (LABELS, COMMANDS)
            for (release_id,) in connection.execute(_WITHOUT_RELEASE.format(table), (MOST_PROBLEMS,))
        ]
    except sqlite3.DatabaseError as error:
        return [], set(), [Problem(f"references can't be read: {error}")], damage_of(error)
    return [sequence for (sequence,) in output], set(releases), [], ""


def receipt_problems(
    connection: sqlite3.Connection, receipts: Sequence[Receipt], base: Receipt, last: int
) -> Iterator[Problem]:
    """Compare the log with receipts of events from `base`, where the pruned ones end, to `last`."""
    for receipt in receipts:
        digest: bytes | None = base.digest
        if receipt.sequence != base.sequence:
            row = connection.execute(
                "SELECT digest FROM events WHERE sequence = ?", (receipt.sequence,)
            ).fetchone()
            digest = row[0] if row else None
        if text := receipt_trouble("log", receipt, digest, last):
            # An event that is not there is none that the problem could be found at.
            yield Problem(text, receipt.sequence if base.sequence < receipt.sequence <= last else None)


def comparable(receipts: Sequence[Receipt], base: int, reason: str) -> tuple[list[Receipt], list[Unchecked]]:
    """Part the receipts of `base` and what is behind it from those that nothing can be said about."""
    unchecked = [
        Unchecked(
            Head(receipt.sequence, receipt.digest.hex()), f"the receipt {receipt} can't be checked: {reason}"
        )
        for receipt in receipts
        if receipt.sequence < base
    ]
    return [receipt for receipt in receipts if receipt.sequence >= base], unchecked


def receipt_trouble(subject: str, receipt: Receipt, digest: bytes | None, last: int) -> str:
    """Say what contradicts a receipt of a log or export that ends with event `last`; nothing: it is true."""
    if receipt.sequence > last:
        return (
            f"the receipt {receipt} is of an event behind the end of the {subject}, which is event {last}: "
            "it was cut off, or is from before"
        )
    if digest != receipt.digest:
        found = digest.hex() if isinstance(digest, bytes) else "missing"
        return (
            f"the receipt {receipt} is not true, the digest is {found}: the {subject} was made anew, from "
            "there or from before"
        )
    return ""
