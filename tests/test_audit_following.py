"""Following a release through the audit log: replay, then what comes, then the end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from released.audit.log import AuditLog
from released.model.events import AnyBody, CancelRequested, Event, OutcomeReported, StateChanged
from released.model.states import Outcome, ReleaseState
from support import audit_log
from support.audit_log import NEVER
from support.samples import CALLER, OTHER_RELEASE, RELEASE, accepted

AT_ONCE = timedelta(milliseconds=1)
PREPARING, RUNNING = StateChanged(state=ReleaseState.PREPARING), StateChanged(state=ReleaseState.RUNNING)
SUCCEEDED = StateChanged(state=ReleaseState.SUCCEEDED)
DEPLOYED = OutcomeReported(outcome=Outcome.DEPLOYED, caller=CALLER)
ACCEPTED = accepted("true")

Following = AsyncGenerator[list[Event], None]


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        yield audit


async def next_of(following: Following) -> list[AnyBody]:
    return [event.body for event in await anext(following)]


async def all_of(following: Following) -> list[int]:
    """The sequences of everything up to the end."""
    return [event.sequence async for batch in following for event in batch]


async def test_follower_sees_what_was_and_then_what_comes_up_to_the_end(audit: AuditLog) -> None:
    """The stream ends by itself with the terminal state."""
    await audit.append(RELEASE, ACCEPTED, PREPARING)
    async with aclosing(audit.follow(RELEASE, 0, NEVER)) as following:
        assert await next_of(following) == [ACCEPTED, PREPARING]
        coming = asyncio.create_task(next_of(following))
        await audit.append(RELEASE, RUNNING)
        assert await coming == [RUNNING]
        await audit.append(RELEASE, SUCCEEDED)
        assert await next_of(following) == [SUCCEEDED]
        with pytest.raises(StopAsyncIteration):
            await anext(following)


@pytest.mark.parametrize("state", [ReleaseState.SUCCEEDED, ReleaseState.FAILED, ReleaseState.CANCELLED])
async def test_every_terminal_state_is_an_end(audit: AuditLog, state: ReleaseState) -> None:
    """And it is shown."""
    await audit.append(RELEASE, ACCEPTED, StateChanged(state=state))
    assert await all_of(audit.follow(RELEASE, 0, NEVER)) == [1, 2]


async def test_what_is_recorded_behind_the_end_is_not_waited_for(audit: AuditLog) -> None:
    """An outcome, say: also where it comes in one batch with the end, or in one behind it."""
    await audit.append(RELEASE, ACCEPTED, *[CancelRequested()] * 62, SUCCEEDED)
    await audit.append(RELEASE, DEPLOYED)
    await audit.append(OTHER_RELEASE, ACCEPTED, SUCCEEDED, DEPLOYED)
    assert await all_of(audit.follow(RELEASE, 0, NEVER)) == list(range(1, 65))
    assert await all_of(audit.follow(OTHER_RELEASE, 0, NEVER)) == [66, 67]


async def test_follower_goes_on_after_the_last_sequence_it_saw(audit: AuditLog) -> None:
    """A dropped watch costs nothing."""
    await audit.append(RELEASE, ACCEPTED, PREPARING)
    await audit.append(OTHER_RELEASE, ACCEPTED)
    await audit.append(RELEASE, RUNNING, SUCCEEDED)
    assert await all_of(audit.follow(RELEASE, 2, NEVER)) == [4, 5]


async def test_long_replay_misses_and_repeats_nothing(audit: AuditLog) -> None:
    """Also if more is appended while it goes on."""
    await audit.append(RELEASE, ACCEPTED, *[CancelRequested()] * 200)
    following = audit.follow(RELEASE, 0, NEVER)
    seen = [event.sequence for event in await anext(following)]
    await audit.append(RELEASE, *[CancelRequested()] * 200, SUCCEEDED)
    assert [*seen, *await all_of(following)] == list(range(1, 403))


async def test_several_followers_see_the_same(audit: AuditLog) -> None:
    """Whenever they come."""
    await audit.append(RELEASE, ACCEPTED)
    early = [asyncio.create_task(all_of(audit.follow(RELEASE, 0, NEVER))) for _ in range(10)]
    await audit.append(RELEASE, PREPARING)
    late = [asyncio.create_task(all_of(audit.follow(RELEASE, 0, NEVER))) for _ in range(10)]
    await audit.append(RELEASE, RUNNING, SUCCEEDED)
    assert await asyncio.gather(*early, *late) == [[1, 2, 3, 4]] * 20


async def test_follower_that_has_stopped_reading_holds_up_nobody(audit: AuditLog) -> None:
    """Neither another follower nor the writer; it finds everything when it comes back."""
    await audit.append(RELEASE, ACCEPTED)
    stopped = audit.follow(RELEASE, 0, NEVER)
    await anext(stopped)
    other = asyncio.create_task(all_of(audit.follow(RELEASE, 0, NEVER)))
    for _ in range(100):
        await audit.append(RELEASE, CancelRequested())
    await audit.append(RELEASE, SUCCEEDED)
    assert await other == list(range(1, 103))
    assert await all_of(stopped) == list(range(2, 103))


async def test_idle_follower_is_told_so(audit: AuditLog) -> None:
    """With an empty list, again and again, and it misses nothing for it."""
    await audit.append(RELEASE, ACCEPTED)
    following = audit.follow(RELEASE, 0, AT_ONCE)
    assert await next_of(following) == [ACCEPTED]
    assert [await anext(following), await anext(following)] == [[], []]
    await audit.append(RELEASE, PREPARING)
    async with asyncio.timeout(10):
        assert await next_of(following) == [PREPARING]
        assert await anext(following) == []
    await audit.append(RELEASE, SUCCEEDED)
    assert await all_of(following) == [3]


async def test_events_of_others_do_not_wake_a_follower(audit: AuditLog) -> None:
    """It would read for nothing."""
    await audit.append(RELEASE, ACCEPTED)
    async with aclosing(audit.follow(RELEASE, 0, NEVER)) as following:
        await anext(following)
        coming = asyncio.create_task(next_of(following))
        await asyncio.sleep(0)
        (woken,) = audit._followers._waiting[RELEASE]
        await audit.append(OTHER_RELEASE, ACCEPTED)
        assert not woken.is_set()
        await audit.append(RELEASE, PREPARING)
        assert await coming == [PREPARING]


async def test_follower_that_goes_leaves_nothing_behind(audit: AuditLog) -> None:
    """However it goes: at the end, closed, or cancelled while it waits."""
    await audit.append(RELEASE, ACCEPTED)
    async with aclosing(audit.follow(RELEASE, 0, NEVER)) as closed:
        await anext(closed)
    cancelled = asyncio.create_task(all_of(audit.follow(RELEASE, 1, NEVER)))
    while not audit._followers._waiting:  # noqa: ASYNC110 - until it follows
        await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait({cancelled})
    await audit.append(RELEASE, SUCCEEDED)
    await all_of(audit.follow(RELEASE, 0, NEVER))
    assert not audit._followers._waiting


async def test_follower_never_sees_what_is_not_durable(audit: AuditLog, tmp_path: Path) -> None:
    """What it is shown is in the file for every other reader, too."""
    following = audit.follow(RELEASE, 0, NEVER)
    coming = asyncio.create_task(anext(following))
    await asyncio.sleep(0)
    appended = audit.append(RELEASE, ACCEPTED)
    (event,) = await coming
    async with audit_log.opened(tmp_path / "audit.db") as another:
        assert await another.query.events_after(RELEASE, 0) == [event]
    assert (await appended).sequence == 1
    await following.aclose()
