"""The hash chain: the canonical form of an event, and that the writer keeps to it."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from released.audit.chain import GENESIS, link
from released.model.events import CommandOutput, ConfigurationReloaded
from released.model.states import Stream
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, accepted

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)

CONTENT: tuple[Any, ...] = (1, RELEASE, 5, "state_changed", "{}", None, None)


def rows(path: Path) -> Sequence[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM events ORDER BY sequence").fetchall()


def test_canonical_form() -> None:
    """It is part of the contract: whoever verifies has it written down."""
    content = f"7\n{RELEASE}\n1700000000000000\ncommand_output\n3\n{sha256(b'abc').hexdigest()}\n{{}}"
    assert link(
        GENESIS, 7, RELEASE, 1_700_000_000_000_000, "command_output", "{}", 3, sha256(b"abc").digest()
    ) == (sha256(bytes(32) + content.encode()).digest())


def test_event_without_output_has_empty_lines_for_it() -> None:
    """No output is not the same as output of no bytes."""
    content = f"1\n{RELEASE}\n5\nstate_changed\n\n\n{{}}"
    assert link(GENESIS, *CONTENT) == sha256(bytes(32) + content.encode()).digest()
    of_no_bytes = (*CONTENT[:5], 0, sha256(b"").digest())
    assert link(GENESIS, *of_no_bytes) != link(GENESIS, *CONTENT)


@given(st.integers(0, 6), st.binary(min_size=32, max_size=32))
def test_every_part_of_an_event_counts(changed: int, digest: bytes) -> None:
    """A digest stands for one content, behind one event."""
    others = (2, OTHER_RELEASE, 6, "state_changes", "{} ", 0, digest)
    content = (*CONTENT[:changed], others[changed], *CONTENT[changed + 1 :])
    assert link(GENESIS, *content) != link(GENESIS, *CONTENT)
    assert digest == GENESIS or link(digest, *CONTENT) != link(GENESIS, *CONTENT)


async def test_each_event_is_chained_to_the_one_before(tmp_path: Path) -> None:
    """Those of one transaction, of several, and of a log that was opened again."""
    path = tmp_path / "audit.db"
    async with audit_log.opened(path) as audit:
        audit.append(RELEASE, accepted("true"))
        audit.append_output(RELEASE, [(OUTPUT, b"a"), (OUTPUT, b"x" * 5000)])
        await audit.append_own(ConfigurationReloaded())
    async with audit_log.opened(path) as audit:
        receipt = await audit.append(OTHER_RELEASE, accepted("true"))
    previous = GENESIS
    for sequence, release_id, event_time, kind, body, output_bytes, output_digest, digest in rows(path):
        content = (sequence, release_id, event_time, kind, body, output_bytes, output_digest)
        assert link(previous, *content) == digest
        previous = digest
    assert [row[5:7] for row in rows(path)] == [
        (None, None),
        (1, sha256(b"a").digest()),
        (5000, sha256(b"x" * 5000).digest()),
        (None, None),
        (None, None),
    ]
    assert receipt == (5, previous)
    assert str(receipt) == f"5:{previous.hex()}"
