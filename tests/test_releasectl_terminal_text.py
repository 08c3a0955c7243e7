"""Output is safe to show on a terminal, wherever its chunks are cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from releasectl.terminal_text import OutputText, escape


def shown(*chunks: bytes) -> list[str]:
    output = OutputText()
    return [line for chunk in chunks for line in output.feed("stdout", chunk)] + output.finish()


def test_escape_sequences_are_shown_not_obeyed() -> None:
    """ESC and its eight-bit relative lose their power."""
    assert shown(b"\x1b[2Jgone\n", "\x9b2J".encode()) == ["\\x1b[2Jgone", "\\x9b2J"]


def test_newline_and_tab_are_kept() -> None:
    """They are what text is made of."""
    assert shown(b"a\tb\nc\n") == ["a\tb", "c"]


def test_other_control_characters_are_escaped() -> None:
    """NUL, bell, backspace, delete and the like are shown."""
    assert shown(b"\x00\x07\x08\x0b\x0c\x7f") == ["\\x00\\x07\\x08\\x0b\\x0c\\x7f"]


def test_characters_that_reorder_text_are_escaped() -> None:
    """A line can't be made to read otherwise than it is."""
    assert shown("a\u202eb\u2066c\u2028".encode()) == ["a\\u202eb\\u2066c\\u2028"]


def test_what_is_not_utf8_is_shown_as_bytes() -> None:
    """Nothing is lost of output in another encoding."""
    assert shown(b"gr\xfc\xdfe\n") == ["gr\\xfc\\xdfe"]


def test_a_character_may_be_cut_in_two() -> None:
    """The end of a chunk is not the end of a character."""
    assert shown(b"\xe2", b"\x9c", b"\x93\n") == ["✓"]


def test_a_character_cut_by_the_end_is_shown_as_bytes() -> None:
    """At the end there is nothing more to wait for."""
    assert shown(b"a\xe2\x9c") == ["a\\xe2\\x9c"]


def test_each_stream_has_its_own_decoder() -> None:
    """A chunk of the other stream between two halves of a character does no harm."""
    output = OutputText()
    assert output.feed("stdout", b"\xe2\x9c") == []
    assert output.feed("stderr", b"oops\n") == ["oops"]
    assert output.feed("stdout", b"\x93\n") == ["✓"]


def test_a_carriage_return_starts_the_line_anew() -> None:
    """Of a progress bar only its last state remains."""
    assert shown(b"10%\r50%\r", b"100%\r", b"\nnext\n") == ["100%", "next"]


def test_the_line_endings_of_dos_are_line_endings() -> None:
    """CR LF is one line break, also when cut in two."""
    assert shown(b"a\r\nb\r", b"\nc") == ["a", "b", "c"]


def test_the_tail_is_the_line_under_way() -> None:
    """A person sees a line that has not ended, such as a progress bar."""
    output = OutputText()
    assert output.feed("stdout", b"whole\nhalf 10%\r") == ["whole"]
    assert output.tail == "half 10%"
    output.feed("stdout", b"half 20%")
    assert output.tail == "half 20%"
    assert output.finish() == ["half 20%"]
    assert output.tail == ""


def test_a_line_without_end_is_cut() -> None:
    """Endless output without a newline does not pile up in memory."""
    output = OutputText()
    lines = [line for _ in range(64) for line in output.feed("stdout", b"x" * 1024)]
    assert len("".join(lines)) + len(output.tail) == 64 * 1024
    assert len(output.tail) <= 16 * 1024


def test_escape_leaves_one_line() -> None:
    """A label or a message can't break out of its line."""
    assert escape("a\nb\r\x1b[0m\tc") == "a\\nb\\r\\x1b[0m\tc"


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_chunks_do_not_matter(data: bytes, cuts: list[int]) -> None:
    """However the bytes of a stream are cut into chunks, the same lines are shown."""
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    assert shown(*chunks) == shown(data)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=20)), max_size=10))
def test_nothing_that_commands_a_terminal_gets_through(chunks: list[tuple[bool, bytes]]) -> None:
    """Whatever the bytes and their streams, each line is printable but for tabs."""
    output = OutputText()
    lines = [line for stream, data in chunks for line in output.feed(stream, data)]
    for line in [*lines, output.tail, *output.finish()]:
        assert not any(character < " " and character != "\t" for character in line)
        assert not any("\x7f" <= character <= "\x9f" for character in line)
