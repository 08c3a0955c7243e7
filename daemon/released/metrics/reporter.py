"""Keeps the metrics' file up to date, as long as the configuration names one."""

import asyncio
import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from released.aside import aside
from released.audit.log import AuditLog
from released.audit.writer import Commit
from released.config import Config, Configuration
from released.engine.engine import Engine
from released.engine.errors import EngineError
from released.errors import ApplicationError
from released.metrics.metrics import Metrics
from released.monitor import EngineMonitor
from released.releases import Releases

logger = logging.getLogger(__name__)

CLOSE_DEADLINE = 2.0
"""Seconds that the last writing may take."""

FILE_MODE = 0o644
"""node_exporter runs as a user of its own."""


class MetricsReporter:
    """Counts what is committed, from its making on, and writes it to the file, from `start` to `close`.

    A release is counted once its end is committed, by what is recorded of it: so one that was
    adopted is counted like any other, with its true durations.
    """

    def __init__(
        self,
        configuration: Configuration,
        releases: Releases,
        audit: AuditLog,
        engine: Engine,
        monitor: EngineMonitor,
    ) -> None:
        self._releases = releases
        self._audit = audit
        self._monitor = monitor
        self._settings = configuration.current.metrics
        self._metrics = Metrics() if self._settings.path else None
        self._wake = asyncio.Event()
        self._closing = False
        self._in_trouble = False
        self._task: asyncio.Task[None] | None = None
        audit.listen(self._committed)
        engine.listen(self._engine_failed)
        configuration.listen(self._configured)

    def start(self) -> None:
        """Write the file for the first time, and again and again."""
        self._task = asyncio.create_task(self._run(), name="metrics")

    async def close(self) -> None:
        """Write the file for the last time, if its disk does not hang. May be called twice."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=CLOSE_DEADLINE)

    def _committed(self, commit: Commit) -> None:
        if self._metrics is not None:
            self._metrics.count_commit(commit)

    def _engine_failed(self, error: EngineError) -> None:
        if self._metrics is not None:
            self._metrics.count_engine_error(error)

    def _configured(self, config: Config) -> None:
        self._settings = config.metrics
        if self._settings.path is None:
            self._metrics = None
        elif self._metrics is None:
            self._metrics = Metrics()
        self._wake.set()

    async def _run(self) -> None:
        written: Path | None = None
        while True:
            path, interval = self._settings.path, self._settings.interval
            if written and written != path:
                await aside(partial(_remove, written))
            if self._metrics and path:
                await self._report(self._metrics, path)
            written = path
            if self._closing:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(interval if path else None):
                    await self._wake.wait()
            self._wake.clear()

    async def _report(self, metrics: Metrics, path: Path) -> None:
        try:
            # What can't be looked up now is counted later; that the log is in trouble, a gauge says.
            with suppress(ApplicationError):
                await self._count_ended(metrics)
            self._gauge(metrics)
            # Its disk may hang.
            await aside(lambda: write_atomically(path, metrics.text()))
        except OSError as error:
            if not self._in_trouble:
                logger.warning("the metrics can't be written to %s for now: %s", path, error)
            self._in_trouble = True
        except Exception:
            logger.exception("unexpected error while the metrics were written to %s", path)
        else:
            self._in_trouble = False

    async def _count_ended(self, metrics: Metrics) -> None:
        while metrics.ended:
            record = await self._audit.query.release(metrics.ended[0])
            metrics.ended.popleft()
            if record is not None:
                metrics.count_release(record)

    def _gauge(self, metrics: Metrics) -> None:
        running, queued = self._releases.counts
        metrics.running.set(running)
        metrics.queued.set(queued)
        metrics.audit_writable.set(self._audit.health.writable)
        metrics.engine_up.set(self._monitor.health is not None and self._monitor.health.reachable)


def write_atomically(path: Path, text: bytes) -> None:
    """Replace a file: whoever reads it sees all of the old text or all of the new. Raises OSError.

    prometheus_client's own function leaves the mode to the umask, which keeps others out of all that
    a daemon writes, if its unit says so.
    """
    unfinished = path.with_name(f"{path.name}.new")
    try:
        with open(unfinished, "wb", opener=_open_anew) as file:
            os.fchmod(file.fileno(), FILE_MODE)
            file.write(text)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _open_anew(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, FILE_MODE)


def _remove(path: Path) -> None:
    """Remove a file that nobody writes any more: its numbers would be taken for those of now."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("the old file of metrics, %s, can't be removed: %s", path, error)
