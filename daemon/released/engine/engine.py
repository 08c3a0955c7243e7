"""The engine, as a release uses it: a small seam whose contract is written here.

Every control call ends by itself, at the latest after `control_timeout`, and raises
EngineUnreachable then. Streams (attach, pull) have no deadline of their own and use
connections of their own, so that however many are open, a kill gets through.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple

import aiodocker
import msgspec

from released.engine.attachment import Attachment
from released.engine.connection import close_client, open_client, translated
from released.engine.container import COMMAND_LABEL, DAEMON_LABEL, RELEASE_LABEL, is_name_of, nonce_in
from released.engine.container_log import LoggedChunk, read_log
from released.engine.description import Defaults, Description, find_container, find_defaults
from released.engine.errors import EngineError, EngineRefused, EngineUnreachable
from released.engine.host import EngineHost, Network, Volume, find_network, find_volume, inspect_host
from released.engine.image import Image, find_image, pull_image, registry_digest
from released.engine.image_file import read_file
from released.model.events import ImagePullProgress
from released.model.release import RegistryAuth

END_INTERVAL = timedelta(minutes=10)
"""How long one wait for the end of a container lasts at most."""


class ContainerState(NamedTuple):
    """What the engine says of a container."""

    running: bool
    exit_code: int
    out_of_memory: bool
    error: str
    finish_time: str
    """When it ended, as RFC 3339 has it."""


class FoundContainer(NamedTuple):
    """A container of a release, as the engine has it.

    `command_index` is None for one that runs all commands, and `nonce` is empty for one that runs a
    single command. `started`: it has been, whatever became of it then.
    """

    container_id: str
    name: str
    command_index: int | None
    nonce: str
    started: bool
    running: bool
    networks: frozenset[str]


class OwnContainer(NamedTuple):
    """A container that a daemon created for one of its releases."""

    container_id: str
    name: str
    release_id: str


class Engine:
    """The container engine at a URL. Nothing is connected before it is used."""

    def __init__(self, url: str, control_timeout: timedelta) -> None:
        self.url = url
        self._control_timeout = control_timeout.total_seconds()
        self._listeners: list[Callable[[EngineError], None]] = []
        self.known_version = ""
        """What the engine said last when it was asked for its version; empty before."""
        self._control = open_client(url)
        self._streams = open_client(url)

    def limit_calls(self, control_timeout: timedelta) -> None:
        """Set how long control calls may take that are made from now on."""
        self._control_timeout = control_timeout.total_seconds()

    def listen(self, listener: Callable[[EngineError], None]) -> None:
        """Tell somebody of each error of a control call."""
        self._listeners.append(listener)

    async def close(self) -> None:
        """Close all connections. May be called twice."""
        await close_client(self._control)
        await close_client(self._streams)

    async def version(self) -> str:
        """Return the engine's version, as a sign of life."""
        async with self._call("asking for its version"):
            self.known_version = str((await self._control.version())["Version"])
            return self.known_version

    async def inspect_host(self) -> EngineHost:
        """Return what the engine says of its host."""
        async with self._call("asking for its host"):
            return await inspect_host(self._control)

    async def find_volume(self, name: str) -> Volume | None:
        """Return a volume, or None if the engine does not have it."""
        async with self._call(f"inspecting the volume {name}"):
            return await find_volume(self._control, name)

    async def find_network(self, name: str) -> Network | None:
        """Return the network that a name stands for, or None if there is none."""
        async with self._call(f"inspecting the network {name}"):
            return await find_network(self._control, name)

    async def find_image(self, reference: str) -> Image | None:
        """Return the image, or None if the engine does not have it."""
        async with self._call(f"inspecting the image {reference}"):
            return await find_image(self._control, reference)

    async def registry_digest(self, reference: str, auth: RegistryAuth | None) -> str:
        """Ask an image's registry for its digest, `repository@sha256:…`, without pulling it."""
        async with self._call(f"asking the registry of the image {reference}"):
            return await registry_digest(self._control, reference, auth)

    async def find_container(self, name: str) -> Description | None:
        """Return the container of a name, an id or the head of one, whoever runs it, or None."""
        async with self._call(f"inspecting the container {name}"):
            return await find_container(self._control, name)

    async def find_defaults(self, image_id: str) -> Defaults | None:
        """Return what an image gives to its containers, or None if the engine does not have it."""
        async with self._call(f"inspecting the image {image_id}"):
            return await find_defaults(self._control, image_id)

    def pull_image(
        self, reference: str, auth: RegistryAuth | None
    ) -> AsyncGenerator[ImagePullProgress, None]:
        """Pull an image. Safe to repeat. Raises PullFailed."""
        return pull_image(self._streams, reference, auth)

    async def create_container(self, name: str, config: dict[str, Any]) -> str:
        """Create a container and return its id. A taken name is EngineRefused with status 409."""
        async with self._call(f"creating the container {name}"):
            return (await self._control.containers.create(config, name=name)).id

    async def read_file(self, container_id: str, path: str) -> bytes | None:
        """Return what a file of a container has, None if there is none. Raises NotReadable."""
        async with self._call(f"reading {path}"):
            return await read_file(self._control, container_id, path)

    async def connect_network(self, network: str, container_id: str) -> None:
        """Connect a container to one more network."""
        async with self._call(f"connecting the container to the network {network}"):
            await (await self._control.networks.get(network)).connect({"Container": container_id})

    def attach(self, container_id: str) -> AbstractAsyncContextManager[Attachment]:
        """Attach to a container's three streams. Before the start, nothing it writes is missed."""
        stream = self._streams.containers.container(container_id).attach(
            stdin=True,
            stdout=True,
            stderr=True,
        )
        return Attachment.opened(stream, self._control_timeout)

    def read_log(self, container_id: str) -> AsyncGenerator[LoggedChunk, None]:
        """Yield what the engine's own log has of a container's output, from its beginning to now.

        Raises EngineRefused for a log driver that can't be read.
        """
        return _translated_log(self._streams, container_id)

    async def start_container(self, container_id: str) -> None:
        """Start a container. One that runs stays as it is; one that can't start is EngineRefused."""
        async with self._call("starting the container"):
            await self._control.containers.container(container_id).start()

    async def signal_container(self, container_id: str, signal: str) -> None:
        """Send a signal to a container's first process. One that has ended already is no error."""
        try:
            async with self._call(f"sending {signal} to the container"):
                await self._control.containers.container(container_id).kill(signal=signal)
        except EngineRefused as error:
            if error.status not in (404, 409):
                raise

    async def has_started(self, container_id: str) -> bool:
        """Whether a container was ever started."""
        found = await self._find(container_id)
        return found is not None and found.started

    async def environment_of(self, container_id: str) -> dict[str, str]:
        """Return a container's environment, the image's variables among it; empty if it is gone."""
        try:
            async with self._call("inspecting the container"):
                details = await self._control.containers.container(container_id).show()
        except EngineRefused as error:
            if error.status == 404:
                return {}
            raise
        variables = (text.partition("=") for text in details["Config"]["Env"] or ())
        return {name: value for name, _, value in variables}

    async def await_end(self, container_id: str) -> None:
        """Wait until a container runs no more, or is gone. Raises EngineUnreachable."""
        while True:
            state = await self.inspect_ended(container_id, END_INTERVAL)
            if state is None or not state.running:
                return

    async def await_departure(self) -> None:
        """Wait until the engine goes away, however soon it is back: a connection to it ends with it."""
        parameters = {"filters": '{"type": ["daemon"]}'}
        with suppress(EngineUnreachable), translated("waiting for the end of the engine"):
            async with self._streams._query("events", params=parameters) as response, response:
                await response.content.read()

    async def inspect_ended(self, container_id: str, within: timedelta) -> ContainerState | None:
        """Wait `within` a time until a container has ended, and say how.

        None: there is no such container. One that has not ended by then is returned as running.
        """
        container = self._control.containers.container(container_id)
        try:
            try:
                async with asyncio.timeout(within.total_seconds()):
                    with translated("waiting for the container"):
                        await container.wait()
            except TimeoutError:
                pass
            async with self._call("inspecting the container"):
                state = (await container.show())["State"]
        except EngineRefused as error:
            if error.status == 404:
                return None
            raise
        return ContainerState(
            state["Running"], state["ExitCode"], state["OOMKilled"], state["Error"], state["FinishedAt"]
        )

    async def remove_container(self, container_id: str) -> None:
        """Kill and remove a container, with its anonymous volumes. Safe to repeat."""
        try:
            async with self._call("removing the container"):
                await self._control.containers.container(container_id).delete(force=True, v=True)
        except EngineRefused as error:
            # Not 409: a removal that is under way, perhaps because of us, has not happened yet.
            if error.status != 404:
                raise

    async def is_running(self, container_id: str) -> bool:
        """Whether a container exists and runs."""
        state = await self.inspect_ended(container_id, timedelta())
        return state is not None and state.running

    async def releases_with_containers(self) -> set[str]:
        """Return the ids of all releases, of any daemon, that have a container, running or not."""
        return {container.release_id for container in await self._list_of_releases(RELEASE_LABEL)}

    async def containers_of_daemon(self, instance_id: str) -> list[OwnContainer]:
        """Return all containers, running or not, that a daemon created for releases."""
        return await self._list_of_releases(RELEASE_LABEL, f"{DAEMON_LABEL}={instance_id}")

    async def containers_of(self, release_id: str) -> list[str]:
        """Return the ids of all containers, running or not, that belong to a release."""
        found = await self._list_of_releases(f"{RELEASE_LABEL}=releases/{release_id}")
        return [container.container_id for container in found]

    async def _list_of_releases(self, *labels: str) -> list[OwnContainer]:
        """Return all containers with these labels, the one of a release among them, and a name of ours.

        `docker commit` copies the labels into an image, and so into what others run of it.
        """
        async with self._call("listing the containers of releases"):
            found = await self._control.containers.list(all=True, filters=json.dumps({"label": labels}))
        return [
            OwnContainer(container.id, name, release_id)
            for container in found
            for release_id in [container["Labels"][RELEASE_LABEL].removeprefix("releases/")]
            for name in [path.removeprefix("/") for path in container["Names"] or ()]
            if is_name_of(name, release_id)
        ]

    async def find_containers(self, release_id: str) -> list[FoundContainer]:
        """Return all containers, running or not, that belong to a release."""
        found = [await self._find(container_id) for container_id in await self.containers_of(release_id)]
        return [container for container in found if container]

    async def _find(self, container_id: str) -> FoundContainer | None:
        try:
            async with self._call("inspecting the container"):
                details = await self._control.containers.container(container_id).show()
        except EngineRefused as error:
            if error.status == 404:
                return None
            raise
        index = details["Config"]["Labels"].get(COMMAND_LABEL)
        nonce = nonce_in(details["Config"]["Cmd"]) if index is None else ""
        if index is None and not nonce:
            return None  # somebody else's, whatever its labels say
        return FoundContainer(
            container_id=container_id,
            name=details["Name"].removeprefix("/"),
            command_index=None if index is None else int(index),
            nonce=nonce,
            # The engine's way to say never.
            started=not details["State"]["StartedAt"].startswith("0001-"),
            running=details["State"]["Running"],
            networks=frozenset(details["NetworkSettings"]["Networks"]),
        )

    async def was_signalled(self, container_id: str, was_seen: bool) -> bool | None:
        """Whether somebody had the engine signal or stop a container that has ended.

        `was_seen`: it was running when it was asked about before, so only its end has to be known.

        None: the engine does not know, because it was started again or too much has happened since
        (it keeps its last 256 events). Then an exit code of its can't be relied on, either.
        """
        parameters = {
            "since": "0",
            "until": f"{time.time():.6f}",
            "filters": f'{{"container": ["{container_id}"]}}',
        }
        async with (
            self._call("asking what happened to the container"),
            self._control._query("events", params=parameters) as response,
            response,
        ):
            actions = [msgspec.json.decode(line)["Action"] async for line in response.content]
        if "die" not in actions or not (was_seen or "start" in actions):
            return None
        return "kill" in actions

    @asynccontextmanager
    async def _call(self, doing: str) -> AsyncIterator[None]:
        try:
            with translated(doing):
                async with asyncio.timeout(self._control_timeout):
                    yield
        except EngineError as error:
            for listener in self._listeners:
                listener(error)
            raise


async def _translated_log(client: aiodocker.Docker, container_id: str) -> AsyncGenerator[LoggedChunk, None]:
    with translated("reading the log of the container"):
        async with aclosing(read_log(client, container_id)) as chunks:
            async for chunk in chunks:
                yield chunk
