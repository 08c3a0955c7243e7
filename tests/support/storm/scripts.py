"""Shell lines of which every byte that they write is known, made to be hard to resume in the middle."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

LONG_LINES = (16_383, 16_384, 16_385, 20_000, 40_000, 70_000)
"""Around and far above the 16 KiB at which the engine cuts a line for its log."""


@dataclass(frozen=True)
class Script:
    """A shell line, and what it writes to each stream before it ends."""

    line: str
    stdout: bytes = b""
    stderr: bytes = b""

    def then(self, line: str) -> Script:
        """The same, with something silent behind it."""
        return replace(self, line=f"{self.line}; {line}")


def any_script(rng: random.Random, tag: str) -> Script:
    """A script of any kind; `tag` is a word that its lines have, to be told from others."""
    return rng.choice(_KINDS)(rng, tag)


def numbered(rng: random.Random, tag: str) -> Script:
    """Numbered lines on both streams, a short pause after each."""
    count, pause = rng.randint(10, 60), rng.choice((0.005, 0.02, 0.05))
    return Script(
        f"i=0; while [ $i -lt {count} ]; do echo {tag} out $i; echo {tag} err $i >&2; "
        f"i=$((i+1)); sleep {pause}; done",
        _lines(f"{tag} out", range(count)),
        _lines(f"{tag} err", range(count)),
    )


def bursts(rng: random.Random, tag: str) -> Script:
    """Thousands of lines at once, twice, with a pause between."""
    count = rng.randint(500, 20_000)
    burst = f"seq 1 {count} | sed 's/^/{tag} out /'; seq 1 {count} | sed 's/^/{tag} err /' >&2"
    numbers = range(1, count + 1)
    return Script(
        f"{burst}; sleep {rng.uniform(0, 1):.2f}; {burst}",
        2 * _lines(f"{tag} out", numbers),
        2 * _lines(f"{tag} err", numbers),
    )


def long_lines(rng: random.Random, tag: str) -> Script:
    """Lines around and above 16 KiB, which the engine's log has in parts."""
    sizes = [rng.choice(LONG_LINES) for _ in range(rng.randint(2, 8))]
    sizes_word = " ".join(map(str, sizes))
    stdout = b"".join(b"x" * size + f" {tag} {size}\n".encode() for size in sizes)
    return Script(
        f"for size in {sizes_word}; do head -c $size /dev/zero | tr '\\0' x; echo ' {tag}' $size; sleep 0.1; "
        f"head -c $size /dev/zero | tr '\\0' y >&2; echo >&2; done",
        stdout,
        b"".join(b"y" * size + b"\n" for size in sizes),
    )


def ragged(rng: random.Random, tag: str) -> Script:
    """Lines that come in two parts, and a last one on each stream that never ends."""
    count = rng.randint(2, 10)
    return Script(
        f"i=0; while [ $i -lt {count} ]; do printf '{tag} '; sleep 0.1; echo $i; i=$((i+1)); done; "
        f"printf '{tag} open'; printf 'err {tag}' >&2; sleep 0.2",
        _lines(tag, range(count)) + f"{tag} open".encode(),
        f"err {tag}".encode(),
    )


def binary(rng: random.Random, tag: str) -> Script:
    """Bytes that are no text, empty lines, and what looks like a marker of the supervisor's."""
    count = rng.randint(2, 20)
    return Script(
        f"i=0; while [ $i -lt {count} ]; do printf '\\036{tag} exit 0 0\\n\\377\\376\\000\\r\\n\\n'; "
        "printf '\\n\\342\\202' >&2; i=$((i+1)); sleep 0.05; done",
        count * (b"\x1e" + tag.encode() + b" exit 0 0\n\xff\xfe\x00\r\n\n"),
        count * b"\n\xe2\x82",
    )


def silent(rng: random.Random, tag: str) -> Script:
    """Nothing at all, for a while."""
    return Script(f"sleep {rng.uniform(0, 2):.2f}")


_KINDS: tuple[Callable[[random.Random, str], Script], ...] = (
    numbered,
    numbered,
    bursts,
    long_lines,
    ragged,
    binary,
    silent,
)


def _lines(head: str, numbers: range) -> bytes:
    return "".join(f"{head} {number}\n" for number in numbers).encode()
