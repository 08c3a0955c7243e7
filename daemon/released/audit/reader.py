"""Queries on the audit log. Readers see what is committed, and never wait for the writer.

A query that can't be answered raises Unavailable.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from released.audit.command_times import RECENT_RELEASES, CommandTimes
from released.audit.faults import translate_read
from released.audit.filter import Condition
from released.audit.listings import EVENTS, RELEASES
from released.audit.reading import Reading
from released.audit.records import CommandRecord, NewerRelease, ReleaseRecord
from released.audit.search import Glance, Order, Place, Search
from released.audit.settings import CHANGES, CHANGES_AT_ONCE, SETTINGS, settings_of
from released.audit.stored import WITH_OUTPUT, StoredEvent, stored_events, stored_output
from released.audit.times import as_time
from released.errors import Unavailable
from released.model.events import CommandOutput, CommandsResolved, Event, ReleaseAccepted, decode
from released.model.release import Target
from released.model.settings import ApplicationSettings
from released.model.states import ReleaseState, Stream

EVENTS_AT_ONCE = 64
"""Bounds what a watcher holds in memory: an event carries 64 KiB of output at most."""

_RELEASES = """
    SELECT releases.*, accepted.body AS accepted_body,
           (SELECT max(sequence) FROM events WHERE release_id = releases.release_id) AS last_sequence,
           resolved.body AS resolved_body, ended.digest AS end_digest,
           (SELECT release_id FROM releases AS later
            WHERE later.rollback_of = releases.release_id AND later.retry_of IS NULL) AS rollback,
           (SELECT json_group_array(json_object(
                'command_index', command_index, 'state', state, 'exit_code', exit_code, 'signal', signal,
                'start_time', start_time, 'end_time', end_time, 'stdout_bytes', stdout_bytes,
                'stderr_bytes', stderr_bytes, 'omitted_bytes', omitted_bytes, 'stopped', stopped))
            FROM (SELECT * FROM command_runs WHERE command_runs.release_id = releases.release_id
                  ORDER BY command_index)) AS commands
    FROM releases JOIN events AS accepted ON accepted.sequence = releases.accept_sequence
    LEFT JOIN events AS resolved ON resolved.sequence = releases.resolve_sequence
    LEFT JOIN events AS ended ON ended.sequence = releases.end_sequence
"""


_NEWEST_RESOLVED = f"""
    SELECT create_time, accept_sequence FROM (
        SELECT create_time, accept_sequence, resolve_sequence FROM releases
        WHERE application = ? AND environment = ?
        ORDER BY create_time DESC, accept_sequence DESC LIMIT {RECENT_RELEASES}
    ) WHERE resolve_sequence IS NOT NULL ORDER BY create_time DESC, accept_sequence DESC LIMIT 1
"""  # noqa: S608

_BEGAN = """EXISTS (
    SELECT 1 FROM command_runs WHERE command_runs.release_id = releases.release_id AND start_time IS NOT NULL
)"""
"""That a release has begun to run commands."""

_NEWER = f"""
    SELECT max(releases.release_id) AS release_id, application, environment,
           accepted.body -> '$.spec.lock_groups' AS lock_groups
    FROM releases JOIN events AS accepted ON accepted.sequence = accept_sequence
    WHERE accept_sequence > ? AND rollback_of IS NULL AND {_BEGAN}
    GROUP BY application, environment, lock_groups
"""  # noqa: S608

_NEWER_THAT_RAN = f"""
    SELECT release_id FROM releases
    WHERE application = ? AND environment = ? AND accept_sequence > ? AND rollback_of IS NULL
    AND (end_sequence IS NULL OR {_BEGAN})
    ORDER BY accept_sequence DESC LIMIT 1
"""  # noqa: S608

_RETRIES = """
    WITH RECURSIVE retries (release_id) AS (
        SELECT release_id FROM releases WHERE retry_of = ?
        UNION SELECT later.release_id
        FROM retries JOIN releases AS later ON later.retry_of = retries.release_id
    ) SELECT release_id FROM retries
"""

_NOT_PRUNED = """
    accept_sequence > coalesce((SELECT through_sequence FROM checkpoints WHERE subject = 'events'), 0)
"""

_WITHOUT_EVENT = f"""
    SELECT 1 FROM releases WHERE release_id = ? AND {_NOT_PRUNED}
    AND NOT EXISTS (SELECT 1 FROM events WHERE sequence = accept_sequence)
"""  # noqa: S608


class StoredOutput(NamedTuple):
    """Bytes of one event, and how many were left out before them."""

    sequence: int
    data: bytes
    omitted_bytes: int


class KeptSince(NamedTuple):
    """Where the log begins that retention has left, and where its output does; None: nothing was removed."""

    events: datetime | None
    output: datetime | None


class AuditReader:
    """Queries of releases and events; `command_times` has those of runs of commands."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.command_times = CommandTimes(reading)

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        await self._reading.close()

    async def events_after(self, release_id: str, sequence: int) -> list[Event]:
        """The next events of a release after `sequence`, a few at a time; empty for no more yet."""
        rows = await self._reading.fetch(
            f"SELECT events.*, encoding, data FROM events {WITH_OUTPUT} "  # noqa: S608 - no input
            "WHERE release_id = ? AND events.sequence > ? ORDER BY events.sequence LIMIT ?",
            (release_id, sequence, EVENTS_AT_ONCE),
        )
        with self._reading.understanding():
            return [_event(row, stored_output(row)) for row in rows]

    async def history(self, release_id: str) -> list[Event]:
        """All events of a release but its output and how its pull got on."""
        rows = await self._reading.fetch(
            "SELECT * FROM events WHERE release_id = ? "
            "AND kind NOT IN ('command_output', 'image_pull_progress') ORDER BY sequence",
            (release_id,),
        )
        with self._reading.understanding():
            return [_event(row, None) for row in rows]

    async def output_after(
        self, release_id: str, command_index: int | None, stream: Stream, sequence: int
    ) -> list[StoredOutput]:
        """The next output after `sequence` that a command (None: no command) wrote to a stream."""
        rows = await self._reading.fetch(
            "SELECT sequence, body, encoding, data FROM events JOIN outputs USING (sequence) "
            "WHERE release_id = ? AND sequence > ? AND kind = 'command_output' "
            "AND body ->> 'command_index' IS ? AND body ->> 'stream' = ? ORDER BY sequence LIMIT ?",
            (release_id, sequence, command_index, stream, EVENTS_AT_ONCE),
        )
        with self._reading.understanding():
            return [
                StoredOutput(row["sequence"], stored_output(row) or b"", _omitted_bytes(row)) for row in rows
            ]

    async def stored_bytes(self, release_id: str) -> dict[int | None, int]:
        """How much output is stored of each command of a release (None: outside of all of them)."""
        rows = await self._reading.fetch(
            "SELECT body ->> 'command_index' AS command_index, sum(output_bytes) AS size "
            "FROM events WHERE release_id = ? AND output_bytes IS NOT NULL GROUP BY 1",
            (release_id,),
        )
        return {row["command_index"]: row["size"] for row in rows}

    async def release(self, release_id: str) -> ReleaseRecord | None:
        """One release, or None if there is none of that id.

        Raises Unavailable for one that can't be read, or was lost otherwise than by retention.
        """
        records = await self._releases("WHERE releases.release_id = ?", (release_id,))
        if not records and await self._reading.fetch(_WITHOUT_EVENT, (release_id,)):
            lost = f"the event that accepted {release_id} is missing: see `releasectl audit verify`"
            raise translate_read(LookupError(lost), self._reading.path).error()
        return records[0] if records else None

    async def release_of_request(self, target: Target, request_id: str) -> ReleaseRecord | None:
        """The release of a deployment target that a request_id started, if it did."""
        records = await self._releases(
            "WHERE application = ? AND environment = ? AND request_id = ?", (*target, request_id)
        )
        return records[0] if records else None

    async def newer_releases(self, record: ReleaseRecord) -> list[NewerRelease]:
        """The releases that were accepted after this one and have begun to run commands; one is enough of
        each target and its lock groups. Rollbacks do not count: what they undo had been there before.
        """
        rows = await self._reading.fetch(_NEWER, (record.accept_sequence,))
        with self._reading.understanding():
            return [
                NewerRelease(
                    row["release_id"],
                    Target(row["application"], row["environment"]),
                    frozenset(msgspec.json.decode(row["lock_groups"] or "[]", type=list[str])),
                )
                for row in rows
            ]

    async def newer_that_ran(self, record: ReleaseRecord) -> str | None:
        """The id of a release of the same target that was accepted later and has run commands, or may yet.

        Rollbacks do not count.
        """
        rows = await self._reading.fetch(_NEWER_THAT_RAN, (*record.spec.target, record.accept_sequence))
        return rows[0]["release_id"] if rows else None

    async def retries(self, release_id: str) -> list[ReleaseRecord]:
        """All that try a release again, or one of these, in the order in which they were accepted."""
        return await self._releases(
            f"WHERE releases.release_id IN ({_RETRIES}) ORDER BY accept_sequence", (release_id,)
        )

    async def unfinished(self) -> list[ReleaseRecord]:
        """All releases that are in no terminal state, in the order in which they were accepted."""
        states = tuple(state for state in ReleaseState if not state.is_terminal)
        return await self._releases(
            f"WHERE state IN ({_marks(states)}) ORDER BY accept_sequence",
            states,
        )

    async def kept_since(self) -> KeptSince:
        """Say since when the log is complete. It is cheap."""
        rows = await self._reading.fetch(
            "SELECT subject, (SELECT event_time FROM events WHERE sequence > through_sequence "
            "ORDER BY sequence LIMIT 1) AS since FROM checkpoints WHERE subject IN ('events', 'output')",
            (),
        )
        with self._reading.understanding():
            since = {row["subject"]: as_time(row["since"]) for row in rows if row["since"] is not None}
        return KeptSince(since.get("events"), max(since.values(), default=None))

    async def find_releases(
        self, condition: Condition, order: Order, after: Place | None, limit: int
    ) -> list[Place]:
        """The next places, in an order, of releases that meet a condition; all of them begin after None.

        Raises ResourceExhausted if it takes too long to find them.
        """
        return await self._find(Search(RELEASES, condition, order, after), limit)

    async def targets(self, condition: Condition) -> list[Target]:
        """The deployment targets of releases that meet a condition, in order.

        Raises ResourceExhausted if it takes too long to find them.
        """
        rows = await self._reading.fetch_list(
            f"SELECT DISTINCT application, environment FROM releases WHERE {condition.sql} ORDER BY 1, 2",  # noqa: S608
            condition.parameters,
        )
        return [Target(row["application"], row["environment"]) for row in rows]

    async def releases_at(self, places: Sequence[Place]) -> dict[int, ReleaseRecord]:
        """The releases at some places that were found, by their sequences.

        Some may be gone meanwhile; those that lie on a damaged page are left out if others can be read
        (`unreachable` tells which).
        """
        sequences = [place.sequence for place in places]
        try:
            records = await self._releases(f"WHERE accept_sequence IN ({_marks(sequences)})", sequences)
        except Unavailable:
            records = await self._readable_releases(sequences)
            if not records:
                raise
        return {record.accept_sequence: record for record in records}

    async def unreachable(self, places: Iterable[Place]) -> list[str]:
        """The ids of releases that `releases_at` left out, but for those that retention removed.

        Empty text stands for a release whose id can't be read either.
        """
        ids = []
        for place in places:
            sql = f"SELECT release_id FROM releases WHERE accept_sequence = ? AND {_NOT_PRUNED}"  # noqa: S608
            try:
                ids += [row["release_id"] for row in await self._reading.fetch(sql, (place.sequence,))]
            except Unavailable:
                ids.append("")
        return ids

    async def settings(self, application: str) -> ApplicationSettings:
        """The release commands in an application's settings; none if nobody has said anything of it.

        Raises Unavailable if what was said can't be read.
        """
        for row in await self._reading.fetch(SETTINGS, (application,)):
            with self._reading.understanding():
                return settings_of(row, application)
        return ApplicationSettings()

    async def settings_changes(self, application: str, through: int) -> list[Event]:
        """The newest changes of an application's settings up to a sequence, a few at a time.

        Raises ResourceExhausted if it takes too long to find them.
        """
        rows = await self._reading.fetch_list(CHANGES, (through, application, CHANGES_AT_ONCE))
        with self._reading.understanding():
            return [_event(row, None) for row in rows]

    async def newest_resolved(self, target: Target) -> list[Place]:
        """The newest release of a target that has looked at what its image declares, if there is one.

        Only so many of its releases are looked at.
        """
        rows = await self._reading.fetch_list(_NEWEST_RESOLVED, target)
        return [Place(*row) for row in rows]

    async def find_events(
        self, condition: Condition, order: Order, after: Place | None, limit: int
    ) -> list[Place]:
        """The next places, in an order, of events that meet a condition, as `find_releases`."""
        return await self._find(Search(EVENTS, condition, order, after), limit)

    async def events_at(self, places: Sequence[Place]) -> dict[int, StoredEvent]:
        """The events at some places that were found, by their sequences; some may be gone meanwhile."""
        sequences = [place.sequence for place in places]
        sql = stored_events(f"events.sequence IN ({_marks(sequences)})", with_output=True)
        rows = await self._reading.fetch(sql, sequences)
        with self._reading.understanding():
            return {row["sequence"]: StoredEvent.from_row(row) for row in rows}

    async def all_events_after(
        self, sequence: int, through: int, *, with_output: bool = True
    ) -> list[StoredEvent]:
        """The next events of the whole log after `sequence`, a few at a time, none after `through`."""
        where = "events.sequence > ? AND events.sequence <= ? ORDER BY events.sequence LIMIT ?"
        sql = stored_events(where, with_output=with_output)
        rows = await self._reading.fetch(sql, (sequence, through, EVENTS_AT_ONCE))
        with self._reading.understanding():
            return [StoredEvent.from_row(row) for row in rows]

    async def _find(self, search: Search, limit: int) -> list[Place]:
        look = search.look()
        glances = [Glance(*row) for row in await self._reading.fetch_list(*look)] if look else []
        rows = await self._reading.fetch_list(*search.page(glances, limit))
        return [Place(*row) for row in rows]

    async def _readable_releases(self, sequences: Iterable[int]) -> list[ReleaseRecord]:
        records = []
        for sequence in sequences:
            with suppress(Unavailable):
                records += await self._releases("WHERE accept_sequence = ?", (sequence,))
        return records

    async def _releases(self, rest: str, parameters: Sequence[Any]) -> list[ReleaseRecord]:
        rows = await self._reading.fetch(_RELEASES + rest, parameters)
        with self._reading.understanding():
            return [_record(row) for row in rows]


def _record(row: sqlite3.Row) -> ReleaseRecord:
    accepted = decode(row["accepted_body"])
    if not isinstance(accepted, ReleaseAccepted):  # the projection points at another event
        raise TypeError(f"event {row['accept_sequence']} of the audit log accepts no release")
    resolved = decode(row["resolved_body"]) if row["resolved_body"] is not None else None
    if not isinstance(resolved, CommandsResolved | None):
        raise TypeError(f"event {row['resolve_sequence']} of the audit log resolves no commands")
    commands = map(CommandRecord.from_row, msgspec.json.decode(row["commands"], type=list[dict[str, Any]]))
    return ReleaseRecord.from_row(row, accepted, resolved, tuple(commands))


def _event(row: sqlite3.Row, output: bytes | None) -> Event:
    time = as_time(row["event_time"])
    pruned_bytes = (row["output_bytes"] or 0) if output is None else 0
    return Event(
        row["sequence"], row["release_id"], time, decode(row["body"]), output, row["digest"], pruned_bytes
    )


def _marks(values: Sequence[Any]) -> str:
    """Places for so many parameters."""
    return ", ".join("?" * len(values))


def _omitted_bytes(row: sqlite3.Row) -> int:
    body = decode(row["body"])
    return body.omitted_bytes if isinstance(body, CommandOutput) else 0
