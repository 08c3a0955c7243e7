"""The supervisor's markers, and what is output between them.

A marker is `\\x1e<nonce> <word>[ <word>]*\\n` (see engine/supervisor.sh). Without the
nonce, nobody can forge one; whatever is not a marker to the byte is output.
"""

import re
from dataclasses import dataclass

_SIGN = b"\x1e"
_LONGEST = 64
"""More than any marker has behind its nonce; what is longer can't be one."""

_FORM = re.compile(
    rb"ready|here (?P<here>\d+)|start (?P<started>\d+)"
    rb"|exit (?P<exited>\d+) (?P<status>\d+)(?P<stopped> stopped)?"
)


@dataclass(frozen=True, slots=True)
class Ready:
    """The supervisor runs."""


@dataclass(frozen=True, slots=True)
class Started:
    """A command's output follows."""

    index: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A command's output ended, with its exit status.

    `stopped`: SIGTERM had come for the container, from the daemon or from somebody else.
    """

    index: int
    status: int
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Here:
    """The supervisor's answer to being asked where the streams are, counted from 0."""

    number: int


Marker = Ready | Started | Exited | Here


class MarkerParser:
    """Splits one stream, in any chunks, into output and markers."""

    def __init__(self, nonce: str) -> None:
        self._prefix = _SIGN + nonce.encode() + b" "
        self._held = b""

    def feed(self, data: bytes) -> list[bytes | Marker]:
        """Return what is certain now; what could be the head of a marker is held back."""
        data = self._held + data
        found: list[bytes | Marker] = []
        start = searched = 0
        while (sign := data.find(self._prefix, searched)) >= 0:
            body = sign + len(self._prefix)
            end = data.find(b"\n", body, body + _LONGEST)
            if end < 0 and len(data) - body < _LONGEST:
                return self._hold(found, data, start, sign)
            marker = _parsed(data[body:end]) if end >= 0 else None
            searched = body
            if marker is not None:
                if sign > start:
                    found.append(data[start:sign])
                found.append(marker)
                start = searched = end + 1
        return self._hold(found, data, start, self._possible_head(data, searched))

    def finish(self) -> bytes:
        """Return what was held back: no more data will come."""
        held, self._held = self._held, b""
        return held

    def _possible_head(self, data: bytes, searched: int) -> int:
        """Where the head of a prefix begins at the end of `data`, or its length if there is none."""
        sign = data.rfind(_SIGN, max(searched, len(data) - len(self._prefix) + 1))
        return sign if sign >= 0 and self._prefix.startswith(data[sign:]) else len(data)

    def _hold(self, found: list[bytes | Marker], data: bytes, start: int, hold: int) -> list[bytes | Marker]:
        if hold > start:
            found.append(data[start:hold])
        self._held = data[hold:]
        return found


def _parsed(body: bytes) -> Marker | None:
    match = _FORM.fullmatch(body)
    if match is None:
        return None
    if match["started"]:
        return Started(int(match["started"]))
    if match["exited"]:
        return Exited(int(match["exited"]), int(match["status"]), bool(match["stopped"]))
    if match["here"]:
        return Here(int(match["here"]))
    return Ready()
