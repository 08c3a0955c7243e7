"""What is given out for an event of the audit log, and proves later that the log still has it."""

from hashlib import sha256
from typing import NamedTuple


class Receipt(NamedTuple):
    """An event's sequence and its digest, which vouches for all events up to it."""

    sequence: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Receipt":
        """Read what str() gives. Raises ValueError that says what is expected."""
        sequence, _, digest = text.strip().partition(":")
        if not (sequence.isascii() and sequence.isdecimal() and len(sequence) < 19):
            raise ValueError(f"{text!r} is no receipt: it is of the form SEQUENCE:DIGEST")
        try:
            found = bytes.fromhex(digest)
        except ValueError:
            found = b""
        if len(found) != sha256().digest_size:
            raise ValueError(f"the digest of the receipt {text!r} has to have 64 hexadecimal digits")
        return cls(int(sequence), found)
