"""Accepting, starting and cancelling releases: the one owner of all release tasks.

A release belongs to nobody who calls: an RPC handler may be cancelled at any await, the
release goes on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec

from released.audit.log import AuditHealth, AuditLog
from released.audit.records import ReleaseRecord
from released.config import Config, Configuration
from released.crash import CrashPoint, crash_point
from released.errors import ApplicationError, Unavailable
from released.model.caller import Caller
from released.model.durations import in_words
from released.model.events import (
    Body,
    CancelRequested,
    CommandFinished,
    ReleaseAccepted,
    StateChanged,
)
from released.model.ids import new_release_id
from released.model.instant import now
from released.model.release import ReleaseSpec, Secrets, Target
from released.model.states import Cause, CommandState, ReleaseState
from released.monitor import EngineHealth, EngineMonitor
from released.release.journal import Journal
from released.release.masking.masking import Masking
from released.release.pace import SlowCommand
from released.release.run import ReleaseRun
from released.release.runs import Runs
from released.release.verdict import Stop, Verdict, failed, stopped
from released.requests import check_engine, check_lane, earlier_release, refuse_cancel
from released.rollbacks import Rollbacks
from released.scheduler import Scheduler
from released.tasks import Tasks
from released.troubles import Troubles
from released.vault import Vault

logger = logging.getLogger(__name__)

UNEXPECTED = (
    "an unexpected error of the daemon, which its log tells: start it again to go on with the release"
)

RETRY_INTERVAL = timedelta(seconds=10)
"""Between two attempts to record that a release has waited too long."""


LastLook = Callable[[str, ReleaseSpec], Awaitable[ReleaseSpec]]
"""Says what a release is to be that has its place in its lane and is not recorded yet, or why it can't be."""


class Counts(NamedTuple):
    """How many releases there are that have not ended."""

    running: int
    queued: int


@dataclass(slots=True)
class _Waiting:
    """A release in the queue, and what it will start with."""

    spec: ReleaseSpec
    secrets: Secrets | None
    """None: they are lost."""
    limit: timedelta
    """How long it may wait."""
    timeout: asyncio.TimerHandle
    ending: asyncio.Task[None] | None = None


class Releases:
    """All releases that have not ended."""

    def __init__(
        self,
        runs: Runs,
        monitor: EngineMonitor,
        audit: AuditLog,
        vault: Vault,
        configuration: Configuration,
        troubles: Troubles,
    ) -> None:
        self._make = runs
        self._monitor = monitor
        self._audit = audit
        self._vault = vault
        self._configuration = configuration
        self._troubles = troubles
        self.scheduler = Scheduler(configuration.current.releases.max_concurrent)
        self.rollbacks = Rollbacks(
            audit, vault, configuration, self.scheduler, self._placed, self._check_accepting
        )
        self._waiting: dict[str, _Waiting] = {}
        self._runs: dict[str, ReleaseRun] = {}
        self._requests: dict[tuple[Target, str], asyncio.Task[str]] = {}
        """The requests with a request_id that are being accepted."""
        self._tasks = Tasks()
        self._accepting = 0
        self._listeners: list[Callable[[], None]] = []
        self._closing = False
        self.draining = False
        """Whether nothing is accepted or started any more."""
        configuration.listen(self._configured)

    async def start(
        self,
        spec: ReleaseSpec,
        secrets: Secrets,
        request_digest: str,
        caller: Caller,
        last_look: LastLook | None = None,
    ) -> str:
        """Accept a release durably and return its id; a repeated request gives the id it gave before."""
        key = (spec.target, spec.request_id)
        earlier = self._requests.get(key)
        accepting = self._accept(spec, secrets, request_digest, caller, last_look, earlier)
        task = self._tasks.spawn(accepting, spec.target)
        self._accepting += 1
        self._tell()
        task.add_done_callback(self._accepted)
        if spec.request_id:
            self._requests[key] = task
            task.add_done_callback(lambda done: self._forget_request(key, done))
        return await asyncio.shield(task)

    async def preview(self, spec: ReleaseSpec) -> tuple[ReleaseSpec, int]:
        """Return a release as it would be accepted and its place, 0 if it would start; raises as `start`."""
        spec = await self._check(spec)
        position = 0 if spec.runs_nothing else self.scheduler.next_position(spec.target, spec.lock_groups)
        return spec, position

    async def cancel(self, release_id: str, reason: str, caller: Caller) -> None:
        """Ask for a release to be cancelled. Returns when the request is recorded."""
        if waiting := self._waiting.get(release_id):
            masked = Masking(waiting.spec, waiting.secrets).text(reason)
            request = CancelRequested(reason=masked, caller=caller)
            await asyncio.shield(self._end_waiting(release_id, stopped(Stop.CANCELLED), request))
        elif (run := self._runs.get(release_id)) and run.stop(Stop.CANCELLED):
            request = CancelRequested(reason=run.masked(reason), caller=caller)
            await asyncio.shield(self._audit.append(release_id, request))
        elif run is None or run.stopped is not Stop.CANCELLED:
            await refuse_cancel(self._audit.query, release_id)

    async def engine_changed(self, health: EngineHealth) -> None:
        """Let queued releases start only while there is an engine."""
        self._start(self.scheduler.set_open(health.reachable and not self.draining))

    def slow_command(self, release_id: str) -> SlowCommand | None:
        """The command of a release that is under way, if it takes much longer than usual."""
        run = self._runs.get(release_id)
        return run.slow_command if run else None

    @property
    def counts(self) -> Counts:
        """How many releases are under way, and how many have been accepted and wait."""
        return Counts(self.scheduler.running, len(self._waiting))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, nor being recorded: a request, or the end of one that waits."""
        if self.scheduler.running or self._accepting:
            return False
        return not any(waiting.ending for waiting in self._waiting.values())

    def listen(self, listener: Callable[[], None]) -> None:
        """Tell somebody when `counts` or `is_idle` may have changed."""
        self._listeners.append(listener)

    def drain(self) -> None:
        """Accept nothing and start nothing from now on; what is queued waits for the daemon's next start."""
        self.draining = True
        self._start(self.scheduler.set_open(False))

    async def audit_changed(self, health: AuditHealth) -> None:
        """Stop what is under way when not even its results can be recorded."""
        for run in () if health.takes_results else self._runs.values():
            run.stop(Stop.UNRECORDABLE)

    async def close(self) -> None:
        """Leave everything as it is: containers run on, the next start goes on with what was under way."""
        self._closing = True
        for waiting in self._waiting.values():
            waiting.timeout.cancel()
        await self._tasks.cancel()

    def enqueue_again(self, release_id: str, spec: ReleaseSpec, secrets: Secrets, waited: timedelta) -> None:
        """Put a release back into its lane that was accepted before the daemon was restarted."""
        self.scheduler.reserve(release_id, spec.target, spec.lock_groups)
        self._confirm(release_id, spec, secrets, waited)

    def adopt(self, record: ReleaseRecord, secrets: Secrets | None) -> None:
        """Go on with a release that was under way when the daemon ended; no secrets: they are lost."""
        spec = record.spec
        self.scheduler.resume(record.release_id, spec.target, spec.lock_groups)
        self._tell()
        run = self._make.resumed(
            record, secrets, partial(self.rollbacks.of_failed, record.release_id, secrets)
        )
        self._let_run(record.release_id, spec.target, run)

    def settle(self, release_id: str, spec: ReleaseSpec, settling: Coroutine[Any, Any, object]) -> None:
        """Keep the lane and lock groups of a release that was under way, until `settling` has ended it."""
        self.scheduler.resume(release_id, spec.target, spec.lock_groups)
        self._tell()
        self._tasks.spawn(self._run(release_id, settling), spec.target, release_id)

    def _configured(self, config: Config) -> None:
        self._start(self.scheduler.set_limit(config.releases.max_concurrent))

    async def _accept(
        self,
        spec: ReleaseSpec,
        secrets: Secrets,
        request_digest: str,
        caller: Caller,
        last_look: LastLook | None,
        earlier: asyncio.Task[str] | None,
    ) -> str:
        if earlier:
            await asyncio.wait({earlier})
        key = (spec.target, spec.request_id)
        if known := await earlier_release(self._audit.query, *key, request_digest):
            return known
        spec = await self._check(spec)
        # Nothing is awaited from here on until its place is taken: a drain comes before it or after it.
        release_id = new_release_id()
        accepted = ReleaseAccepted(
            spec=spec,
            caller=caller,
            request_digest=request_digest,
            with_secrets=bool(secrets),
            at=now(),
        )
        if spec.runs_nothing:
            receipt = await self._audit.append(release_id, accepted, *_end_at_once(spec))
            logger.info("succeeded as releases/%s: nothing is to be run (receipt %s)", release_id, receipt)
            return release_id
        # From here on its place is taken, so that a later request comes later, whatever is awaited.
        self.scheduler.reserve(release_id, spec.target, spec.lock_groups)
        async with self._placed(release_id, spec, secrets, last_look) as spec:
            self._vault.put(release_id, secrets)
            crash_point(CrashPoint.BEFORE_ACCEPT)
            await self._audit.append(release_id, msgspec.structs.replace(accepted, spec=spec))
            crash_point(CrashPoint.AFTER_ACCEPT)
            commands = _commands_in_words(spec)
            logger.info("accepted as releases/%s from %s: %s, %s", release_id, caller, spec.image, commands)
        return release_id

    @asynccontextmanager
    async def _placed(
        self,
        release_id: str,
        spec: ReleaseSpec,
        secrets: Secrets | None,
        last_look: LastLook | None = None,
    ) -> AsyncIterator[ReleaseSpec]:
        """Let a release that has its place wait for its turn once the block has recorded it."""
        try:
            if last_look:
                spec = await last_look(release_id, spec)
            yield spec
        except ApplicationError:
            self._vault.discard(release_id)
            self._start(self.scheduler.leave(release_id))
            raise
        self._confirm(release_id, spec, secrets)

    async def _check(self, spec: ReleaseSpec) -> ReleaseSpec:
        """Return a release with the lock groups that its target is in now; nothing is awaited behind that.

        Raises why it can't be accepted.
        """
        await self._check_accepting(spec)
        config = self._configuration.current
        spec = msgspec.structs.replace(spec, lock_groups=config.groups.of(spec.target))
        if not spec.runs_nothing:
            check_lane(self.scheduler, spec, config.releases.max_queued)
        return spec

    async def _check_accepting(self, spec: ReleaseSpec) -> None:
        """Raise why no release can be accepted now; nothing is awaited behind what changes at once."""
        if not spec.runs_nothing:
            await check_engine(self._monitor)
        await self._audit.check_room()
        if self._closing:
            raise Unavailable("SHUTTING_DOWN", "the daemon is shutting down: try again")
        if self.draining:
            raise Unavailable("DRAINING", "the daemon finishes what is under way and ends: try again later")

    def _confirm(
        self, release_id: str, spec: ReleaseSpec, secrets: Secrets | None, waited: timedelta = timedelta()
    ) -> None:
        limit = timedelta(seconds=self._configuration.current.releases.queue_timeout)
        timeout = self._call_later(limit - waited, self._time_out_waiting, release_id)
        self._waiting[release_id] = _Waiting(spec, secrets, limit, timeout)
        self._start(self.scheduler.confirm(release_id))

    def _start(self, release_ids: list[str]) -> None:
        """Start what the scheduler says is to be started; a daemon that closes starts nothing more."""
        for release_id in () if self._closing else release_ids:
            waiting = self._waiting.pop(release_id)
            waiting.timeout.cancel()
            secrets = waiting.secrets
            run = self._make.new(
                release_id, waiting.spec, secrets, partial(self.rollbacks.of_failed, release_id, secrets)
            )
            self._let_run(release_id, waiting.spec.target, run)
        self._tell()

    def _let_run(self, release_id: str, target: Target, run: ReleaseRun) -> None:
        self._runs[release_id] = run
        self._tasks.spawn(self._run(release_id, run.run()), target, release_id, run.masked)

    async def _run(self, release_id: str, work: Coroutine[Any, Any, object]) -> None:
        """See a release through to its end, and let the next ones start."""
        try:
            await work
        except Exception:
            # A defect. What runs of it is not known: lane and lock groups stay taken, its secrets are kept.
            logger.exception("unexpected error: the next start of the daemon will go on with the release")
            self._troubles.report(release_id, UNEXPECTED)
            return
        self._runs.pop(release_id, None)
        self._troubles.clear(release_id)
        self._vault.discard(release_id)
        self._start(self.scheduler.leave(release_id))

    def _end_waiting(self, release_id: str, verdict: Verdict, *before: Body) -> asyncio.Task[None]:
        """End a release that waits, without starting it; of several attempts at once the first counts."""
        waiting = self._waiting[release_id]
        if waiting.ending is None:
            self.scheduler.hold(release_id)
            ending = self._conclude_waiting(release_id, waiting, verdict, before)
            waiting.ending = self._tasks.spawn(ending, waiting.spec.target, release_id)
        return waiting.ending

    async def _conclude_waiting(
        self, release_id: str, waiting: _Waiting, verdict: Verdict, before: Sequence[Body]
    ) -> None:
        journal = Journal(self._audit, release_id, waiting.spec.commands)
        try:
            await journal.conclude(verdict, *before)
        except ApplicationError:
            waiting.ending = None
            self._start(self.scheduler.confirm(release_id))
            raise
        waiting.timeout.cancel()
        del self._waiting[release_id]
        self._vault.discard(release_id)
        self._start(self.scheduler.leave(release_id))

    def _time_out_waiting(self, release_id: str) -> None:
        waiting = self._waiting[release_id]
        limit = in_words(waiting.limit)
        verdict = failed(Cause.QUEUE_TIMED_OUT, f"the release waited in its queue for {limit}")
        # Should it not be possible to record that, it is tried again.
        waiting.timeout = self._call_later(RETRY_INTERVAL, self._time_out_waiting, release_id)
        self._end_waiting(release_id, verdict).add_done_callback(_log_error)

    @staticmethod
    def _call_later(
        delay: timedelta, callback: Callable[[str], None], release_id: str
    ) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(0.0, delay.total_seconds()), callback, release_id)

    def _accepted(self, task: asyncio.Task[str]) -> None:
        self._accepting -= 1
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _forget_request(self, key: tuple[Target, str], task: asyncio.Task[str]) -> None:
        if self._requests.get(key) is task:
            del self._requests[key]


def _end_at_once(spec: ReleaseSpec) -> Iterator[Body]:
    for index in range(len(spec.commands)):
        yield CommandFinished(command_index=index, state=CommandState.SKIPPED)
    yield StateChanged(state=ReleaseState.SUCCEEDED)


def _commands_in_words(spec: ReleaseSpec) -> str:
    if spec.settings is None:
        return f"{len(spec.commands)} commands"
    return f"those of its image and {len(spec.settings)} of its settings"


def _log_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("a release that waited too long could not be ended yet: %s", error)
