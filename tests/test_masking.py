"""Masking a stream: whatever its chunks and its secrets are, none of them is let out."""

import base64
import json
import tracemalloc
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.model.release import RegistryAuth, Secrets
from released.model.secret_values import is_secret_name, secret_values
from released.release.masking.forms import LONGEST_PATTERN, patterns_of
from released.release.masking.masker import Masker
from released.release.masking.masking import Mask
from released.release.masking.patterns import Patterns
from support.properties import deterministic

PASSWORD = "p4ss/w?rd+&=~"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADAN/Bgk+hkiG\n9w0BAQAB\nshort\n-----END KEY-----\n"

few_letters = st.text("ab", min_size=8, max_size=14).map(str.encode)
secrets = st.sets(few_letters, min_size=1, max_size=6)
texts = st.lists(st.one_of(few_letters, st.text("ab\n", max_size=9).map(str.encode)), max_size=12).map(
    b"".join
)


def masked(patterns: set[bytes], *chunks: bytes) -> bytes:
    masker = Masker(Patterns(patterns))
    return b"".join(masker.feed(chunk) for chunk in chunks) + masker.finish()


def shown(value: str, text: str) -> str:
    return Mask([value]).text(text)


def covered(patterns: set[bytes], text: bytes) -> list[bool]:
    """Which bytes belong to a secret: tried at every place."""
    marks = [False] * len(text)
    for pattern in patterns:
        for start in range(len(text)):
            if text.startswith(pattern, start):
                marks[start : start + len(pattern)] = [True] * len(pattern)
    return marks


@st.composite
def cut(draw: st.DrawFn, text: st.SearchStrategy[bytes]) -> list[bytes]:
    whole = draw(text)
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[start:end] for start, end in pairwise([0, *places, len(whole)])]


@deterministic
@given(secrets, cut(texts))
def test_chunks_make_no_difference(patterns: set[bytes], chunks: list[bytes]) -> None:
    """Overlapping secrets, heads, ends and parts of others, repeating ones, near misses: as in one chunk."""
    assert masked(patterns, *chunks) == masked(patterns, b"".join(chunks))


@deterministic
@given(secrets, texts)
def test_every_byte_of_a_secret_is_masked_and_no_other(patterns: set[bytes], text: bytes) -> None:
    """A stretch of secrets that overlap or touch becomes one `***`."""
    end = b"\n-"  # no head of a secret is at the end
    expected = b""
    for byte, is_secret in zip(text + end, covered(patterns, text + end), strict=True):
        if not is_secret:
            expected += bytes([byte])
        elif not expected.endswith(b"*"):
            expected += b"***"
    assert masked(patterns, text + end) == expected


@deterministic
@given(secrets, cut(texts), st.integers(0, 100))
def test_what_was_returned_depends_on_the_bytes_alone(
    patterns: set[bytes], chunks: list[bytes], size: int
) -> None:
    """Also in the middle of a stream: a daemon that comes back finds there what it has stored."""
    text = b"".join(chunks)[:size]
    at_once, in_chunks = Masker(Patterns(patterns)), Masker(Patterns(patterns))
    expected = at_once.feed(text)
    place = 0
    got = b""
    for chunk in chunks:
        got += in_chunks.feed(chunk[: max(0, size - place)])
        place += len(chunk)
    assert got == expected


@deterministic
@given(secrets, texts, st.integers(0, 100))
def test_nothing_of_a_secret_is_shown_behind_a_gap(patterns: set[bytes], text: bytes, size: int) -> None:
    """Bytes were lost: what comes may be the rest of a secret, and is left out up to the next newline."""
    masker = Masker(Patterns(patterns))
    whole = b"".join(sorted(patterns))
    masker.feed(text)
    masker.lose_place()
    assert masker.feed(whole[size % len(whole) :] + b"\n-") == b"\n-"


def test_nothing_of_a_long_secret_is_shown_behind_a_gap() -> None:
    """Wherever in it the gap ends, in chunks of any size."""
    value = "".join(f"{number:05}-" for number in range(160))
    for start in range(0, len(value), 29):
        for size in (1, 100, 1000):
            masker = Masker(Patterns(patterns_of(value)))
            masker.lose_place()
            rest = (value[start:] + "\nnext").encode()
            shown = b"".join(masker.feed(rest[at : at + size]) for at in range(0, len(rest), size))
            assert shown == b"\nnext", (start, size)


def test_only_what_may_begin_a_secret_waits() -> None:
    """Quiet output is shown at once: a prompt has no newline."""
    masker = Masker(Patterns({b"swordfish"}))
    assert masker.feed(b"Password? ") == b"Password? "
    assert masker.feed(b"sword") == b""
    assert masker.holds
    assert masker.feed(b"s and fish") == b"swords and fish"
    assert not masker.holds


def test_head_of_a_secret_at_the_end_is_masked_unless_it_is_short() -> None:
    """Whoever is cut off in the middle of a secret has shown it as well."""
    assert masked({b"correct horse battery"}, b"> correct") == b"> correct"
    assert masked({b"correct horse battery"}, b"> correct ") == b"> ***"
    assert masked({b"correct horse battery"}, b"> corr") == b"> corr"


def test_repeating_secret_needs_no_memory() -> None:
    """Matches at every byte, of a great many secrets: what is held is bounded, and so is what is made."""
    masker = Masker(Patterns({b"a" * size for size in range(8, LONGEST_PATTERN)} | {b"a" * 200 + b"b"}))
    chunk = b"a" * 65536
    tracemalloc.start()
    try:
        assert masker.feed(chunk) == b"***"
        assert all(masker.feed(chunk) == b"" for _ in range(2))
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert masker.feed(b"\n") == b"\n"


def test_secret_of_the_greatest_size_is_masked_in_single_bytes() -> None:
    """64 KiB in one line, with little more held back than a few hundred bytes at any time."""
    value = base64.b64encode(bytes(range(256)) * 192).decode()
    masker = Masker(Patterns(patterns_of(value)))
    data = f"key={value};".encode()
    assert len(value) == 65536
    assert b"".join(masker.feed(data[at : at + 1]) for at in range(len(data))) == b"key=***;"


@pytest.mark.parametrize(
    "form",
    [
        PASSWORD,
        base64.b64encode(PASSWORD.encode()).decode(),
        base64.b64encode(PASSWORD.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(PASSWORD.encode()).decode(),
        base64.urlsafe_b64encode(PASSWORD.encode()).decode().rstrip("="),
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        quote_plus(PASSWORD),
        quote(PASSWORD, safe="").replace("%2F", "%2f").replace("%3F", "%3f").replace("%2B", "%2b")
        .replace("%3D", "%3d"),
        json.dumps(PASSWORD)[1:-1],
    ],
)  # fmt: skip
def test_value_is_masked_in_all_its_forms(form: str) -> None:
    """As it is, in base64 of either alphabet, in a URL, in JSON."""
    text = f"it is [{form}]"
    assert shown(PASSWORD, text) == "it is [***]"


@pytest.mark.parametrize("value", ['quo"te\\and\\slash', "pässwörd with ümläuts", "<a>&</a> in some"])
def test_value_is_masked_as_json_escapes_it(value: str) -> None:
    """With non-ASCII letters as they are or escaped, and with the characters that HTML minds escaped."""
    for form in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert shown(value, form) == '"***"'
    escaped = json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    assert shown(value, escaped) == '"***"'


@deterministic
@given(st.binary(max_size=9), st.text(min_size=8, max_size=60), st.binary(max_size=9), st.booleans())
def test_value_within_base64_of_a_longer_text_is_masked(
    before: bytes, value: str, after: bytes, url_safe: bool
) -> None:
    """Wherever it begins: all characters that are made of it alone. The two at its ends have others' bits."""
    value = value.strip() if len(value.strip().encode()) >= 8 else "correct horse"
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    data = value.encode()
    text = encode(before + data + after).decode()
    first, last = -(-len(before) * 8 // 6), (len(before) + len(data)) * 8 // 6
    result = shown(value, text)
    assert text[first:last] not in result
    assert "***" in result
    assert len(result) <= first + 3 + (len(text) - last)


@pytest.mark.parametrize("width", [0, 64, 76])
def test_multi_line_value_is_masked_in_base64_as_it_is_wrapped(width: int) -> None:
    """By `base64`, `base64 -w 0` and `openssl base64`."""
    text = base64.b64encode(KEY.encode()).decode()
    lines = [text[at : at + width] for at in range(0, len(text), width)] if width else [text]
    assert set(shown(KEY, "\n".join(lines)).splitlines()) == {"***"}


def test_lines_of_a_value_are_masked_each_for_itself() -> None:
    """But for those of fewer than 8 bytes. Their newlines stay, however they are written."""
    assert shown(KEY, KEY) == "***\n***\n***\nshort\n***\n"
    assert shown(KEY, "  9w0BAQAB\r\n") == "  ***\r\n"
    assert shown(KEY.replace("\n", "\r\n"), KEY) == "***\n***\n***\nshort\n***\n"


def test_short_values_are_not_masked() -> None:
    """They would be found everywhere. Bytes count, not characters."""
    assert shown("seven77", "seven77") == "seven77"
    assert shown("eight888", "eight888") == "***"
    assert shown("ääää", "ääää") == "***"


def test_nothing_is_searched_where_there_are_no_secrets() -> None:
    """The very bytes come back."""
    data = bytes(1000)
    assert Mask(["short"]).masker().feed(data) is data


@pytest.mark.parametrize(
    ("value", "password"),
    [
        ("postgres://shop:correct-horse@db:5432/shop?sslmode=require", "correct-horse"),
        ("redis://:correct-horse@cache", "correct-horse"),
        ("amqp://u:correct-horse@a:1,amqp://u:battery-staple@b:1", "battery-staple"),
        ("jdbc:postgresql://u:correct@horse@db/shop?x=a@b", "correct@horse"),
        ("postgres://u:correct%2Fhorse@db", "correct/horse"),
    ],
)
def test_password_in_a_url_is_secret_whatever_the_variable_is_called(value: str, password: str) -> None:
    """As it is written there, and decoded."""
    assert ("ADDRESS", password) in secret_values(Secrets(environment={"ADDRESS": value}), [])


def test_secret_are_what_is_marked_and_credentials() -> None:
    """Other variables' values are not."""
    secrets = Secrets({"A": "secret", "B": "http://host:80/@x"}, RegistryAuth("me", "pass", "token"))
    assert [value for _, value in secret_values(secrets, ["A"]) if value] == ["secret", "pass", "token"]


def test_names_match_in_any_case() -> None:
    """As a shell's patterns do, from end to end."""
    assert is_secret_name("django_secret_key", ["*SECRET*"])
    assert is_secret_name("API_TOKEN", ["*token"])
    assert not is_secret_name("TOKENS", ["*TOKEN"])


@deterministic
@given(st.text(min_size=1, max_size=600))
def test_patterns_are_of_limited_length_and_in_one_line(value: str) -> None:
    """What is held back is never more than one of them."""
    for pattern in patterns_of(value):
        assert 8 <= len(pattern) <= LONGEST_PATTERN
        assert b"\n" not in pattern
