"""The forms in which a secret value is looked for: as it is, in base64, in a URL, in JSON."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from released.model.secret_values import LEAST_BYTES, secret_lines

LONGEST_PATTERN = 256
"""Bytes. A longer form is looked for in pieces, so that little output has to wait for the rest of one."""

_WRAPPED_AT = (64, 76)
"""Where `openssl base64` and `base64` break their lines."""

_ENCODED = re.compile(r"%[0-9A-F]{2}")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def patterns_of(value: str) -> set[bytes]:
    """Return what a secret value is looked for by, none of it with a newline.

    Each of at least LEAST_BYTES and at most LONGEST_PATTERN bytes, in which a longer form is cut.
    """
    lines = list(secret_lines(value))
    found = {line.encode() for line in lines}
    # The whole of it, and for whoever encodes what a shell's $(…) left of it, without its end.
    for text in {value, value.strip(), *lines}:
        if len(text.encode()) >= LEAST_BYTES:
            found.update(_as_base64(text.encode()))
            found.update(form.encode() for form in {*_in_url(text), *_in_json(text)})
    return {piece for form in found if b"\n" not in form for piece in _pieces(form)}


def _pieces(form: bytes) -> Iterator[bytes]:
    """Cut a form; the last piece overlaps the one before, so that it is no shorter."""
    for start in range(0, max(1, len(form)), LONGEST_PATTERN):
        piece = form[start : start + LONGEST_PATTERN]
        yield piece if start == 0 or len(piece) == LONGEST_PATTERN else form[-LONGEST_PATTERN:]


def _as_base64(data: bytes) -> Iterator[bytes]:
    """RFC 4648, by itself or within the encoding of a longer text, where it may begin at three places."""
    whole = b64encode(data)
    texts = {whole, whole.rstrip(b"=")}
    texts.update(_determined(data, offset) for offset in range(3))
    for text in texts:
        yield text
        yield text.translate(_TO_URL_SAFE)
    for width in _WRAPPED_AT:
        for start in range(0, len(whole), width):
            line = whole[start : start + width]
            for form in {line, line.rstrip(b"=")}:
                if len(form) >= LEAST_BYTES:
                    yield form


def _determined(data: bytes, offset: int) -> bytes:
    """Those characters of a longer text's base64 that are made of nothing but this part of it."""
    begin = -(-offset * 8 // 6)
    end = (offset + len(data)) * 8 // 6
    return b64encode(bytes(offset) + data)[begin:end]


def _in_url(text: str) -> Iterator[str]:
    """RFC 3986, 2.1, as Python, JavaScript's encodeURIComponent and HTML forms have it."""
    for form in (quote(text, ""), quote(text), quote_plus(text), quote(text, "!'()*")):
        yield form
        yield _ENCODED.sub(lambda encoded: encoded[0].lower(), form)


def _in_json(text: str) -> Iterator[str]:
    """RFC 8259, 7, with and without what some libraries escape beyond need."""
    for only_ascii in (True, False):
        form = json.dumps(text, ensure_ascii=only_ascii)[1:-1]
        yield form
        yield form.replace("/", "\\/")
        yield form.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
