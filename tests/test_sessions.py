"""Opening a session with a container: what of its output is masked, and what is withheld."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from released.engine.engine import FoundContainer
from released.engine.errors import EngineRefused
from released.model.events import Body, OutputLost
from released.model.release import ReleaseSpec
from released.model.states import ReleaseState, Stream
from released.release.context import ReleaseContext
from released.release.masking.masking import Masking
from released.release.sessions import WITHHELD, opened_session
from released.release.standing import Standing
from support.scripted_container import NONCE, ScriptedAttachment, ScriptedEngine, out

SPEC = ReleaseSpec(
    application="shop",
    environment="live",
    image="shop:1",
    environment_names=("PASSWORD", "NAME"),
    secret_names=("PASSWORD",),
)
RUNNING = FoundContainer("container", "name", None, NONCE, True, True, frozenset())
ENDED = FoundContainer("container", "name", 0, "", True, False, frozenset())


class EngineWithEnvironment(ScriptedEngine):
    """An engine that knows a container's environment, or not all of it."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(out(b"the password is correct horse\n"))
        self.environment = environment
        self.attachment = ScriptedAttachment()
        self.attachment.coming = asyncio.Queue()

    async def signal_container(self, container_id: str, signal: str) -> None:
        """The supervisor is asked, and does not answer."""

    @asynccontextmanager
    async def attach(self, container_id: str) -> AsyncIterator[ScriptedAttachment]:
        yield self.attachment

    async def environment_of(self, container_id: str) -> dict[str, str]:
        return self.environment


class Kept:
    """The release's context, which keeps what is recorded and noted."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.recorded = b""
        self.noted: list[Body] = []
        self.engine = EngineWithEnvironment(environment)
        self.context = cast(
            ReleaseContext,
            SimpleNamespace(
                release_id="release",
                engine=self.engine,
                spec=SPEC,
                masking=Masking(SPEC, None),
                journal=SimpleNamespace(note=self.note, state=ReleaseState.RUNNING),
                recorder=SimpleNamespace(write=self.write, resume=lambda stored: None),
                query=SimpleNamespace(stored_bytes=self.nothing, output_after=self.nothing),
            ),
        )

    def note(self, *bodies: Body) -> None:
        self.noted += bodies

    async def write(self, command_index: int | None, stream: Stream, data: bytes) -> None:
        self.recorded += data

    async def nothing(self, *_: Any) -> dict[int | None, int]:
        return {}

    async def read(self) -> None:
        async with opened_session(self.context, ENDED, Standing(resumed=True)) as session:
            await session.finished()
            await session.ended()


async def test_output_is_withheld_when_its_secrets_are_lost() -> None:
    """The engine does not have all variables of the request: an event says so, for each stream."""
    kept = Kept({"PASSWORD": "correct horse"})
    await kept.read()
    assert kept.recorded == b""
    assert kept.noted == [OutputLost(stream=stream, reason=WITHHELD) for stream in Stream]


@pytest.mark.parametrize("name", ["NAME", "OTHER"])
async def test_secrets_are_learned_from_the_engine(name: str) -> None:
    """It has them as long as it has the container; what else is in there is the image's."""
    kept = Kept({"PASSWORD": "correct horse", "NAME": "password", name: "password"})
    await kept.read()
    assert (kept.recorded, kept.noted) == (b"the password is ***\n", [])


async def test_nothing_is_withheld_of_a_release_without_variables() -> None:
    """It never had a secret that its container could show."""
    assert Masking(ReleaseSpec(application="a", environment="b", image="c"), None).is_known


async def test_rest_of_a_secret_whose_head_is_lost_is_not_shown() -> None:
    """The engine's log can't be read, so the live streams begin anywhere: also in the middle of one."""
    kept = Kept({"PASSWORD": "correct horse", "NAME": "x"})
    kept.engine.error = EngineRefused(501, "reading the log", "this driver's log can't be read")
    async with opened_session(kept.context, RUNNING, Standing(resumed=True)) as session:
        await session.caught_up()
        for chunk in (*out(b"rect horse\nand correct horse again\n"), None):
            kept.engine.attachment.coming.put_nowait(chunk)
        await session.finished()
    assert kept.recorded.endswith(b"\nand *** again\n")
    assert b"rect" not in kept.recorded
