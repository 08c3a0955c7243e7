"""An export of an audit log, made by hand: whatever can be in such a file can be tried."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from released.audit.chain import GENESIS
from released.audit.compression import unpack


def lines_of(path: Path) -> list[dict[str, Any]]:
    """An export of a log."""
    lines, previous = [], GENESIS
    with closing(sqlite3.connect(path)) as connection:
        sql = (
            "SELECT events.*, encoding, data FROM events LEFT JOIN outputs USING (sequence) ORDER BY sequence"
        )
        for (
            sequence,
            release_id,
            time,
            kind,
            body,
            size,
            output_digest,
            digest,
            *output,
        ) in connection.execute(sql):
            line = {
                "sequence": sequence,
                "release_id": release_id,
                "event_time": time,
                "kind": kind,
                "body": body,
            }
            if output_digest is not None:
                line |= {"output_bytes": size, "output_digest": output_digest.hex()}
                line["output"] = base64.b64encode(unpack(*output)).decode()
            lines.append({**line, "previous_digest": previous.hex(), "digest": digest.hex()})
            previous = digest
    return lines


Lines = list[dict[str, Any]]


def write(path: Path, lines: Lines) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
