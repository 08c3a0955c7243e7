"""The key of the audit log: for digests of what must not be stored, not even as a plain hash.

A short secret could be found by trying; with a key that is not in the log, it can't.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from released.errors import StartupError, StoredDataError
from released.model.release import Target

SIZE = 32

INSTANCE = b"releasephase.daemon"

VALUE = "releasephase.value"

VALUE_DIGITS = 32
"""Hexadecimal digits of a value's digest: with 128 bits, no two values of a variable share one by chance."""


class AuditKey:
    """A key that is made once and kept beside the log, readable by its owner only."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, audit_path: Path) -> "AuditKey":
        """Read the key of the log at `audit_path`, made if there is none. Raises StartupError."""
        path = audit_path.with_name(audit_path.name + ".key")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _write(path, secrets.token_bytes(SIZE))
            key = path.read_bytes()
        except OSError as error:
            raise StartupError(f"the key of the audit log, {path}, can't be used: {error}") from error
        if len(key) != SIZE:
            raise StoredDataError(f"the key of the audit log, {path}, is damaged: restore it from a backup")
        return cls(key)

    @property
    def instance_id(self) -> str:
        """What tells this daemon from others that use the same engine: 16 hexadecimal digits."""
        return self.digest(INSTANCE)[:16]

    def digest(self, data: bytes) -> str:
        """Return the HMAC-SHA-256 of `data`, in hexadecimal."""
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()

    def value_digests(self, target: Target, environment: Mapping[str, str]) -> tuple[str, ...]:
        """Return a digest of each value, in order, by which two releases of a target can be compared.

        It is bound to the target and the name: who may start releases of another target can't find out
        a value by trying, nor anybody that two variables have the same one.
        """
        # Neither a slug nor a name has a NUL in it, so that no two of them give the same bytes.
        texts = ("\0".join((VALUE, *target, name, value)) for name, value in environment.items())
        return tuple(self.digest(text.encode())[:VALUE_DIGITS] for text in texts)


def _write(path: Path, key: bytes) -> None:
    """Write the file whole or not at all."""
    unfinished = path.with_name(path.name + ".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
