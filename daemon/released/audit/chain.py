"""The hash chain: each event's digest covers its content and the digest of the event before it.

docs/audit.md has the canonical form for those who write a verifier of their own.
"""

from hashlib import sha256

GENESIS = bytes(32)
"""What stands for the digest of an event before the first."""


def link(
    previous: bytes,
    sequence: int,
    release_id: str,
    event_time: int,
    kind: str,
    body: str,
    output_bytes: int | None = None,
    output_digest: bytes | None = None,
) -> bytes:
    """Return the digest of the event that comes after the one whose digest is `previous`.

    The body comes last: no other part can have a newline, so that each content has one form.
    """
    size = "" if output_bytes is None else output_bytes
    output = "" if output_digest is None else output_digest.hex()
    content = f"{sequence}\n{release_id}\n{event_time}\n{kind}\n{size}\n{output}\n{body}"
    return sha256(previous + content.encode()).digest()


def output_digest_of(output: bytes) -> bytes:
    """Return the digest by which an event vouches for what a container wrote."""
    return sha256(output).digest()
