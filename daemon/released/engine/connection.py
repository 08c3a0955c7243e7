"""Connections to the engine, and the translation of what goes wrong on them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aiodocker
import aiohttp

from released.engine.errors import EngineRefused, EngineUnreachable

UNIX = "unix://"


def open_client(url: str) -> aiodocker.Docker:
    """Return a client with connections of its own, as many as it needs.

    `url` is `unix:///path` or `tcp://host:port`. aiohttp's default of 100 connections
    would let 100 attached streams lock out a kill.
    """
    if url.startswith(UNIX):
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(url.removeprefix(UNIX), limit=0)
        return aiodocker.Docker(url=f"{UNIX}localhost", connector=connector, session=_session(connector))
    connector = aiohttp.TCPConnector(limit=0)
    return aiodocker.Docker(url=url, connector=connector, session=_session(connector))


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    # No timeouts here: streams have none, and control calls have their own deadline.
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))


async def close_client(client: aiodocker.Docker) -> None:
    """Close the client and its connections."""
    await client.close()
    await client.session.close()


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn whatever the client library raises into an EngineError that says what was being done."""
    try:
        yield
    except TimeoutError as error:
        raise EngineUnreachable(f"the engine did not answer in time while {doing}") from error
    except aiodocker.DockerError as error:
        # 900 is aiodocker's own number for a connection that failed.
        if error.status == 900:
            raise EngineUnreachable(f"the engine could not be reached while {doing}") from error
        raise EngineRefused(error.status, doing, error.message.strip()) from error
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        raise EngineUnreachable(f"the connection to the engine was lost while {doing}: {error}") from error
