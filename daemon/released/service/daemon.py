"""releasephase.v1.DaemonService."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from released import __version__
from released.audit.log import AuditLog
from released.config import Configuration
from released.drain import Drain
from released.errors import ApplicationError
from released.model.patterns import any_matches
from released.model.release import Target
from released.monitor import EngineMonitor
from released.orphans import Orphan, Orphans
from released.releases import Releases
from released.scheduler import GroupView, LaneView, Member
from released.service.convert import receipt_message, release_name
from released.service.gate import Gate
from released.service.status import Context, streaming, unary
from released.troubles import Troubles
from releasephase.v1 import daemon_service_pb2, daemon_service_pb2_grpc


class DaemonService(daemon_service_pb2_grpc.DaemonServiceServicer):
    """Tells how the daemon is doing, and ends it in order."""

    def __init__(
        self,
        releases: Releases,
        monitor: EngineMonitor,
        audit: AuditLog,
        troubles: Troubles,
        orphans: Orphans,
        drain: Drain,
        gate: Gate,
        configuration: Configuration,
        engine_url: str,
    ) -> None:
        self._releases = releases
        self._monitor = monitor
        self._audit = audit
        self._troubles = troubles
        self._orphans = orphans
        self._drain = drain
        self._gate = gate
        self._configuration = configuration
        self._engine_url = engine_url
        self._start_time = datetime.now(UTC)

    @unary
    async def GetStatus(
        self,
        request: daemon_service_pb2.GetStatusRequest,
        context: Context,
    ) -> daemon_service_pb2.DaemonStatus:
        visible = self._gate.visible_targets()
        health = await self._monitor.check()
        usage = self._audit.usage()
        scheduler = self._releases.scheduler
        status = daemon_service_pb2.DaemonStatus(
            version=__version__,
            engine=daemon_service_pb2.EngineStatus(
                url=self._engine_url,
                reachable=health.reachable,
                version=health.version,
                message=health.message,
            ),
            lanes=[
                self._lane_status(lane) for lane in scheduler.lanes() if any_matches(visible, lane.target)
            ],
            lock_groups=[
                group_status(group, self._gate.may_read)
                for group in scheduler.groups()
                if any(self._gate.may_read(member.target) for member in group.running + group.waiting)
            ],
            running_releases=scheduler.running,
            max_concurrent=scheduler.max_concurrent,
            audit=daemon_service_pb2.AuditStatus(
                path=str(self._audit.path),
                last_sequence=self._audit.head.sequence,
                head=receipt_message(self._audit.head) if self._audit.head.sequence else None,
                size_bytes=usage.size_bytes,
                free_bytes=usage.free_bytes,
                writable=self._audit.health.writable,
                message=self._audit.health.message,
                reserve_bytes=self._audit.reserve_bytes,
            ),
            # Whose they were is not known here.
            orphans=[_orphan_status(orphan) for orphan in self._orphans.stuck() if visible is None],
            draining=self._drain.begun,
            # It may name what others have.
            configuration=self._configuration_status() if visible is None else None,
        )
        status.start_time.FromDatetime(self._start_time)
        with suppress(ApplicationError):  # a log that can't be read: the rest is told all the same
            await self._tell_retention(status.audit)
        return status

    def _lane_status(self, lane: LaneView) -> daemon_service_pb2.LaneStatus:
        status = lane_status(lane, self._troubles)
        slow = next(filter(None, map(self._releases.slow_command, lane.running)), None)
        if slow:
            status.slow_command.label = slow.label
            status.slow_command.start_time.FromDatetime(slow.since)
            status.slow_command.median.FromTimedelta(slow.median)
        return status

    async def _tell_retention(self, audit: daemon_service_pb2.AuditStatus) -> None:
        kept = await self._audit.query.kept_since()
        if kept.events:
            audit.events_since_time.FromDatetime(kept.events)
        if kept.output:
            audit.output_since_time.FromDatetime(kept.output)

    def _configuration_status(self) -> daemon_service_pb2.ConfigurationStatus:
        return daemon_service_pb2.ConfigurationStatus(
            keys_at_restart=self._configuration.at_restart,
            message=self._configuration.refusal,
        )

    @streaming
    async def Drain(
        self,
        request: daemon_service_pb2.DrainRequest,
        context: Context,
    ) -> AsyncIterator[daemon_service_pb2.DrainProgress]:
        await self._drain.begin(self._gate.caller())
        async for running, queued in self._drain.follow():
            yield daemon_service_pb2.DrainProgress(running_releases=running, queued_releases=queued)


def lane_status(lane: LaneView, troubles: Troubles) -> daemon_service_pb2.LaneStatus:
    """Return who is in a lane, and the trouble of the first of them that has any.

    Of several that are under way, which only resumed ones can be, that one is named.
    """
    status = daemon_service_pb2.LaneStatus(
        target=str(lane.target),
        queued_releases=[release_name(release_id) for release_id in lane.waiting],
    )
    # One that waits may be stuck, too: its end in the queue can't be recorded, say.
    stuck = next(filter(troubles.of, (*lane.running, *lane.waiting)), "")
    if trouble := troubles.of(stuck):
        status.trouble = trouble.text
        status.trouble_time.FromDatetime(trouble.since)
    if lane.running:
        status.running_release = release_name(stuck if stuck in lane.running else lane.running[0])
    return status


def group_status(group: GroupView, may_read: Callable[[Target], bool]) -> daemon_service_pb2.LockGroupStatus:
    """Return who has a lock group and who waits for it; by name only those that the caller may read."""

    def names(members: Sequence[Member]) -> list[str]:
        return [release_name(each.release_id if may_read(each.target) else "-") for each in members]

    return daemon_service_pb2.LockGroupStatus(
        name=group.name, running_releases=names(group.running), queued_releases=names(group.waiting)
    )


def _orphan_status(orphan: Orphan) -> daemon_service_pb2.OrphanStatus:
    status = daemon_service_pb2.OrphanStatus(
        container_id=orphan.container.container_id,
        container_name=orphan.container.name,
        release=release_name(orphan.container.release_id),
        message=orphan.message,
    )
    status.first_seen_time.FromDatetime(orphan.first_seen_time)
    return status
