"""The gRPC server: its services, health and reflection, behind the door."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from released.audit.log import AuditHealth
from released.config import Configuration
from released.errors import StartupError
from released.folders import make_private
from released.monitor import EngineHealth
from released.service.audit import AuditService
from released.service.callers import Callers
from released.service.commands import CommandService
from released.service.daemon import DaemonService
from released.service.decoding import Decoding
from released.service.door import Door
from released.service.gate import Gate
from released.service.places import Places
from released.service.releases import ReleaseService
from releasephase.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    command_service_pb2,
    command_service_pb2_grpc,
    daemon_service_pb2,
    daemon_service_pb2_grpc,
    release_service_pb2,
    release_service_pb2_grpc,
)

RELEASE_SERVICE = release_service_pb2.DESCRIPTOR.services_by_name["ReleaseService"].full_name
DAEMON_SERVICE = daemon_service_pb2.DESCRIPTOR.services_by_name["DaemonService"].full_name
AUDIT_SERVICE = audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name
COMMAND_SERVICE = command_service_pb2.DESCRIPTOR.services_by_name["CommandService"].full_name
SERVICES = (RELEASE_SERVICE, DAEMON_SERVICE, AUDIT_SERVICE, COMMAND_SERVICE)

OPTIONS = (
    # A message is in memory before anybody can say what it is.
    ("grpc.max_receive_message_length", 2 * 1024 * 1024),
    ("grpc.max_concurrent_streams", 100),
)
"""What a connection may have at once: gRPC's own limits are 4 MiB a message, and none for streams."""

STOP_GRACE = 1.0
"""Seconds for RPCs under way when the daemon stops; a watch is cut then and comes back later."""


class Health:
    """grpc.health.v1: the daemon serves as a whole; releases need an engine, a log, and no drain."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()
        self._engine_reachable = False
        self._audit_writable = False
        self._draining = False

    async def tell_engine(self, engine: EngineHealth) -> None:
        """Take note that the engine came or went."""
        self._engine_reachable = engine.reachable
        await self._tell()

    async def tell_audit(self, audit: AuditHealth) -> None:
        """Take note that the audit log can or can't be written."""
        self._audit_writable = audit.writable
        await self._tell()

    async def tell_draining(self) -> None:
        """Take note that no releases are started any more."""
        self._draining = True
        await self._tell()

    async def _tell(self) -> None:
        serving, not_serving = (
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.NOT_SERVING,
        )
        can_start = self._engine_reachable and self._audit_writable and not self._draining
        await self.servicer.set(RELEASE_SERVICE, serving if can_start else not_serving)
        for service in ("", DAEMON_SERVICE, AUDIT_SERVICE, COMMAND_SERVICE):
            await self.servicer.set(service, serving)


@asynccontextmanager
async def serving(
    configuration: Configuration,
    listener: socket.socket,
    release_service: ReleaseService,
    daemon_service: DaemonService,
    audit_service: AuditService,
    command_service: CommandService,
    health_state: Health,
    gate: Gate,
    callers: Callers,
) -> AsyncIterator[None]:
    """Serve whoever connects to `listener`, until the end of the block."""
    config = configuration.current.server
    server = grpc.aio.server(interceptors=[gate, Decoding()], options=OPTIONS)
    release_service_pb2_grpc.add_ReleaseServiceServicer_to_server(release_service, server)
    daemon_service_pb2_grpc.add_DaemonServiceServicer_to_server(daemon_service, server)
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audit_service, server)
    command_service_pb2_grpc.add_CommandServiceServicer_to_server(command_service, server)
    health_pb2_grpc.add_HealthServicer_to_server(health_state.servicer, server)
    names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    make_private(config.inner_socket.parent)
    try:
        server.add_insecure_port(f"unix:{config.inner_socket}")
    except RuntimeError as error:
        raise StartupError(f"the socket {config.inner_socket} can't be served: {error}") from error
    await server.start()
    places = Places(config.max_connections_per_user)
    configuration.listen(lambda changed: places.limit_each(changed.server.max_connections_per_user))
    door = Door(listener, config.inner_socket, places, callers, gate.knows)
    door.open()
    try:
        yield
    finally:
        door.stop_accepting()
        await health_state.servicer.enter_graceful_shutdown()
        await server.stop(STOP_GRACE)
        await door.close()
