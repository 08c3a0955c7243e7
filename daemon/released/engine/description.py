"""A container that somebody else runs, and what its image gives it, as the engine describes them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import aiodocker

from released.engine.container import RELEASE_LABEL, is_name_of
from released.model.release import Mount

DEFAULT_NETWORK = "bridge"
"""The one that the engine joins a container to that names none."""

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
"""The form of the names that the engine gives to volumes."""


class Defaults(NamedTuple):
    """What an image gives to a container that says nothing else."""

    environment: Mapping[str, str]
    user: str

    def __repr__(self) -> str:
        return "Defaults(…)"


class Description(NamedTuple):
    """A container: what it is, and what it was made with."""

    container_id: str
    name: str
    image_id: str
    running: bool
    is_release: bool
    """Whether a daemon, be it another one, created it for a release."""
    environment: Mapping[str, str]
    """All of its variables, those of its image among them."""
    networks: tuple[str, ...]
    """Without the engine's default; the first is the one that it was created in. One that has another
    container's network has none but `container:ID`, which is no name of a network."""
    mounts: tuple[Mount, ...]
    """Paths of the host and named volumes, by where they are mounted."""
    user: str

    def __repr__(self) -> str:
        return f"Description({self.name!r}, …)"


async def find_container(client: aiodocker.Docker, name: str) -> Description | None:
    """Return the container of a name, an id or the head of one, or None if the engine has none."""
    try:
        return _described(await client.containers.container(name).show())
    except aiodocker.DockerError as error:
        if error.status == 404:
            return None
        raise


async def find_defaults(client: aiodocker.Docker, image_id: str) -> Defaults | None:
    """Return what an image gives to its containers, or None if the engine does not have it any more."""
    try:
        found = await client.images.inspect(image_id)
    except aiodocker.DockerError as error:
        if error.status == 404:
            return None
        raise
    config = found.get("Config") or {}
    return Defaults(_variables(config), config.get("User") or "")


def _described(details: Mapping[str, Any]) -> Description:
    config = details["Config"]
    name = details["Name"].removeprefix("/")
    release_id = (config.get("Labels") or {}).get(RELEASE_LABEL, "").removeprefix("releases/")
    return Description(
        container_id=details["Id"],
        name=name,
        image_id=details["Image"],
        running=details["State"]["Running"],
        # `docker commit` copies the label into an image, and so into what others run of it.
        is_release=bool(release_id) and is_name_of(name, release_id),
        environment=_variables(config),
        networks=_networks(details),
        mounts=tuple(sorted(_mounts(details), key=lambda mount: mount.target)),
        user=config.get("User") or "",
    )


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    parts = (text.partition("=") for text in config.get("Env") or ())
    return {name: value for name, separator, value in parts if separator}


def _networks(details: Mapping[str, Any]) -> tuple[str, ...]:
    mode = details["HostConfig"]["NetworkMode"]
    if mode.startswith("container:"):
        return (mode,)
    joined = set(details["NetworkSettings"]["Networks"]) - {DEFAULT_NETWORK}
    return tuple(sorted(joined, key=lambda network: (network != mode, network)))


def _mounts(details: Mapping[str, Any]) -> Iterator[Mount]:
    """Yield what outlives the container: neither a tmpfs nor a volume without a name of its own does."""
    for mount in details["Mounts"]:
        if mount["Type"] == "bind":
            yield Mount(mount["Source"], mount["Destination"], not mount["RW"])
        elif mount["Type"] == "volume" and not _ANONYMOUS.fullmatch(mount["Name"]):
            yield Mount(mount["Name"], mount["Destination"], not mount["RW"])
