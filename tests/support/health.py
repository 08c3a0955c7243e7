"""What grpc.health.v1 says of the service that starts releases."""

from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

REQUEST = health_pb2.HealthCheckRequest(service="releasephase.v1.ReleaseService")


async def until_serving(channel: grpc.aio.Channel, *, serving: bool) -> None:
    """Wait until releases can, or can't, be started."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(REQUEST)
    async for answer in watch:
        if (answer.status == health_pb2.HealthCheckResponse.SERVING) is serving:
            watch.cancel()
            return
    raise AssertionError("the daemon ended")
