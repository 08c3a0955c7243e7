"""What the engine says of its host, its volumes and its networks."""

from typing import Any, NamedTuple

import aiodocker


class EngineHost(NamedTuple):
    """The host that containers run on."""

    memory_bytes: int
    data_root: str
    """Where the engine keeps images, containers and volumes; empty if it does not say."""


class Volume(NamedTuple):
    """A named volume."""

    driver: str
    options: dict[str, str]
    """What it was created with: for the driver `local`, those of mount(8)."""


class Network(NamedTuple):
    """A network."""

    name: str
    driver: str


async def inspect_host(client: aiodocker.Docker) -> EngineHost:
    """Return what the engine says of its host."""
    info = await client.system.info()
    return EngineHost(int(info.get("MemTotal") or 0), str(info.get("DockerRootDir") or ""))


async def find_volume(client: aiodocker.Docker, name: str) -> Volume | None:
    """Return a volume, or None if the engine does not have it."""
    found: dict[str, Any] | None = await _found(client, f"volumes/{name}")
    return Volume(found["Driver"], found.get("Options") or {}) if found else None


async def find_network(client: aiodocker.Docker, name: str) -> Network | None:
    """Return the network that a name stands for, or None: the engine takes an id, or its head, for one."""
    found: dict[str, Any] | None = await _found(client, f"networks/{name}")
    return Network(found["Name"], found["Driver"]) if found else None


async def _found(client: aiodocker.Docker, path: str) -> Any:
    try:
        return await client._query_json(path)
    except aiodocker.DockerError as error:
        if error.status == 404:
            return None
        raise
