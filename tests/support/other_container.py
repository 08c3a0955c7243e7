"""Containers and networks that are not the product's: those of an application that is being served."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiodocker


def a_name(what: str = "web") -> str:
    """One that the engine does not have, whoever else tests there."""
    return f"rp-{what}-{secrets.token_hex(8)}"


@asynccontextmanager
async def a_network(docker: aiodocker.Docker) -> AsyncIterator[str]:
    name = a_name("net")
    await docker._query_json("networks/create", method="POST", data={"Name": name})
    try:
        yield name
    finally:
        await (await docker.networks.get(name)).delete()


@asynccontextmanager
async def a_container(
    docker: aiodocker.Docker,
    image: str,
    name: str | None = None,
    networks: tuple[str, ...] = (),
    is_running: bool = True,
    host: dict[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[tuple[str, str]]:
    """Yield the name and the id of a container that serves until the end of the block.

    `config` and, below it, `host` are in the engine's form.
    """
    name = name or a_name()
    host_config = {"Init": True, **({"NetworkMode": networks[0]} if networks else {}), **(host or {})}
    whole = {"Image": image, "Cmd": ["sleep", "1000"], "HostConfig": host_config, **config}
    container = await docker.containers.create(whole, name=name)
    try:
        for network in networks[1:]:
            await (await docker.networks.get(network)).connect({"Container": container.id})
        if is_running:
            await container.start()
        yield name, container.id
    finally:
        await container.delete(force=True, v=True)
