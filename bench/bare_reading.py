"""What no verifier of an audit log in this language can leave out: the peer of `verify`.

In as many processes as verifying takes, every event and its output is fetched through sqlite3, one SHA-256
is made of each, over the bytes that docs/audit.md says, and SQLite checks the file once. Nothing is chained,
derived or compared. So its CPU time is the price of Python, SQLite and SHA-256, and the ratio to it tells
what all the rest of verifying costs.

    python -m bench.bare_reading FILE
"""

import gc
import os
import sqlite3
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

from zstandard import ZstdDecompressor

PART = 20_000
"""Events that a process reads in one go."""

_EVENTS = """
    SELECT sequence, release_id, event_time, kind, body, output_bytes, output_digest, digest FROM events
    WHERE sequence BETWEEN ? AND ? ORDER BY sequence
"""
_OUTPUTS = "SELECT sequence, encoding, data FROM outputs WHERE sequence BETWEEN ? AND ? ORDER BY sequence"


def read(path: Path, processes: int) -> int:
    """Read all of the log; return how many events it has."""
    with closing(_open(path)) as connection:
        (last,) = connection.execute("SELECT max(sequence) FROM events").fetchone()
    # As verifying does it: nothing refers to itself, and there are millions of objects to look through.
    with ProcessPoolExecutor(processes, get_context("fork"), initializer=gc.disable) as pool:
        check = pool.submit(_check, path)
        count = sum(pool.map(partial(_read_part, path), range(1, last + 1, PART)))
        check.result()
    return count


def _check(path: Path) -> None:
    """The longest task, so it comes first."""
    with closing(_open(path)) as connection:
        connection.execute("PRAGMA integrity_check").fetchall()


def _read_part(path: Path, first: int) -> int:
    part, count = (first, first + PART - 1), 0
    unpack = ZstdDecompressor().decompress
    with closing(_open(path)) as connection:
        for sequence, release_id, time, kind, body, size, output, _ in connection.execute(_EVENTS, part):
            count += 1
            covered = output.hex() if output else ""
            sha256(f"{sequence}\n{release_id}\n{time}\n{kind}\n{size}\n{covered}\n{body}".encode()).digest()
        for _, encoding, data in connection.execute(_OUTPUTS, part):
            sha256(unpack(data) if encoding else data).digest()
    return count


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


if __name__ == "__main__":
    os.nice(19)  # as verifying does
    print(read(Path(sys.argv[1]), len(os.sched_getaffinity(0))))
