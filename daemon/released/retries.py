"""Whether a release can be tried again, by all that has happened since."""

import msgspec

from released.audit.reader import AuditReader
from released.audit.records import ReleaseRecord
from released.errors import FailedPrecondition
from released.model.release import Command, ReleaseSpec
from released.requests import check_ended, rollbacks_of
from released.retry import FROM_START, commands_again
from released.scheduler import Scheduler


class Retry:
    """One retry of a release, which is asked for.

    To go on from what failed is to rest on what the release did: that is so until another one of its target
    has run commands. From the start, it rests on nothing, as a new release does. To undo what a release did
    always rests on it.
    """

    def __init__(
        self, query: AuditReader, scheduler: Scheduler, record: ReleaseRecord, *, from_start: bool
    ) -> None:
        self._query = query
        self._scheduler = scheduler
        self._record = record
        self._from_start = from_start

    async def commands(self) -> tuple[Command, ...] | None:
        """Return what it runs as things are now; None if it was never known. Raises FailedPrecondition."""
        record = self._record
        check_ended(record)
        if retries := await self._query.retries(record.release_id):
            raise _already(retries[-1].release_id)
        rollbacks = await self._rollbacks()
        commands = commands_again(record, rollbacks, from_start=self._from_start)
        if (record.spec.rollback_of or not self._from_start) and (newer := await self._newer()):
            raise self._too_late(newer)
        return commands

    async def last_look(self, retry_id: str, spec: ReleaseSpec) -> ReleaseSpec:
        """Return what the retry is to be that has its place in its lane now, by what has happened meanwhile.

        Whatever comes from here on comes behind it. Raises FailedPrecondition.
        """
        uncertain = self._scheduler.unconfirmed_before(retry_id)
        self._record = await self._query.release(self._record.release_id) or self._record
        commands = await self.commands()
        if uncertain:  # it is being recorded: it may try the same release again, or roll it back
            raise self._too_late(uncertain[0])
        return spec if commands is None else msgspec.structs.replace(spec, commands=commands)

    async def _rollbacks(self) -> list[ReleaseRecord]:
        """The rollback of the release and what tried that again. Raises FailedPrecondition if one goes on."""
        rollbacks = await rollbacks_of(self._query, self._record)
        if rollbacks and not rollbacks[-1].state.is_terminal:
            last = rollbacks[-1]
            name = f"releases/{last.release_id}"
            raise FailedPrecondition(
                "ROLLBACK_NOT_ENDED",
                f"the release is being rolled back, and {name} is {last.state}: try again when it has ended",
                {"rollback": name, "state": last.state},
            )
        return rollbacks

    async def _newer(self) -> str | None:
        """A release that ran since, or will: after the one whose doings this one rests on."""
        undone = self._record.spec.rollback_of
        return await self._query.newer_that_ran(
            (await self._query.release(undone) if undone else None) or self._record
        )

    def _too_late(self, release_id: str) -> FailedPrecondition:
        spec = self._record.spec
        what_to_do = (
            "what is to be undone has been built upon; undo by hand what has to be"
            if spec.rollback_of
            else f"start a new release instead, or try this one again {FROM_START}"
        )
        name = f"releases/{release_id}"
        message = f"{spec.target} has had another release since, {name}: {what_to_do}"
        return FailedPrecondition("NEWER_RELEASE", message, {"release": name})


def _already(release_id: str) -> FailedPrecondition:
    name = f"releases/{release_id}"
    return FailedPrecondition(
        "ALREADY_RETRIED",
        f"the release has been tried again already, as {name}: try that one again instead",
        {"release": name},
    )
