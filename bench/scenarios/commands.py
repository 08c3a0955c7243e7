"""Commands of `true`, one release: what is measured is all that surrounds them."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.engine_calls import BareEngine
from bench.part import Measured, Setting, judged
from bench.peers import (
    Opening,
    Peer,
    Place,
    buildbot,
    compose,
    docker_cli,
    docker_py,
    gitlab_ci_local,
    opened,
    versions_of,
)
from bench.release import ReleaseCaller
from bench.rounds import SHORT_ROUNDS, Contender, Figures, measure
from bench.rows import Better, Comparison, Row
from support.daemon import running_daemon

TARGETS = {1: 1.10, 5: 1.10, 20: 1.15}
"""Numbers of commands, and how many times the limit they may take."""

PEERS: dict[str, Opening] = {
    "docker run --rm": docker_cli.run_opened,
    "docker exec": docker_cli.exec_opened,
    "docker compose run --rm": compose.opened,
    "docker-py": docker_py.opened,
    "gitlab-ci-local": gitlab_ci_local.opened,
    "buildbot": buildbot.opened,
}

_FOUR_TIMES_AHEAD = ("docker run --rm", 5)

_LIMIT = "create, attach, start, wait, delete: one container"


def measure_part(setting: Setting) -> Measured:
    """Measure a release of each number of commands."""
    with running_daemon(setting.engine.url) as daemon:
        return asyncio.run(_measure_all(setting, daemon.socket))


async def _measure_all(setting: Setting, socket: Path) -> Measured:
    place = Place(setting.engine.url, setting.image(), tuple(TARGETS))
    figures = dict[str, Figures]()
    async with (
        ReleaseCaller.connected(socket, place.image) as caller,
        BareEngine(place.engine_url, place.image) as bare,
        opened(PEERS, place) as peers,
    ):
        for count in TARGETS:
            figures |= await _measure(count, caller, bare, peers, setting.rounds)
    return Measured(judged(_rows(), figures), versions=versions_of(peers))


async def _measure(
    count: int, caller: ReleaseCaller, bare: BareEngine, peers: Mapping[str, Peer], rounds: int
) -> dict[str, Figures]:
    """The limit is near and gets more rounds; the peers are far away, and slow."""

    async def release() -> None:
        await caller.run(*["true"] * count)

    contenders: dict[str, Contender] = {_release(count): release, _limit(count): bare.run_true}
    figures = await measure(contenders, SHORT_ROUNDS * rounds)
    beside: dict[str, Contender] = {_beside(count): release}
    beside |= {_each(name, count): partial(peer.run, count) for name, peer in peers.items()}
    return figures | await measure(beside, rounds)


def _rows() -> Iterator[Row]:
    for count, target in TARGETS.items():
        scenario = f"{count} {'command' if count == 1 else 'commands'} of `true`: time"
        yield Comparison(scenario, _release(count), _limit(count), Better.LESS, target)
        for name in PEERS:
            ahead = 0.25 if (name, count) == _FOUR_TIMES_AHEAD else 1.0
            yield Comparison(scenario, _beside(count), _each(name, count), Better.LESS, ahead)


def _release(count: int) -> str:
    return f"a release of {count}"


def _beside(count: int) -> str:
    return f"a release of {count}, beside the peers"


def _limit(count: int) -> str:
    return f"{_LIMIT} ({count})"


def _each(peer: str, count: int) -> str:
    return peer if count == 1 else f"{peer}, {count} commands"
