"""The daemon's own log: one line each, with the release it is about."""

import asyncio
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from released import logs
from released.logs import OneLine, current_mask, current_release
from released.release.masking.masking import Mask


def record(
    message: str, *values: object, level: int = logging.INFO, error: bool = False
) -> logging.LogRecord:
    info = sys.exc_info() if error else None
    return logging.LogRecord("released.release.run", level, __file__, 1, message, values, info)


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, 7),
        (logging.INFO, 6),
        (logging.WARNING, 4),
        (logging.ERROR, 3),
        (logging.CRITICAL, 2),
        (25, 6),
    ],
)
def test_line_for_the_journal_begins_with_its_priority(level: int, priority: int) -> None:
    """As sd-daemon(3) has it; the journal knows the time itself."""
    line = OneLine(for_journal=True).format(record("%d commands", 3, level=level))
    assert line == f"<{priority}>released.release.run: 3 commands"


def test_line_for_people_begins_with_time_and_level() -> None:
    """Where no journal adds them."""
    line = OneLine(for_journal=False).format(record("started", level=logging.WARNING))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING released\.release\.run: started", line)


def test_several_lines_are_one() -> None:
    """A message can't pretend to be two."""
    line = OneLine(for_journal=True).format(record("engine said: %s", "no\n<2>forged: line\n"))
    assert line == "<6>released.release.run: engine said: no\\n<2>forged: line"


def test_control_characters_are_shown_and_not_sent() -> None:
    """They would make a terminal do something, or show another line in place of this one."""
    line = OneLine(for_journal=True).format(record("%s", "a\r\x1b[31mb\tc\x9b\u2028\0é"))
    assert line == "<6>released.release.run: a\\r\\x1b[31mb\tc\\x9b\\u2028\\x00é"


async def test_secrets_of_a_task_s_release_are_masked_in_its_lines() -> None:
    """Whatever somebody else's error says, traceback included. Other tasks' lines stay as they are."""

    async def line() -> str:
        try:
            raise LookupError("correct horse battery")
        except LookupError as error:
            return OneLine(for_journal=True).format(record("it said: %s", error, error=True))

    async def masked_line() -> str:
        current_mask.set(Mask(["correct horse"]).text)
        return await asyncio.create_task(line())

    assert "horse" not in await asyncio.create_task(masked_line())
    assert "it said: correct horse battery" in await line()


def test_traceback_is_on_the_line_of_its_message() -> None:
    """One line has all that belongs together."""
    try:
        raise LookupError("lost")
    except LookupError:
        line = OneLine(for_journal=True).format(record("unexpected", error=True))
    assert "\n" not in line
    assert line.startswith("<6>released.release.run: unexpected\\nTraceback (most recent call last):\\n")
    assert line.endswith("LookupError: lost")


async def test_line_has_the_release_that_its_task_is_about() -> None:
    """Tasks inherit it, and do not mix it up."""
    formatter = OneLine(for_journal=True)

    async def about(release: str) -> str:
        current_release.set(release)
        await asyncio.sleep(0)
        return await asyncio.create_task(log())

    async def log() -> str:
        return formatter.format(record("started"))

    lines = await asyncio.gather(about("shop/live a"), about("shop/test b"), log())
    assert list(lines) == [
        "<6>released.release.run: [shop/live a] started",
        "<6>released.release.run: [shop/test b] started",
        "<6>released.release.run: started",
    ]


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    """Give the root logger back its handlers: pytest needs them."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("untouched_logging")
@pytest.mark.parametrize(
    ("journal", "form"),
    [("8:12345", r"<6>released\.x: serves\n"), (None, r"\d{4}-.* INFO released\.x: serves\n")],
)
def test_log_goes_to_standard_error(
    journal: str | None,
    form: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the journal's form if systemd says that the journal reads it."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if journal:
        monkeypatch.setenv("JOURNAL_STREAM", journal)
    logs.set_up()
    logging.getLogger("released.x").debug("not at this level")
    logging.getLogger("released.x").info("serves")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(form, err)
