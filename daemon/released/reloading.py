"""Reading the configuration again, on SIGHUP: a good one counts from then on, a bad one changes nothing."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from released.aside import aside
from released.audit.log import AuditLog
from released.config import ConfigFile, Configuration
from released.errors import ConfigError
from released.model.events import ConfigurationRefused, ConfigurationReloaded
from released.systemd import notify

logger = logging.getLogger(__name__)


@contextmanager
def on_hangup(callback: Callable[[], None]) -> Iterator[None]:
    """Have the event loop call `callback` after SIGHUP, until the end of the block.

    Unlike the loop's own handlers, which leave the default behind them, it gives way to what was
    before: a daemon that ignored SIGHUP does so again, and does not die of one while it ends.
    """
    loop = asyncio.get_running_loop()
    before = signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(callback))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@asynccontextmanager
async def reloading(
    file: ConfigFile, configuration: Configuration, audit: AuditLog, wanted: asyncio.Event
) -> AsyncIterator[None]:
    """Read the file again whenever `wanted` is set, until the end of the block.

    Requests that come while it is being read make one more reading together, which sees what they saw.
    """
    task = asyncio.create_task(_run(file, configuration, audit, wanted), name="reloading")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _run(
    file: ConfigFile, configuration: Configuration, audit: AuditLog, wanted: asyncio.Event
) -> None:
    while True:
        await wanted.wait()
        wanted.clear()
        # In one message: by the time, systemd tells this reload from an earlier one, sd_notify(3).
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            result = await _reload(file, configuration, audit)
        except Exception:
            logger.exception("unexpected error while reading the configuration again")
            result = "an unexpected error, which the log tells, while the configuration was read again"
        notify(f"READY=1\nSTATUS={' '.join(result.splitlines())}")


async def _reload(file: ConfigFile, configuration: Configuration, audit: AuditLog) -> str:
    """Read the file, let it count if it is good, and return in a line what became of it."""
    try:
        # Its disk or the user database may hang, and finding the line of an error takes a while.
        loaded = await aside(file.load)
    except ConfigError as error:
        result = f"the configuration is refused, what was before stays: {error}"
        logger.error("%s", result)
        configuration.refuse(str(error))
        audit.append_own(ConfigurationRefused(message=str(error)))
        return result
    changed, at_restart = configuration.compare(loaded)
    # First in the log, before all that it changes. But not waited for: who may do what has to change
    # also while nothing can be recorded, again and again.
    audit.append_own(ConfigurationReloaded(changed=changed, at_restart=at_restart))
    configuration.replace(loaded)
    result = f"the configuration was read again; changed: {', '.join(changed) or 'nothing'}"
    if at_restart:
        result += f"; not before a restart: {', '.join(at_restart)}"
    logger.info("%s", result)
    return result
