"""The policy in force, and what it makes of a release on this host and this engine."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from released.aside import FewAside
from released.config import Config
from released.config.policy import PolicyTable
from released.engine.connection import UNIX
from released.engine.engine import Engine
from released.engine.errors import EngineError, EngineRefused
from released.engine.host import EngineHost
from released.engine.image import Image
from released.model.release import Mount, ReleaseSpec, Target
from released.policy.holds import Held, Holds
from released.policy.host_paths import HostPaths, Place, Refused, normal_path
from released.policy.powers import powers_on_host
from released.policy.rules import HOST_NETWORK, HOST_NETWORKS, Rules
from released.policy.volumes import bound_path

logger = logging.getLogger(__name__)

MOST_LOOKS = 8
LOOK_SECONDS = 10.0
"""So many paths are looked at at once, each for so long: a network file system may not answer."""

OURS = "the release daemon"


class Policy:
    """Asked for each request, and again before a container is made of it."""

    _tables: Mapping[str, PolicyTable]
    _own: tuple[Place, ...]

    def __init__(self, config: Config, engine: Engine, config_path: Path | None) -> None:
        """`config_path` is the file that the configuration came from, if from any."""
        self._engine = engine
        self._config_path = config_path
        self._looks = FewAside(MOST_LOOKS, LOOK_SECONDS)
        self._holds = Holds()
        self._is_local = engine.url.startswith(UNIX)
        self.rule(config)
        # Until the engine says it: it may be on another host, but no release starts before it answers.
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self._host = EngineHost(memory_bytes, data_root="")

    def rule(self, config: Config) -> None:
        """Let what the operator says now count from the next request on."""
        self._tables = config.policy
        named = (config.server.socket, config.audit.path, config.registry.config, config.metrics.path)
        files = [path.absolute() for path in (*named, self._config_path) if path]
        self._own = tuple(Place(path, OURS, with_siblings=True) for path in files)

    async def engine_changed(self, _: object) -> None:
        """Ask the engine what its host is like: it may have another configuration since it was away."""
        try:
            self._host = await self._engine.inspect_host()
        except EngineError as error:
            logger.info("the engine does not say what its host is like: %s", error)

    def rules(self, target: Target) -> Rules:
        """Return the policy for a target."""
        powers = powers_on_host(self._engine.url)
        return Rules.of(target, self._tables, self._host.memory_bytes, powers)

    async def check_mount(self, mount: Mount, rules: Rules) -> None:
        """Raise Refused if this may not be mounted; EngineError if the engine is asked in vain."""
        await self._resolve_mount(mount, rules)

    async def prepare(self, release_id: str, spec: ReleaseSpec, image: Image | None) -> ReleaseSpec:
        """Return what a container is to be made of, right before it is made: everything may have changed.

        `image` is the one that is used, as the engine has it; None: it is gone, which the engine will
        say. The mounts have the paths that their sources lead to. They are the release's until `let_go`.
        Raises Refused, EngineError.
        """
        rules = self.rules(spec.target)
        _raise(rules.refuse_numbers(spec.user or (image.user if image else "")))
        _raise(rules.refuse_working_dir(spec.working_dir or (image.working_dir if image else "")))
        for network in spec.networks or ("",):
            _raise(rules.refuse_network(network))
        for network in spec.networks:
            await self._check_network(network)
        resolved = [await self._resolve_mount(mount, rules) for mount in spec.mounts]
        self._holds.hold(release_id, _held(resolved))
        # One that an earlier version of the daemon has accepted may have no limits.
        resources = rules.resources(spec.resources)
        return msgspec.structs.replace(
            spec, mounts=tuple(mount for mount, _ in resolved), resources=resources
        )

    async def keep(self, release_id: str, mounts: Iterable[Mount]) -> None:
        """Take into account what a release has mounted that was under way before the daemon was restarted.

        Raises EngineUnreachable: only the engine knows what a volume stands for.
        """
        mounted = [(mount, await self._mounted_path(mount.source)) for mount in mounts]
        self._holds.keep(release_id, _held(mounted))

    def let_go(self, release_id: str) -> None:
        """Take note that a release has no container any more."""
        self._holds.let_go(release_id)

    async def _resolve_mount(self, mount: Mount, rules: Rules) -> tuple[Mount, str]:
        """Return a mount as the engine is to get it, and which path of the host it stands for, if any."""
        mount = msgspec.structs.replace(mount, target=normal_path(mount.target))
        if not mount.source.startswith("/"):
            _raise(rules.refuse_mount(mount))
            return mount, await self._resolve_volume(mount.source)
        mount = msgspec.structs.replace(mount, source=normal_path(mount.source))
        # First what the caller may know: whether a path exists is nobody's business who may not mount it.
        _raise(rules.refuse_mount(mount))
        path = await self._resolve(mount.source)
        resolved = msgspec.structs.replace(mount, source=path)
        if refusal := rules.refuse_mount(resolved):
            raise Refused(f"{mount.source} leads to {path}: {refusal}")
        return resolved, path

    async def _resolve(self, path: str) -> str:
        if not self._is_local:
            raise Refused(
                f"{path} is on the engine's host, where the daemon can't look: it reaches the engine by TCP; "
                "use a volume of the engine's own"
            )
        if not self._host.data_root:
            self._host = await self._engine.inspect_host()
        places = (*self._own, Place(Path(self._engine.url.removeprefix(UNIX)), "the engine"))
        if self._host.data_root:
            places += (Place(Path(self._host.data_root), "the engine"),)
        return await self._look(path, HostPaths(places).resolve)

    async def _look(self, path: str, look: Callable[[str], str]) -> str:
        try:
            return await self._looks.do(partial(look, path))
        except TimeoutError:
            raise Refused(
                f"{path} can't be looked at: its file system does not answer within {LOOK_SECONDS:g}s"
            ) from None

    async def _resolve_volume(self, name: str) -> str:
        """Return the path that a volume is a bind mount of; empty for a folder of the engine's own."""
        volume = await self._engine.find_volume(name)
        if volume is None or not (path := bound_path(volume)):
            return ""
        try:
            return await self._resolve(path)
        except Refused as refusal:
            raise Refused(f"the volume {name} is a bind mount: {refusal}") from refusal

    async def _mounted_path(self, source: str) -> str:
        """Return the path of the host that a source stands for, be it allowed or not; empty for none."""
        path = source
        if not source.startswith("/"):
            try:
                volume = await self._engine.find_volume(source)
                path = bound_path(volume) if volume else ""
            except (EngineRefused, Refused) as error:
                logger.warning("where the volume %s is can't be told: %s", source, error)
                path = ""
        try:
            return await self._look(path, os.path.realpath) if path else ""
        except Refused as error:
            logger.warning("what is mounted can't be told: %s", error)
            return path

    async def _check_network(self, name: str) -> None:
        found = await self._engine.find_network(name)
        if found and found.driver in HOST_NETWORKS:
            raise Refused(f"the network {name} {HOST_NETWORK}")
        if found and found.name != name:
            raise Refused(f"{name} is the id of the network {found.name}: networks are joined by their names")


def _raise(refusal: str) -> None:
    if refusal:
        raise Refused(refusal)


def _held(mounts: Iterable[tuple[Mount, str]]) -> Iterator[Held]:
    for mount, path in mounts:
        if path:
            yield Held(path, writable=not mount.read_only)
