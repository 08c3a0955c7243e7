"""Masking one stream, however it is cut into chunks."""

from released.model.secret_values import LEAST_BYTES
from released.release.masking.forms import LONGEST_PATTERN
from released.release.masking.patterns import Patterns, Span

MASK = b"***"


class Masker:
    """Masks one stream: each stretch of secrets, touching or overlapping, becomes one `***`.

    What could be the head of a secret waits for what comes next, no more than that: so after any
    number of bytes the same has been returned, in whatever chunks they came.
    """

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._held = b""
        self._hidden_to = -1
        """Up to where, counted from the beginning of `held`, nothing more is shown: there a `***` ends
        that was returned last. -1: something came after it."""
        self._lost_place = False
        """Whether no more is hidden than the rest of a line, of which the beginning was lost."""

    @property
    def holds(self) -> bool:
        """Whether anything waits."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """Return what is certain now."""
        text = self._held + data
        if self._lost_place:
            self._find_place(text)
        head = self._patterns.head_at_end(text)
        spans = [span for span in self._patterns.spans(text) if span.start < head]
        self._held = text[head:]
        return self._shown(text, spans, head)

    def finish(self) -> bytes:
        """Return what waits: no more comes. It is masked if it is too much to be there by chance."""
        held, self._held = self._held, b""
        spans = [Span(0, len(held))] if len(held) >= LEAST_BYTES else []
        shown = self._shown(held, spans, len(held))
        self._hidden_to, self._lost_place = -1, False
        return shown

    def lose_place(self) -> None:
        """Take note that bytes are missing here: what comes next may be the rest of a secret.

        No secret has a newline in it, and none is looked for in longer pieces.
        """
        self._held = b""
        self._hidden_to, self._lost_place = LONGEST_PATTERN - 1, True

    def _find_place(self, text: bytes) -> None:
        newline = text.find(b"\n", 0, max(0, self._hidden_to))
        if newline >= 0:
            self._hidden_to = newline
        self._lost_place = newline < 0 <= self._hidden_to

    def _shown(self, text: bytes, spans: list[Span], end: int) -> bytes:
        """What is to be seen of `text` up to `end`, where those spans are secret."""
        shown: list[bytes] = []
        hidden = self._hidden_to
        position = max(0, hidden)
        for span in spans:
            if span.start > hidden:
                shown += (text[position : span.start], MASK)
            position = hidden = max(hidden, span.end)
        shown.append(text[position:end])
        self._hidden_to = hidden - end if hidden >= end else -1
        return b"".join(shown)
