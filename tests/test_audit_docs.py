"""docs/audit.md: it says what is so, and enough for a stranger to write a verifier."""

import ast
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from released.audit.chain import GENESIS, link
from released.audit.database import APPLICATION_ID, MIGRATIONS
from released.model import events
from released.model.events import CommandOutput, ConfigurationReloaded, StateChanged
from released.model.states import ReleaseState, Stream
from support import audit_log
from support.past import pruned
from support.samples import OTHER_RELEASE, RELEASE, accepted
from support.tampering import tamper

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "audit.md").read_text()
VERIFIER = Path(__file__).with_name("strangers_verifier.py")
OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)


def section(heading: str) -> str:
    return DOCUMENT.partition(f"{heading}\n")[2].partition("\n## ")[0]


def test_kinds_of_events_are_all_there_with_their_fields() -> None:
    """In the order of the code: of releases, then of the daemon itself."""
    of_releases, of_the_daemon = section("## Kinds of events").split("Of the daemon itself")
    for table, bodies in ((of_releases, events.Body), (of_the_daemon, events.OwnBody)):
        documented = re.findall(r"^\| `(\w+)` \| (.*?) \| \S", table, re.MULTILINE)
        assert [(kind, re.findall(r"`(\w+)`", fields)) for kind, fields in documented] == [
            (body.__struct_config__.tag, [field.name for field in msgspec.structs.fields(body)])
            for body in get_args(bodies)
        ]


async def test_columns_are_all_there(tmp_path: Path) -> None:
    """Of the tables that a verifier reads; and the numbers that mark a log are right."""
    path = tmp_path / "audit.db"
    async with audit_log.opened(path):
        pass
    schema = section("## Schema")
    with closing(sqlite3.connect(path)) as connection:
        for table in ("events", "outputs", "checkpoints", "command_settings"):
            described = schema.partition(f"**`{table}`**")[2].partition("\n\n**")[0]
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == columns
    assert (f"0x{APPLICATION_ID:X}" in schema, f"`PRAGMA user_version` is {len(MIGRATIONS)}" in schema) == (
        True,
        True,
    )


def test_the_example_is_right() -> None:
    """Its contents, byte by byte, and their digests."""
    first, second = re.findall(r"```\n(\d\n.*?)\n```", section("## Canonical form"), re.DOTALL)
    digests = [
        bytes.fromhex(digest) for digest in re.findall(r"`([0-9a-f]{64})`", section("## Canonical form"))
    ]
    assert f"those {len(first.encode())} bytes" in DOCUMENT
    assert [
        sha256(GENESIS + first.encode()).digest(),
        sha256(digests[0] + second.encode()).digest(),
    ] == digests
    output = b"Applying 0001_initial... OK\n"
    sequence, release_id, time, kind, size, output_digest, body = second.split("\n")
    content = (int(sequence), release_id, int(time), kind, body, len(output), sha256(output).digest())
    assert (int(size), output_digest) == (len(output), sha256(output).hexdigest())
    assert link(digests[0], *content) == digests[1]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with output that is stored compressed, and as it came."""
    path = tmp_path / "audit.db"
    async with audit_log.opened(path) as audit:
        for release_id in (RELEASE, OTHER_RELEASE):
            audit.append(release_id, accepted("ä"))
            audit.append_output(release_id, [(OUTPUT, b"x" * 5000), (OUTPUT, b"\xff\0")])
            audit.append(release_id, StateChanged(state=ReleaseState.SUCCEEDED))
        await audit.append_own(ConfigurationReloaded())
    return path


def strangers_verdict(path: Path, receipts: Iterable[str] = ()) -> str:
    done = subprocess.run(
        [sys.executable, VERIFIER, path, *receipts],
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
    )
    # As the shell sees it: 0 and not a word, or 1 and what is wrong.
    assert (done.returncode, done.stdout) == (1 if done.stderr else 0, "")
    return done.stderr.strip()


def receipts_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT sequence, digest FROM events ORDER BY sequence").fetchall()
    return [f"{sequence}:{digest.hex()}" for sequence, digest in rows]


def test_the_strangers_verifier_is_short_and_shares_no_code() -> None:
    """40 lines, and nothing but the standard library and zstandard."""
    source = VERIFIER.read_text()
    assert len(source.splitlines()) <= 40
    modules = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or "."]
        )
    }
    assert modules - {"zstandard"} <= sys.stdlib_module_names


def test_the_strangers_verifier_finds_a_sound_log_sound(path: Path) -> None:
    """With all of its receipts."""
    assert strangers_verdict(path, receipts_of(path)) == ""


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("UPDATE events SET body = '{}' WHERE sequence = 4", "event 4 was changed"),
        ("UPDATE events SET event_time = 0 WHERE sequence = 1", "event 1 was changed"),
        ("DELETE FROM events WHERE sequence = 4", "event 4 is missing"),
        ("UPDATE outputs SET data = x'00' WHERE sequence = 3", "the output of event 3 was changed"),
        ("DELETE FROM outputs WHERE sequence = 2", "the output of event 2 is missing"),
        ("DELETE FROM events WHERE sequence = 9", "there are receipts of other events: [9]"),
    ],
)
def test_the_strangers_verifier_finds_tampering(path: Path, statement: str, verdict: str) -> None:
    """And where it begins."""
    receipts = receipts_of(path)
    tamper(path, statement)
    assert strangers_verdict(path, receipts) == verdict


async def test_the_strangers_verifier_reads_what_retention_has_left(tmp_path: Path) -> None:
    """From the checkpoint of the events on, and without the output before the other one."""
    path = tmp_path / "audit.db"
    await pruned(path)
    assert strangers_verdict(path, receipts_of(path)) == ""
    newest = receipts_of(path)[-1].partition(":")[0]
    tamper(path, f"UPDATE events SET event_time = 0 WHERE sequence = {newest}")  # noqa: S608
    assert strangers_verdict(path) == f"event {newest} was changed"
