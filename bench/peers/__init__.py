"""What people would use instead: each does the same work, as its own documentation says."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import NamedTuple, Protocol

from bench.rounds import NotInstalled, NotMeasured
from support.debian import SetupError


class Peer(Protocol):
    """A program that is installed and ready."""

    @property
    def version(self) -> str:
        """As it tells it itself."""

    async def run(self, count: int) -> None:
        """Run so many commands of `true`, one after the other. Raises NotMeasured when one of them failed."""


class Absent:
    """A peer that can't be had here, for whatever reason."""

    version = ""

    def __init__(self, why: str) -> None:
        self._why = why

    async def run(self, count: int) -> None:
        """Tell why."""
        raise NotInstalled(self._why)


class Place(NamedTuple):
    """What a peer runs its commands with."""

    engine_url: str
    image: str
    counts: tuple[int, ...]
    """Of commands, that it may be asked to run."""


Opening = Callable[[Place], AbstractAsyncContextManager[Peer]]
"""Installs a peer and makes it ready, until the end of the block. Raises SetupError when it can't be had."""


@asynccontextmanager
async def opened(openings: Mapping[str, Opening], place: Place) -> AsyncIterator[dict[str, Peer]]:
    """Make all of them ready; who can't be had is Absent."""
    async with AsyncExitStack() as stack:
        peers: dict[str, Peer] = {}
        for name, opening in openings.items():
            try:
                peers[name] = await stack.enter_async_context(opening(place))
            except (SetupError, NotMeasured, OSError) as error:
                peers[name] = Absent(str(error))
        yield peers


def versions_of(peers: Mapping[str, Peer]) -> dict[str, str]:
    """The versions of those that are there."""
    return {name: peer.version for name, peer in peers.items() if peer.version}
