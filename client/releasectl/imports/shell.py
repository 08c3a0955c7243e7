"""What of a command only a shell understands, and what is said of it.

A platform that runs no shell hands `&&` or `$NAME` to the program as they stand. Such a command stays what
it is there, and whoever imports it hears of it, since few mean that.

https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html : 2.2 quoting, 2.6 expansions, 2.7
redirection, 2.9 lists and pipelines.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from .fields import listed
from .found import Note

_EXPANSION = r"`[^`]*`|\$(?:\{[^}]*\}|\([^)]*\)|\w+|[?#@*!$-])"
_SYNTAX = re.compile(
    rf"""\\.|'[^']*'|"(?P<quoted>(?:\\.|[^"\\])*)"|(?P<break>\s*\n\s*)"""
    rf"|(?P<syntax>{_EXPANSION}|\|\||&&|\d?(?:>>|<<|[<>])&?\d?|;;?|[|&])",
    re.DOTALL,
)
_QUOTED_SYNTAX = re.compile(rf"\\.|(?P<syntax>{_EXPANSION})", re.DOTALL)
_OPERATORS = {"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1"}
_SHELLS = {"sh", "ash", "bash", "dash", "ksh", "zsh"}
_SCRIPT = re.compile(r"-[a-z]*c")
_NAMES_OPTION = re.compile(r"-[a-z]*o")
"""`-o pipefail`: the next word belongs to it."""


def program_notes(place: str, platform: str, written: str | Sequence[str]) -> Iterator[Note]:
    """Return what is to be said of a command that becomes a program with its arguments, as on its platform.

    Args:
        place: Where it stands.
        platform: Who runs it there.
        written: The text that is split into words, or the words themselves.
    """
    words = shlex.split(written) if isinstance(written, str) else written
    if script := _script(words):
        yield from _lost(place, script, words)
        return
    if found := _syntax_of(written):
        yield Note(
            place,
            f"{listed(found)}: the program gets that as it stands, as from {platform}, which runs no"
            " shell; what a shell is to read has to be written as `sh -c '…'`",
        )


def line_notes(place: str, line: str, elsewhere: str = "") -> Iterator[Note]:
    """Return what is to be said of a command that becomes a line for /bin/sh.

    Args:
        place: Where it stands.
        line: The line.
        elsewhere: When its platform runs no shell, as a sentence; empty if it always runs one.
    """
    words = _first_command(line)
    if script := _script(words):
        yield from _lost(place, script, words)
    if elsewhere and (found := _syntax_of(line)):
        yield Note(place, f"{listed(found)}: /bin/sh reads that here; {elsewhere}")


def is_shell(words: Sequence[str]) -> bool:
    """Whether they run a shell with a script among its arguments, as `sh -c` does."""
    return bool(_script(words))


def _syntax_of(written: str | Sequence[str]) -> list[str]:
    """What a shell would not take for a part of a word, each once, in order."""
    if isinstance(written, str):
        return list(dict.fromkeys(_pieces(written.strip())))
    return [word for word in dict.fromkeys(written) if word in _OPERATORS]


def _pieces(line: str) -> Iterator[str]:
    for match in _SYNTAX.finditer(line):
        if match["break"]:
            yield "a line break"
        elif match["quoted"]:
            yield from (each["syntax"] for each in _QUOTED_SYNTAX.finditer(match["quoted"]) if each["syntax"])
        elif match["syntax"]:
            yield match["syntax"]


def _script(words: Sequence[str]) -> str:
    """The script of `sh -c script`; empty for any other program."""
    if not words or PurePosixPath(words[0]).name not in _SHELLS:
        return ""
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        if _SCRIPT.fullmatch(word):
            return after
        if not (word.startswith("-") or _NAMES_OPTION.fullmatch(before)):
            break
    return ""


def _lost(place: str, script: str, words: Sequence[str]) -> Iterator[Note]:
    """Arguments of a script that reads none were meant to be a part of it: `bash -c ./manage.py migrate`."""
    if words[-1] != script and "$" not in script:
        yield Note(
            place,
            f"{words[0]} runs {script!r} and nothing of what is behind it: put all that it is to run into one"
            " pair of quotes",
        )


def _first_command(line: str) -> list[str]:
    """The words of a line up to the first operator; none if its quotes don't close."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return []
    operators = (number for number, word in enumerate(words) if word and set(word) <= set("();<>|&"))
    return words[: next(operators, len(words))]
