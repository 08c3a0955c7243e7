"""Output that may show secrets which nobody knows any more is not stored."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from released.engine.engine import FoundContainer
from released.model.events import Body, OutputLost
from released.model.release import ReleaseSpec
from released.model.states import ReleaseState, Stream
from released.release.context import ReleaseContext
from released.release.masking.masking import Masking
from released.release.sessions import WITHHELD, opened_session
from released.release.standing import Standing
from support.scripted_container import ScriptedEngine, out

SPEC = ReleaseSpec(
    application="shop",
    environment="live",
    image="shop:1",
    environment_names=("PASSWORD", "NAME"),
    secret_names=("PASSWORD",),
)
ENDED = FoundContainer("container", "name", 0, "", True, False, frozenset())


class EngineWithEnvironment(ScriptedEngine):
    """An engine that knows a container's environment, or not all of it."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(out(b"the password is correct horse\n"))
        self.environment = environment

    async def environment_of(self, container_id: str) -> dict[str, str]:
        return self.environment


class Kept:
    """The release's context, which keeps what is recorded and noted."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.recorded = b""
        self.noted: list[Body] = []
        self.context = cast(
            ReleaseContext,
            SimpleNamespace(
                release_id="release",
                engine=EngineWithEnvironment(environment),
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
