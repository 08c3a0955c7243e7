"""Page tokens: where a list goes on, bound to the filter it was made for."""

import base64
import binascii
import hashlib
import struct

from released.errors import InvalidRequest, Violation

FIRST = 2**63 - 1
"""Greater than every sequence."""

_FORM = struct.Struct(">Q8s")


def next_page_token(before: int, filter_text: str) -> str:
    """Return the token of the page whose releases were accepted before sequence `before`."""
    return base64.urlsafe_b64encode(_FORM.pack(before, _digest(filter_text))).decode().rstrip("=")


def read_page_token(token: str, filter_text: str) -> int:
    """Return what `next_page_token` was given. Raises InvalidRequest for any other token."""
    if not token:
        return FIRST
    try:
        before, digest = _FORM.unpack(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, struct.error, ValueError):
        raise InvalidRequest([Violation("page_token", "is not one that this daemon gave")]) from None
    if digest != _digest(filter_text) or before > FIRST:
        raise InvalidRequest(
            [Violation("page_token", "belongs to another filter: start from the first page")]
        )
    return int(before)


def _digest(filter_text: str) -> bytes:
    return hashlib.sha256(filter_text.encode()).digest()[:8]
