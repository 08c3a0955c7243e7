"""Changing settings: one change after the other, in full, and each recorded with its caller."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace as but

from released.audit.log import AuditLog
from released.errors import Aborted, AlreadyExists, NotFound, ResourceExhausted, Unavailable
from released.model.events import OWN, AnyBody, CommandsChanged
from released.model.settings import Action, ApplicationSettings, CommandChange, SettingsCommand
from released.settings import edits
from released.settings.settings import Asked, Settings
from support import audit_log
from support.past import by_hand
from support.samples import CALLER, RELEASE, a_setting, accepted
from support.small_disk import KIB, fill, make_room, small_disk
from support.tampering import tamper

A, B, C = map(a_setting, "abc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def audit(path: Path) -> AsyncIterator[AuditLog]:
    """A log in which nothing has happened."""
    async with audit_log.opened(path) as audit:
        yield audit


@pytest.fixture
def settings(audit: AuditLog) -> Settings:
    return Settings(audit)


def adding(command: SettingsCommand, *etags: str, application: str = "shop") -> Asked:
    return Asked(application, lambda commands: edits.add(commands, command), CALLER, etags)


async def recorded(audit: AuditLog) -> list[AnyBody]:
    return [event.body for event in await audit_log.events_of(audit, OWN)]


async def test_change_is_recorded_with_its_caller(
    audit: AuditLog, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """As an event with all commands, in the daemon's log in words, and for whoever asks from then on."""
    caplog.set_level("INFO")
    await settings.change(adding(A))
    after = await settings.change(adding(B))
    change = CommandChange(action=Action.ADDED, after=B, after_position=2)
    assert (await recorded(audit))[1:] == [
        CommandsChanged(application="shop", commands=(A, B), caller=CALLER, changes=(change,))
    ]
    assert after == await audit.query.settings("shop") == ApplicationSettings((A, B), 2)
    assert caplog.messages[-1] == "ci (uid 1000) changed the release commands of shop: 'b' added"
    assert (await audit.verify()).problems == []


async def test_an_application_has_none_at_first(audit: AuditLog) -> None:
    """And an etag for that."""
    assert await audit.query.settings("shop") == ApplicationSettings()
    assert ApplicationSettings().etag == "0"


async def test_settings_are_of_one_application(audit: AuditLog, settings: Settings) -> None:
    """Others have theirs, and labels of their own."""
    await settings.change(adding(A))
    await settings.change(adding(but(A, line="false"), application="blog"))
    assert (await audit.query.settings("shop")).commands == (A,)
    assert (await audit.query.settings("blog")).commands == (but(A, line="false"),)
    assert (await audit.query.settings("sho")).commands == ()


async def test_settings_outlive_the_daemon(path: Path) -> None:
    """They are in the log."""
    async with audit_log.opened(path) as audit:
        before = await Settings(audit).change(
            adding(but(A, environments=("live",), argv=("a b",), line=None))
        )
    async with audit_log.opened(path) as audit:
        assert await audit.query.settings("shop") == before


async def test_change_that_changes_nothing_is_not_recorded(audit: AuditLog, settings: Settings) -> None:
    """The etag stays."""
    before = await settings.change(adding(A))
    assert await settings.change(Asked("shop", lambda commands: edits.edit(commands, A), CALLER)) == before
    assert len(await recorded(audit)) == 1


async def test_stale_etag(audit: AuditLog, settings: Settings) -> None:
    """It is refused with the current one; that one is taken, and so is none at all."""
    first = await settings.change(adding(A, "0"))
    await settings.change(adding(B, first.etag))
    for etags in ((first.etag,), ("", "0"), ("2", "1"), ("nonsense",)):
        with pytest.raises(Aborted) as refused:
            await settings.change(adding(C, *etags))
        assert (refused.value.reason, refused.value.metadata) == ("STALE_ETAG", {"etag": "2"})
    assert (await settings.change(adding(C, "2", ""))).commands == (A, B, C)


async def test_stale_etag_comes_before_all_else(settings: Settings) -> None:
    """Whoever looks again sees that the command is gone, or that it is there."""
    await settings.change(adding(A))
    with pytest.raises(Aborted):
        await settings.change(adding(A, "0"))
    with pytest.raises(Aborted):
        await settings.change(Asked("shop", lambda commands: edits.remove(commands, "x"), CALLER, ("0",)))


async def test_what_is_refused_is_not_recorded(audit: AuditLog, settings: Settings) -> None:
    """The next change finds what was there before."""
    await settings.change(adding(A))
    with pytest.raises(AlreadyExists):
        await settings.change(adding(A))
    with pytest.raises(NotFound):
        await settings.change(Asked("shop", lambda commands: edits.remove(commands, "x"), CALLER))
    assert (await settings.change(adding(B))).commands == (A, B)
    assert len(await recorded(audit)) == 2


async def test_of_changes_with_the_same_etag_exactly_one_counts(audit: AuditLog, settings: Settings) -> None:
    """The first one; all others are told that it has come before them."""
    asked = [adding(a_setting(f"label {number}"), "0") for number in range(20)]
    answers = await asyncio.gather(*map(settings.change, asked), return_exceptions=True)
    assert [isinstance(answer, Aborted) for answer in answers] == [False] + [True] * 19
    assert [command.label for command in (await audit.query.settings("shop")).commands] == ["label 0"]


async def test_changes_without_an_etag_are_all_made(audit: AuditLog, settings: Settings) -> None:
    """Each on top of those before it, of two applications at once; none is lost."""
    commands = [a_setting(f"label {number}") for number in range(20)]
    applications = ["shop", "blog"] * 10
    await asyncio.gather(
        *(
            settings.change(adding(command, application=application))
            for command, application in zip(commands, applications, strict=True)
        )
    )
    assert (await audit.query.settings("shop")).commands == tuple(commands[::2])
    assert (await audit.query.settings("blog")).commands == tuple(commands[1::2])
    assert (await audit.verify()).problems == []


async def test_close_lets_a_change_be_done(audit: AuditLog, settings: Settings) -> None:
    """Though whoever called has gone."""
    call = asyncio.create_task(settings.change(adding(A)))
    await asyncio.sleep(0)
    call.cancel()
    await settings.close()
    assert (await audit.query.settings("shop")).commands == (A,)


async def test_what_runs_is_what_the_event_says(audit: AuditLog, settings: Settings, path: Path) -> None:
    """Somebody has edited the row beside it: that is told by verifying, and has no effect."""
    await settings.change(adding(A))
    tamper(path, "UPDATE command_settings SET commands = '[]'")
    assert (await audit.query.settings("shop")).commands == (A,)
    assert [problem.sequence for problem in (await audit.verify()).problems] == [1]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE command_settings SET sequence = 1 WHERE application = 'shop'",
        "UPDATE command_settings SET sequence = 2 WHERE application = 'shop'",
        "UPDATE command_settings SET sequence = 99 WHERE application = 'shop'",
        "UPDATE events SET body = '{' WHERE sequence = 3",
    ],
)
async def test_settings_that_make_no_sense_are_not_taken_for_none(
    audit: AuditLog, settings: Settings, path: Path, statement: str
) -> None:
    """A row that goes by another event, or by none: nobody can say what the commands are."""
    await audit.append(RELEASE, accepted("true"))
    await settings.change(adding(A, application="blog"))
    await settings.change(adding(A))
    tamper(path, statement)
    with pytest.raises(Unavailable, match="audit verify"):
        await audit.query.settings("shop")
    with pytest.raises(Unavailable, match="audit verify"):
        await settings.change(adding(B))


async def test_newest_changes_come_first(audit: AuditLog, settings: Settings) -> None:
    """A few at a time, of one application, up to any of them."""
    for number in range(10):
        await settings.change(adding(a_setting(str(number))))
        await settings.change(adding(A, application=f"blog-{number}"))
    sequences = [event.sequence for event in await audit.query.settings_changes("shop", 2**63 - 1)]
    assert sequences == [19, 17, 15, 13, 11, 9, 7, 5]
    assert [event.sequence for event in await audit.query.settings_changes("shop", 4)] == [3, 1]


FORBIDDEN = [
    ("UPDATE command_settings SET commands = '[]'", "never changed but by an event"),
    ("REPLACE INTO command_settings VALUES ('shop', '[]', 1)", "what an event says"),
    ("REPLACE INTO command_settings VALUES ('blog', '[]', 2)", "what an event says"),
    ("INSERT INTO command_settings VALUES ('blog', '[]', 99)", "what an event says"),
]


@pytest.mark.parametrize(("statement", "refusal"), FORBIDDEN)
async def test_rows_are_what_events_say(
    audit: AuditLog, settings: Settings, path: Path, statement: str, refusal: str
) -> None:
    """Also for whoever edits them by hand, by mistake."""
    await audit.append(RELEASE, accepted("true"))
    await settings.change(adding(A))
    with by_hand(path) as connection, pytest.raises(Exception, match=refusal):
        connection.execute(statement)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")
async def test_full_disk_refuses_a_change_and_keeps_its_reserve(tmp_path: Path) -> None:
    """That is for the results of releases under way; the change can be made when there is room."""
    with small_disk(tmp_path / "disk", kib=8 * KIB) as disk:
        async with audit_log.opened(disk / "audit.db", 1024 * KIB) as audit:
            fill(disk)
            # SQLite may find room in its write-ahead log for a while.
            with pytest.raises(ResourceExhausted, match="is full"):
                await asyncio.gather(*(audit.append(f"r{n}", accepted("x" * 10_000)) for n in range(1000)))
            with pytest.raises(ResourceExhausted) as refused:
                await Settings(audit).change(adding(but(A, line="x" * 60_000)))
            assert refused.value.reason == "AUDIT_DISK_FULL"
            assert audit.reserve_bytes == 1024 * KIB
            make_room(disk)
            assert (await Settings(audit).change(adding(A))).commands == (A,)
