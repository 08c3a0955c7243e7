"""What an RPC was refused with."""

from collections.abc import Awaitable
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

Details = tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]


async def refused(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The error that a call is answered with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def details_of(error: grpc.aio.AioRpcError) -> Details:
    """The ErrorInfo and the BadRequest of an error; empty ones stand for none."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an AioRpcError has all of a Call that it reads
    for detail in status.details if status else ():
        detail.Unpack(info) or detail.Unpack(bad)
    return info, bad
