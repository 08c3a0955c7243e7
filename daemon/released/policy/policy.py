"""The policy in force, and what it makes of a release on this host and this engine."""

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from released.config import Config
from released.config.policy import PolicyTable
from released.engine.connection import UNIX
from released.engine.engine import Engine
from released.engine.errors import EngineError
from released.engine.host import EngineHost
from released.model.release import Mount, ReleaseSpec, Target
from released.policy.host_paths import HostPaths, Place, Refused, normal_path
from released.policy.rules import HOST_NETWORK, HOST_NETWORKS, Rules
from released.policy.volumes import bound_path

logger = logging.getLogger(__name__)

OURS = "the release daemon"


class Policy:
    """Asked for each request, and again before a container is made of it."""

    def __init__(self, tables: Mapping[str, PolicyTable], engine: Engine, own_files: Iterable[Path]) -> None:
        """`own_files`: what the daemon keeps, with what lies beside one and begins with its name."""
        self._tables = tables
        self._engine = engine
        self._own = tuple(Place(path, OURS, with_siblings=True) for path in own_files)
        self._is_local = engine.url.startswith(UNIX)
        if self._is_local:
            self._own += (Place(Path(engine.url.removeprefix(UNIX)), "the engine"),)
        # Until the engine says it: it may be on another host, but no release starts before it answers.
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self._host = EngineHost(memory_bytes, data_root="")

    def rule(self, config: Config) -> None:
        """Let what the operator says now count from the next request on."""
        self._tables = config.policy

    async def engine_changed(self, _: object) -> None:
        """Ask the engine what its host is like; it may be another one since it was away."""
        try:
            self._host = await self._engine.inspect_host()
        except EngineError as error:
            logger.info("the engine does not say what its host is like: %s", error)

    def rules(self, target: Target) -> Rules:
        """Return the policy for a target."""
        return Rules.of(target, self._tables, self._host.memory_bytes)

    async def resolve_mount(self, mount: Mount, rules: Rules) -> Mount:
        """Return a mount as the engine is to get it: with the path that its source leads to.

        Raises Refused, and EngineError if the engine has to be asked and does not answer.
        """
        mount = msgspec.structs.replace(mount, target=normal_path(mount.target))
        if not mount.source.startswith("/"):
            _raise(rules.refuse_mount(mount))
            await self._check_volume(mount.source)
            return mount
        mount = msgspec.structs.replace(mount, source=normal_path(mount.source))
        # First what the caller may know: whether a path exists is nobody's business who may not mount it.
        _raise(rules.refuse_mount(mount))
        resolved = msgspec.structs.replace(mount, source=await self._resolve(mount.source))
        if refusal := rules.refuse_mount(resolved):
            raise Refused(f"{mount.source} leads to {resolved.source}: {refusal}")
        return resolved

    async def prepare(self, spec: ReleaseSpec, image_id: str) -> ReleaseSpec:
        """Return what a container is to be made of, right before it is made: everything may have changed.

        Raises Refused, EngineError.
        """
        rules = self.rules(spec.target)
        if not spec.user and rules.refuse_root(""):
            image = await self._engine.find_image(image_id)
            _raise(rules.refuse_root(image.user if image else ""))
        for network in spec.networks:
            await self._check_network(network)
        mounts = [await self.resolve_mount(mount, rules) for mount in spec.mounts]
        return msgspec.structs.replace(spec, mounts=tuple(mounts))

    async def _resolve(self, path: str) -> str:
        if not self._is_local:
            raise Refused(
                f"{path} is on the engine's host, where the daemon can't look: it reaches the engine by TCP; "
                "use a volume of the engine's own"
            )
        places = self._own
        if self._host.data_root:
            places += (Place(Path(self._host.data_root), "the engine"),)
        # A thread: a network file system may not answer.
        return await asyncio.to_thread(HostPaths(places).resolve, path)

    async def _check_volume(self, name: str) -> None:
        volume = await self._engine.find_volume(name)
        if volume and (path := bound_path(volume)):
            try:
                await self._resolve(path)
            except Refused as refusal:
                raise Refused(f"the volume {name} is a bind mount: {refusal}") from refusal

    async def _check_network(self, name: str) -> None:
        found = await self._engine.find_network(name)
        if found and found.driver in HOST_NETWORKS:
            raise Refused(f"the network {name} {HOST_NETWORK}")
        if found and found.name != name:
            raise Refused(f"{name} is the id of the network {found.name}: networks are joined by their names")


def _raise(refusal: str) -> None:
    if refusal:
        raise Refused(refusal)
