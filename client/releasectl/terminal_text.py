"""Makes bytes of any origin safe to show on a terminal.

Whoever writes to a terminal commands it: an escape sequence in a command's output
could rewrite what was shown before, or its title, or worse. So every control character
but newline and tab is shown as its escape, such as ``\\x1b``, and so are the Unicode
characters that reorder or break a line.
"""

from __future__ import annotations

import codecs

_REORDERING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
_BREAKING = (0x2028, 0x2029)
_KEPT = (ord("\n"), ord("\t"), ord("\r"))
_ESCAPES = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in _KEPT},
    **{code: f"\\u{code:04x}" for code in (*_REORDERING, *_BREAKING)},
}

_LONGEST_LINE = 16 * 1024


def escape(text: str) -> str:
    """Return a text of one line with nothing in it that commands a terminal."""
    return text.translate(_ESCAPES).replace("\r", "\\r").replace("\n", "\\n")


def safe_line(data: bytes) -> str:
    """Return a whole line of output as `OutputText` would show it."""
    return _overwritten(data.removesuffix(b"\n").decode(errors="backslashreplace").translate(_ESCAPES))


class OutputText:
    """Turns the chunks of two byte streams into safe lines of text.

    A chunk may end within a UTF-8 sequence, so each stream has its own decoder; bytes
    that are not UTF-8 are shown as ``\\xff``. A carriage return starts the line anew, as
    on a terminal, so that of a progress bar only its last state remains.
    """

    def __init__(self) -> None:
        self._decoders: dict[object, codecs.IncrementalDecoder] = {}
        self._tail = ""

    @property
    def tail(self) -> str:
        """The line that has not ended yet."""
        return _overwritten(self._tail)

    def feed(self, stream: object, data: bytes) -> list[str]:
        """Take a chunk of one stream and return the lines that it completed."""
        if stream not in self._decoders:
            self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        return self._add(self._decoders[stream].decode(data))

    def finish(self) -> list[str]:
        """Return what is left, and begin anew."""
        left = "".join(decoder.decode(b"", final=True) for decoder in self._decoders.values())
        lines = self._add(left)
        if self._tail:
            lines.append(self.tail)
        self._decoders, self._tail = {}, ""
        return lines

    def _add(self, text: str) -> list[str]:
        *lines, self._tail = (self._tail + text.translate(_ESCAPES)).split("\n")
        if "\r" in self._tail:
            self._tail = _overwritten(self._tail) + "\r" * self._tail.endswith("\r")
        if len(self._tail) > _LONGEST_LINE:
            lines.append(self._tail)
            self._tail = ""
        return [_overwritten(line) for line in lines]


def _overwritten(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]
