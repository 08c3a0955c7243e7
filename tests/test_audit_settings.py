"""Settings in the audit log: verifying compares them with the events, and retention does not lose them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from released.audit.pruning import Pruner
from released.audit.verification.findings import Problem
from released.config import Keep
from released.errors import Aborted, ResourceExhausted, Unavailable
from released.model.caller import Caller
from released.model.events import OWN, AccessDenied, AnyBody, CommandsChanged, EventsPruned
from released.model.settings import ApplicationSettings, Commands, SettingsCommand
from released.settings import edits
from released.settings.settings import Asked, Settings
from support import audit_log
from support.audit_log import problems_of
from support.past import Past, assert_sound, by_hand, known, past
from support.samples import CALLER, RELEASE, a_setting, accepted
from support.tampering import tamper

A, B, C = map(a_setting, "abc")
MUCH = 10**9


def adding(command: SettingsCommand, application: str = "shop") -> Asked:
    return Asked(application, lambda commands: edits.add(commands, command), CALLER)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with two applications' settings: shop's say events 2 and 4, blog's event 3."""
    path = tmp_path / "audit.db"
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, accepted("true"))
        settings = Settings(audit)
        for asked in (adding(A), adding(A, "blog"), adding(B)):
            await settings.change(asked)
    return path


def test_sound_settings_have_no_problems(path: Path) -> None:
    """Changed again or not."""
    assert problems_of(path) == []


A_JSON = f'[{{"command_id":"{A.command_id}","label":"a","line":"true"}}]'


@pytest.mark.parametrize(
    ("statement", "problems"),
    [
        pytest.param(
            "UPDATE command_settings SET commands = '[]' WHERE application = 'blog'",
            [Problem(f"command_settings: blog: commands is [], by the events {A_JSON:.100}", 3)],
            id="edited",
        ),
        pytest.param(
            "UPDATE command_settings SET sequence = 2 WHERE application = 'shop'",
            [Problem("command_settings: shop: sequence is 2, by the events 4", 4)],
            id="an older event",
        ),
        pytest.param(
            "DELETE FROM command_settings WHERE application = 'shop'",
            [Problem("command_settings: shop is missing", 4)],
            id="missing",
        ),
        pytest.param(
            "INSERT INTO command_settings VALUES ('wiki', '[]', 4)",
            [Problem("command_settings: wiki is there, and no event says so")],
            id="superfluous",
        ),
        pytest.param(
            "UPDATE command_settings SET application = 'wiki' WHERE application = 'blog'",
            [
                Problem("command_settings: wiki is there, and no event says so"),
                Problem("command_settings: blog is missing", 3),
            ],
            id="of another application",
        ),
    ],
)
def test_row_that_no_event_says_is_told(path: Path, statement: str, problems: list[Problem]) -> None:
    """What is wrong, and the event by which it is."""
    tamper(path, statement)
    assert sorted(problems_of(path), key=str) == sorted(problems, key=str)


ALTERED = "the event does not follow from the one before it by its digest: one of them was changed"


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE events SET body = replace(body, 'true', 'evil') WHERE sequence = 4", Problem(ALTERED, 4)),
        ("UPDATE events SET body = '{' WHERE sequence = 3", Problem(ALTERED, 3)),
        ("UPDATE events SET kind = 'drain_begun' WHERE sequence = 3", Problem(ALTERED, 3)),
        ("DELETE FROM events WHERE sequence = 3", Problem("the event is missing", 3)),
    ],
)
def test_row_that_contradicts_a_wrong_event_is_not_told(path: Path, statement: str, problem: Problem) -> None:
    """The event is; the row may be right."""
    tamper(path, statement)
    assert [found for found in problems_of(path) if "makes no sense" not in found.description] == [problem]


def test_end_that_was_cut_off_is_told(path: Path) -> None:
    """The row says more than the log, also without a receipt."""
    tamper(path, "DELETE FROM events WHERE sequence = 4")
    assert problems_of(path) == [
        Problem(f"command_settings: shop: commands is {_json(path):.100}, by the events {A_JSON:.100}", 2),
        Problem("command_settings: shop: sequence is 4, by the events 2", 2),
    ]


def _json(path: Path) -> str:
    with by_hand(path) as connection:
        sql = "SELECT commands FROM command_settings WHERE application = 'shop'"
        return str(connection.execute(sql).fetchone()[0])


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Past]:
    """A log in which nothing has happened yet."""
    async with past(tmp_path / "audit.db") as log:
        yield log


def said(*commands: SettingsCommand, application: str = "shop") -> CommandsChanged:
    return CommandsChanged(application=application, commands=commands, caller=CALLER)


async def own(log: Past) -> list[AnyBody]:
    return [event.body for event in await audit_log.events_of(log.audit, OWN)]


async def commands_of(log: Past, application: str = "shop") -> Commands:
    return (await log.audit.query.settings(application)).commands


async def test_pruning_says_once_more_what_still_counts(log: Past) -> None:
    """By nobody, and only what would go: of each application the newest, none that has changed since."""
    log.days_ago(100)
    await log.append_own(said(A))
    await log.append_own(said(A, B))
    await log.append_own(said(A, application="blog"))
    await log.append_own(said(A, application="wiki"))
    await log.run(1)
    log.days_ago(10)
    await log.append_own(said(C, application="blog"))
    await log.prune(events=Keep(days=90))
    *before, shop, wiki, pruned = await own(log)
    assert before == [said(C, application="blog")]
    assert (shop, wiki) == (
        CommandsChanged(application="shop", commands=(A, B), restated_sequence=2),
        CommandsChanged(application="wiki", commands=(A,), restated_sequence=4),
    )
    assert isinstance(pruned, EventsPruned)
    assert [await commands_of(log, name) for name in ("shop", "blog", "wiki")] == [(A, B), (C,), (A,)]
    assert_sound(log.audit.path)


async def test_settings_without_commands_are_said_once_more_too(log: Past) -> None:
    """Somebody has removed them: that is what the etag stands for."""
    log.days_ago(100)
    await log.append_own(said())
    await log.run(1)
    await log.prune(events=Keep(days=90))
    assert await log.audit.query.settings("shop") == ApplicationSettings((), 1)
    assert_sound(log.audit.path)


async def test_edit_goes_on_after_pruning(log: Past) -> None:
    """Nobody has changed what it is based on: the etag stays, however often that is said once more."""
    settings = Settings(log.audit)
    listed = await settings.change(adding(A))
    await log.run(1)
    for _ in range(2):
        await log.prune(events=Keep(bytes=1))
        await log.append_own(AccessDenied(caller=Caller(uid=1, gid=1, pid=1), method="Drain", reason="no"))
        await log.run(2)
    assert await log.audit.query.settings("shop") == listed
    changed = await settings.change(adding(B)._replace(etags=(listed.etag,)))
    assert changed == await log.audit.query.settings("shop") == ApplicationSettings((A, B), changed.sequence)
    assert changed.etag != listed.etag
    with pytest.raises(Aborted):
        await settings.change(adding(C)._replace(etags=(listed.etag,)))
    assert_sound(log.audit.path)


async def test_what_is_said_once_more_is_no_reason_to_prune_again(log: Past) -> None:
    """However little is to be kept; else there would be no end of it."""
    await log.append_own(said(A))
    await log.append_own(said(A, application="blog"))
    await log.run(1)
    for _ in range(3):
        await log.prune(events=Keep(bytes=1))
        assert [type(body) for body in await own(log)] == [CommandsChanged, CommandsChanged, EventsPruned]
    await log.append_own(AccessDenied(caller=Caller(uid=1, gid=1, pid=1), method="Drain", reason="no"))
    await log.prune(events=Keep(bytes=1))
    assert [type(body) for body in await own(log)] == [CommandsChanged, CommandsChanged, EventsPruned]
    assert (await commands_of(log), await commands_of(log, "blog")) == ((A,), (A,))
    assert_sound(log.audit.path)


async def test_row_that_somebody_has_deleted_loses_nothing(log: Past) -> None:
    """What counts is what the events say, which is said once more."""
    log.days_ago(100)
    await log.append_own(said(A))
    await log.run(1)
    tamper(log.audit.path, "DELETE FROM command_settings")
    await log.prune(events=Keep(days=90))
    assert await commands_of(log) == (A,)
    assert_sound(log.audit.path)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("""UPDATE events SET body = '{"application":"shop"}' WHERE sequence = 3""", "shop (event 3: "),
        ("""UPDATE events SET body = '{}' WHERE sequence = 3""", "some application (event 3: "),
        ("""UPDATE events SET body = '{' WHERE sequence = 3""", "some application (event 3: "),
        ("""UPDATE events SET kind = 'drain_begun' WHERE sequence = 3""", "shop (event 1: event 3, by which"),
    ],
)
async def test_event_that_makes_no_sense_holds_nothing_up(
    log: Past, caplog: pytest.LogCaptureFixture, statement: str, told: str
) -> None:
    """It is told, and what was before it does not come back: the settings are unknown, until a backup is."""
    log.days_ago(100)
    await log.append_own(said(A))
    await log.append_own(said(A, application="blog"))
    await log.append_own(said(A, B))
    await log.run(1)
    tamper(log.audit.path, statement)
    await log.prune(events=Keep(days=90))
    assert told in caplog.text
    assert await known(log, range(1, 2)) == []
    assert await commands_of(log, "blog") == (A,)
    with pytest.raises(Unavailable, match="audit verify"):
        await commands_of(log)
    assert problems_of(log.audit.path) == [Problem("command_settings: shop is there, and no event says so")]


async def test_settings_before_a_later_event_that_makes_no_sense_do_not_come_back(
    log: Past, caplog: pytest.LogCaptureFixture
) -> None:
    """That one stays, and nobody can say whose settings it is about."""
    log.days_ago(100)
    await log.append_own(said(A))
    await log.run(1)
    log.days_ago(1)
    await log.append_own(said(A, B))
    tamper(log.audit.path, "UPDATE events SET body = '{' WHERE sequence = 7")
    await log.prune(events=Keep(days=90))
    assert "shop (event 1: event 7, by which they are something else, does not say so)" in caplog.text
    with pytest.raises(Unavailable, match="audit verify"):
        await commands_of(log)
    assert [problem.sequence for problem in problems_of(log.audit.path)] == [7, 7]


async def test_change_during_pruning_is_not_lost(log: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes while what still counts is being looked at is made behind it, on top of it."""
    log.days_ago(100)
    await log.append_own(said(A))
    await log.run(1)
    settings = Settings(log.audit)
    changes = []
    append = Pruner._append

    async def change_and_append(pruner: Pruner, *bodies: CommandsChanged | EventsPruned) -> None:
        changes.append(asyncio.create_task(settings.change(adding(B))))
        await asyncio.sleep(0)
        await log.audit.probe()  # it had its time
        await append(pruner, *bodies)

    monkeypatch.setattr(Pruner, "_append", change_and_append)
    await log.prune(events=Keep(days=90))
    (change,) = changes
    assert (await change).commands == await commands_of(log) == (A, B)
    assert [type(body) for body in await own(log)] == [CommandsChanged, EventsPruned, CommandsChanged]
    assert_sound(log.audit.path)


async def test_pruning_that_fails_lets_others_change_settings(
    log: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, say."""
    log.days_ago(100)
    await log.append_own(said(A))
    await log.run(1)

    async def refuse(pruner: Pruner, *bodies: AnyBody) -> None:
        raise ResourceExhausted("AUDIT_DISK_FULL", "full")

    monkeypatch.setattr(Pruner, "_append", refuse)
    with pytest.raises(ResourceExhausted):
        await log.prune(events=Keep(days=90))
    assert (await Settings(log.audit).change(adding(B))).commands == (A, B)


async def test_log_that_only_has_settings_is_not_pruned(log: Past) -> None:
    """All that is there would have to be said once more."""
    log.days_ago(100)
    await log.append_own(said(A))
    log.days_ago(0)
    await log.prune(events=Keep(days=90, bytes=MUCH))
    assert await own(log) == [said(A)]
