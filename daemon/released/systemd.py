"""The service manager and us: sd_notify(3), sd_listen_fds(3) and its watchdog, without its library."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

logger = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START."""

START_PATIENCE = 60
"""Seconds that the service manager is asked to wait once more for a start that gets on."""


def notify(state: str) -> None:
    """Send `state`, such as READY=1, if a service manager listens; one that has gone is no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.connect(address)
            connection.sendall(state.encode())
    except OSError as error:
        logger.warning("the service manager could not be told %s: %s", state, error)


def handed_descriptors() -> list[int]:
    """The file descriptors that the service manager started us with, ours only from now on.

    The variables that tell of them are removed: they are good for one process, and once.
    """
    process, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    descriptors = list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors


@asynccontextmanager
async def taking_time_to_start() -> AsyncIterator[None]:
    """Keep the service manager from giving up on the start, sd_notify(3), until the end of the block."""
    asking = asyncio.create_task(_ask_for_patience(), name="start-patience")
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait({asking})


async def _ask_for_patience() -> None:
    while True:
        notify(f"EXTEND_TIMEOUT_USEC={START_PATIENCE * 1_000_000}")
        await asyncio.sleep(START_PATIENCE / 3)


@asynccontextmanager
async def feeding_watchdog(alive: Callable[[], bool]) -> AsyncIterator[None]:
    """Tell the service manager, if it wants to know, that the event loop turns, until the end of the block.

    It is told no more once `alive` says no; it then restarts the daemon.
    """
    limit = _watchdog_seconds()
    if limit is None:
        yield
        return
    feeding = asyncio.create_task(_feed(limit / 2, alive), name="watchdog")
    try:
        yield
    finally:
        feeding.cancel()
        await asyncio.wait({feeding})


def _watchdog_seconds() -> float | None:
    """How often WATCHDOG=1 has to come, sd_watchdog_enabled(3); None: nobody waits for it."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    # The variables reach every descendant of the process that is meant.
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(limit) / 1e6 if limit.isdecimal() and int(limit) else None


async def _feed(interval: float, alive: Callable[[], bool]) -> None:
    while alive():
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)
    logger.critical("a part of the daemon has died: the service manager is to restart it")
