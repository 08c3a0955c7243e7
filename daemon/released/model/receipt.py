"""What is given out for an event of the audit log, and proves later that the log still has it."""

from typing import NamedTuple


class Receipt(NamedTuple):
    """An event's sequence and its digest, which vouches for all events up to it."""

    sequence: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest.hex()}"
