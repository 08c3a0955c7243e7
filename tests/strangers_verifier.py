"""A verifier of audit logs as a stranger would write it from docs/audit.md alone: no code of the daemon's."""

import sqlite3
import sys
from hashlib import sha256

import zstandard


def verify(path: str, receipts: dict[int, str]) -> str | None:
    """Return what is wrong with the log first, None if nothing is. Receipts are digests by sequence."""
    log = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    pruned = {row[0]: row[1:3] for row in log.execute("SELECT * FROM checkpoints")}
    last, previous = events_pruned = pruned.get("events", (0, bytes(32)))
    no_output_through, _ = pruned.get("output", (0, b""))
    rows = "SELECT events.*, encoding, data FROM events LEFT JOIN outputs USING (sequence) ORDER BY sequence"
    for sequence, release_id, time, kind, body, size, output_digest, digest, encoding, data in log.execute(
        rows
    ):
        if sequence <= events_pruned[0]:
            continue
        if sequence != last + 1:
            return f"event {last + 1} is missing"
        output = ["", ""] if output_digest is None else [str(size), output_digest.hex()]
        content = "\n".join([str(sequence), release_id, str(time), kind, *output, body])
        if sha256(previous + content.encode()).digest() != digest:
            return f"event {sequence} was changed"
        if data is not None:
            written = zstandard.ZstdDecompressor().decompress(data) if encoding == "zstd" else data
            if sha256(written).digest() != output_digest:
                return f"the output of event {sequence} was changed"
        elif output_digest is not None and sequence > no_output_through:
            return f"the output of event {sequence} is missing"
        if receipts.pop(sequence, digest.hex()) != digest.hex():
            return f"event {sequence} is not the one of the receipt"
        last, previous = sequence, digest
    return f"there are receipts of other events: {sorted(receipts)}" if receipts else None


sys.exit(verify(sys.argv[1], {int(s): d for s, d in (receipt.split(":") for receipt in sys.argv[2:])}))
