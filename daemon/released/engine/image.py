"""Images: finding one in the engine, and pulling one from its registry."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiodocker
from aiodocker.utils import compose_auth_header

from released.engine.connection import translated
from released.engine.errors import EngineRefused, PullFailed
from released.model.events import ImagePullProgress
from released.model.image_reference import is_image_id, qualified
from released.model.release import RegistryAuth


class Image(NamedTuple):
    """An image that the engine has."""

    image_id: str
    digest: str
    """`repository@sha256:…`, empty for an image that never was in a registry."""
    entrypoint: tuple[str, ...]
    user: str
    """Who its processes are if nobody says otherwise, `name|uid[:group|gid]`; empty for root."""
    working_dir: str
    """Where they run then; empty for `/`."""
    labels: Mapping[str, str]


async def find_image(client: aiodocker.Docker, reference: str) -> Image | None:
    """Return the image, or None if the engine does not have it."""
    try:
        # With its registry, since the engine would take a short name for the head of another image's id.
        found = await client.images.inspect(reference if is_image_id(reference) else qualified(reference))
    except aiodocker.DockerError as error:
        if error.status == 404:
            return None
        raise
    config = found.get("Config") or {}
    return Image(
        found["Id"],
        _digest_for(reference, found.get("RepoDigests") or ()),
        tuple(config.get("Entrypoint") or ()),
        config.get("User") or "",
        config.get("WorkingDir") or "",
        config.get("Labels") or {},
    )


async def registry_digest(client: aiodocker.Docker, reference: str, auth: RegistryAuth | None) -> str:
    """Return the digest, `repository@sha256:…`, that an image has in its registry. Nothing is pulled."""
    name = qualified(reference)
    headers = {"X-Registry-Auth": compose_auth_header(_auth_config(auth))} if auth else None
    found = await client._query_json(f"distribution/{name}/json", headers=headers)
    return f"{_repository(name)}@{found['Descriptor']['digest']}"


async def pull_image(
    client: aiodocker.Docker,
    reference: str,
    auth: RegistryAuth | None,
) -> AsyncGenerator[ImagePullProgress, None]:
    """Pull an image, yielding how far it has got. Raises PullFailed, EngineUnreachable."""
    progress = _Progress()
    finished = False
    try:
        with translated(f"pulling the image {reference}"):
            messages = client.images.pull(
                qualified(reference),
                auth=_auth_config(auth) if auth else None,
                stream=True,
            )
            async for message in messages:
                status = str(message.get("status", ""))
                finished = finished or status.startswith("Status: ")
                yield progress.after(message)
    except EngineRefused as error:
        raise PullFailed(_explained(reference, error.said, bool(auth))) from error
    # A stream that was cut ends like one that is complete; only the engine's last word tells.
    if not finished:
        raise PullFailed(f"the pull of the image {reference} ended before it was complete")


def _digest_for(reference: str, digests: tuple[str, ...] | list[str]) -> str:
    """The digest in the repository that was asked for, if it was ever pulled from there; any for an id."""
    if is_image_id(reference):
        return digests[0] if digests else ""
    repository = _repository(qualified(reference))
    for digest in digests:
        if qualified(digest).partition("@")[0] == repository:
            return digest
    return ""


def _repository(name: str) -> str:
    """A name with its registry, without tag and digest."""
    head, slash, tail = name.partition("@")[0].rpartition("/")
    return head + slash + tail.partition(":")[0]


def _auth_config(auth: RegistryAuth) -> dict[str, str]:
    if auth.identity_token:
        return {"identitytoken": auth.identity_token}
    return {"username": auth.username, "password": auth.password}


def _explained(reference: str, message: str, with_credentials: bool) -> str:
    """Say what to do about the engine's message, which does not tell 'missing' from 'forbidden'."""
    lowered = message.lower()
    if "manifest unknown" in lowered or "not found" in lowered:
        advice = "check the image's name and tag"
    elif any(
        word in lowered for word in ("denied", "unauthorized", "no basic auth", "authentication required")
    ):
        advice = "check the credentials" if with_credentials else "give credentials for the registry"
    else:
        advice = "check that the registry can be reached from this host"
    return f"the image {reference} could not be pulled: {message}; {advice}"


@dataclass
class _Progress:
    """Adds up what the engine says of each layer."""

    _downloaded: dict[str, int] = field(default_factory=dict)
    _total: dict[str, int] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _layers: set[str] = field(default_factory=set)

    def after(self, message: Mapping[str, Any]) -> ImagePullProgress:
        status, layer = str(message.get("status", "")), str(message.get("id", ""))
        detail = message.get("progressDetail") or {}
        if status in ("Pulling fs layer", "Already exists", "Waiting", "Downloading"):
            self._layers.add(layer)
        if status == "Downloading":
            self._downloaded[layer] = int(detail.get("current") or 0)
            self._total[layer] = max(self._total.get(layer, 0), int(detail.get("total") or 0))
        if status in ("Download complete", "Pull complete", "Already exists"):
            self._downloaded[layer] = self._total.get(layer, 0)
        if status in ("Pull complete", "Already exists"):
            self._done.add(layer)
        return ImagePullProgress(
            status=f"{layer}: {status}" if layer in self._layers else status,
            layers=len(self._layers),
            layers_done=len(self._done),
            downloaded_bytes=sum(self._downloaded.values()),
            total_bytes=sum(self._total.values()),
        )
