"""Finding many patterns at once in a text that is not complete yet."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

# Of the libraries that find many patterns in bytes at once, the one that is kept up (it wraps Rust's
# aho-corasick), tells of matches that overlap, and needs no compiler to be installed.
from ahocorasick_rs import BytesAhoCorasick

from released.model.secret_values import LEAST_BYTES

SLICE_BYTES = 16 * 1024
"""So much is searched at once: where matches begin at every byte, all of them are in memory."""


class Span(NamedTuple):
    """A range of bytes, its end excluded."""

    start: int
    end: int


class Patterns:
    """Patterns of LEAST_BYTES at least. Made once, used for any number of texts."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        self._sorted: list[bytes] = sorted(_without_covered(set(patterns)))
        self._longest = max(map(len, self._sorted))
        self._all = BytesAhoCorasick(self._sorted)
        self._heads = BytesAhoCorasick({pattern[:LEAST_BYTES] for pattern in self._sorted})

    def spans(self, text: bytes) -> Iterator[Span]:
        """Yield what is covered by patterns, in order; those that touch or overlap are one."""
        start = end = -1
        for match in self._matches(text):
            if match.start > end:
                if end > 0:
                    yield Span(start, end)
                start = match.start
            end = max(end, match.end)
        if end > 0:
            yield Span(start, end)

    def head_at_end(self, text: bytes) -> int:
        """Return where the longest end of a text begins that may be the head of a pattern.

        The text's length if there is none.
        """
        window = max(0, len(text) - self._longest + 1)
        certain = max(window, len(text) - LEAST_BYTES + 1)
        heads = self._heads.find_matches_as_indexes(text[window:], overlapping=True)
        places = chain((window + start for _, start, _ in heads), range(certain, len(text)))
        return next((place for place in places if self._is_head(text[place:])), len(text))

    def _is_head(self, text: bytes) -> bool:
        """Whether a pattern begins with this and is longer: then one comes next in order."""
        following = bisect_right(self._sorted, text)
        return following < len(self._sorted) and self._sorted[following].startswith(text)

    def _matches(self, text: bytes) -> Iterator[Span]:
        """Yield matches by their starts; within a slice they come by their ends, and so are sorted."""
        for start in range(0, len(text), SLICE_BYTES):
            part = text[start : start + SLICE_BYTES + self._longest - 1]
            matches = self._all.find_matches_as_indexes(part, overlapping=True)
            for begin, end in sorted((begin, end) for _, begin, end in matches if begin < SLICE_BYTES):
                yield Span(start + begin, start + end)


def _without_covered(patterns: set[bytes]) -> Iterator[bytes]:
    """Leave out what shorter patterns cover from end to end: it adds nothing, and may match everywhere."""
    ordered = list(patterns)
    automaton = BytesAhoCorasick(ordered)
    for pattern in ordered:
        covered = 0
        matches = automaton.find_matches_as_indexes(pattern, overlapping=True)
        for start, end in sorted((start, end) for _, start, end in matches if end - start < len(pattern)):
            if start > covered:
                break
            covered = max(covered, end)
        if covered < len(pattern):
            yield pattern
