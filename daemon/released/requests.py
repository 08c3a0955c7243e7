"""What a request has to meet before anything is done for it."""

import hmac

from released.audit.reader import AuditReader
from released.audit.records import ReleaseRecord
from released.config.lock_groups import LockGroups
from released.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from released.model.release import ReleaseSpec, Target
from released.model.states import OnBusy, ReleaseState
from released.monitor import EngineMonitor
from released.scheduler import Member, Scheduler


class GroupBusy(Aborted):
    """A lock group of the target is taken; who has it is only for those who may read the holder's target."""

    def __init__(self, target: Target, group: str, holder: Member) -> None:
        self.target, self.group, self.other = target, group, holder
        super().__init__(
            "GROUP_BUSY",
            f"{target} is in the lock group {group}, of which another release is under way or waits",
            {"target": str(target), "lock_group": group},
        )

    def naming_other(self) -> Aborted:
        """The same, for a caller who may know who has the group."""
        name = f"releases/{self.other.release_id}"
        return Aborted(
            self.reason,
            f"{self.target} is in the lock group {self.group}, which {name} of {self.other.target} has",
            {**self.metadata, "release": name},
        )


class NewerInGroup(FailedPrecondition):
    """Another target of a lock group has had a newer release; which is only for those who may read it."""

    def __init__(self, target: Target, newer: Member) -> None:
        self.target, self.other = target, newer
        super().__init__("NEWER_RELEASE", self._said("", ""), {"target": str(target)})

    def naming_other(self) -> FailedPrecondition:
        """The same, for a caller who may know whose it is."""
        name = f"releases/{self.other.release_id}"
        message = self._said(f", {self.other.target},", f", {name}")
        return FailedPrecondition(self.reason, message, {**self.metadata, "release": name})

    def _said(self, which: str, release: str) -> str:
        whose = f"another target of a lock group of {self.target}{which} has had a release"
        return f"{whose} since{release}: {TOO_LATE}"


TOO_LATE = (
    "what this one did can't be undone by itself any more; report its outcome without run_rollback, and undo "
    "by hand what has to be"
)


async def earlier_release(
    query: AuditReader, target: Target, request_id: str, request_digest: str
) -> str | None:
    """Return the release that an earlier request of this id started for the same target, if there is one.

    Raises AlreadyExists if that was another request.
    """
    if not request_id:
        return None
    record = await query.release_of_request(target, request_id)
    if record is None:
        return None
    if not hmac.compare_digest(record.request_digest, request_digest):
        raise AlreadyExists(
            "REQUEST_ID_REUSED",
            f"request_id {request_id} came with another request before: use a new one",
            {"release": f"releases/{record.release_id}"},
        )
    return record.release_id


async def check_engine(monitor: EngineMonitor) -> None:
    """Raise Unavailable without an engine. What was found gone is asked again: it may be back."""
    health = monitor.health
    if health is None or not health.reachable:
        health = await monitor.check()
    if not health.reachable:
        raise Unavailable("ENGINE_UNAVAILABLE", f"the container engine does not answer: {health.message}")


def check_lane(scheduler: Scheduler, spec: ReleaseSpec, max_queued: int) -> None:
    """Raise why a release can't take its place in lane and lock groups.

    Nobody may fill the memory with what waits.
    """
    target = spec.target
    if spec.on_busy is OnBusy.REJECT:
        if scheduler.is_busy(target):
            raise Aborted("TARGET_BUSY", f"{target} has a release under way", {"target": str(target)})
        for group in spec.lock_groups:
            if holder := scheduler.holder(group):
                raise GroupBusy(target, group, holder)
    if scheduler.queued(target) >= max_queued:
        raise ResourceExhausted(
            "LANE_FULL",
            f"{target} has {scheduler.queued(target)} releases waiting, and [releases] max_queued is "
            f"{max_queued}: try again when one of them has started, or cancel some",
            {"target": str(target)},
        )


async def check_newest(
    query: AuditReader,
    scheduler: Scheduler,
    record: ReleaseRecord,
    rollback: ReleaseSpec,
    rollback_id: str,
    groups: LockGroups,
) -> None:
    """Raise why a release can't be rolled back any more: another one waits, or has begun to run commands
    since, of its target or of one that shares a lock group with it, then or now.

    The rollback has its place in lane and groups: what was accepted and is not in the log yet is there, too.
    """
    target = rollback.target
    newer = scheduler.others(target, rollback.lock_groups, {record.release_id, rollback_id})
    for each in await query.newer_releases(record):
        shared = {*each.lock_groups, *groups.of(each.target)}
        if each.target == target or not shared.isdisjoint(rollback.lock_groups):
            newer.append(Member(each.release_id, each.target))
    for own in (each for each in newer if each.target == target):
        name = f"releases/{own.release_id}"
        message = f"{target} has had another release since, {name}: {TOO_LATE}"
        raise FailedPrecondition("NEWER_RELEASE", message, {"target": str(target), "release": name})
    for other in newer:
        raise NewerInGroup(target, other)


async def rollbacks_of(query: AuditReader, record: ReleaseRecord) -> list[ReleaseRecord]:
    """Return the rollback of a release and what tried that again, in the order of their acceptance."""
    rollback = await query.release(record.rollback) if record.rollback else None
    return [rollback, *await query.retries(rollback.release_id)] if rollback else []


async def check_rollback(query: AuditReader, record: ReleaseRecord) -> None:
    """Raise FailedPrecondition for a release whose rollback has ended without having undone all of it."""
    rollbacks = await rollbacks_of(query, record)
    rollback = rollbacks[-1] if rollbacks else None
    if rollback is None or not rollback.state.is_terminal or rollback.state is ReleaseState.SUCCEEDED:
        return
    name = f"releases/{rollback.release_id}"
    raise FailedPrecondition(
        "ROLLBACK_FAILED",
        f"the release has a rollback, which is {rollback.state}, and gets no second one: unless another "
        f"release of {record.spec.target} has run since, go on with that one (`releasectl retry {name}`); to "
        "report the outcome, do it without run_rollback",
        {"rollback": name, "state": rollback.state},
    )


def check_ended(record: ReleaseRecord) -> None:
    """Raise FailedPrecondition for a release that has not ended: what it has done is not known yet."""
    if not record.state.is_terminal:
        message = f"the release is {record.state}: come back when it has ended, or cancel it"
        raise FailedPrecondition("RELEASE_NOT_ENDED", message, {"state": record.state})


async def refuse_cancel(query: AuditReader, release_id: str) -> None:
    """Raise why a release that neither waits nor runs can't be cancelled, unless it has been."""
    record = await query.release(release_id)
    if record is None:
        raise NotFound("RELEASE_NOT_FOUND", f"there is no release {release_id}")
    if record.state is not ReleaseState.CANCELLED:
        state = record.state if record.state.is_terminal else "ending"
        raise FailedPrecondition("RELEASE_ENDED", f"the release can't be cancelled: it is {state}")
