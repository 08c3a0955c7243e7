"""releasephase.v1.ReleaseService."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from copy import deepcopy
from datetime import timedelta
from functools import partial

import msgspec

from released.audit.filter import compile_filter, within
from released.audit.key import AuditKey
from released.audit.listings import NEWEST_FIRST, RELEASE_ORDERS
from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.audit.search import Place
from released.config import Configuration
from released.engine.engine import Engine
from released.errors import FailedPrecondition, InvalidRequest, Violation
from released.model.events import CommandFinished, CommandsResolved, Event, OutcomeReported
from released.model.forms import is_line
from released.model.release import Command, ReleaseSpec, Secrets, Target
from released.model.settings import effective_commands
from released.model.states import Outcome
from released.outcomes import Outcomes
from released.planning import Planner
from released.policy.policy import Policy
from released.releases import LastLook, Releases
from released.requests import GroupBusy, NewerInGroup, check_ended, check_rollback, earlier_release
from released.retries import Retry
from released.rollback import Values, rollback_spec
from released.service import convert
from released.service.admission import admit
from released.service.gate import Gate
from released.service.likeness import take
from released.service.names import no_release, release_id_of
from released.service.pages import Asked
from released.service.retrying import Request, admit_again, as_retry
from released.service.status import Context, streaming, unary
from released.service.validation import LONGEST_REASON, check_size, is_target, same_labels
from releasephase.v1 import release_event_pb2, release_pb2, release_service_pb2, release_service_pb2_grpc

IDLE_INTERVAL = timedelta(seconds=15)
"""How long a stream is silent at most."""

_Starting = release_service_pb2.StartReleaseRequest | release_service_pb2.RetryReleaseRequest

_OUTCOMES = {
    release_pb2.OUTCOME_DEPLOYED: Outcome.DEPLOYED,
    release_pb2.OUTCOME_ABANDONED: Outcome.ABANDONED,
}


class ReleaseService(release_service_pb2_grpc.ReleaseServiceServicer):
    """Starts, follows, finds and cancels releases, and takes down what became of their deployments."""

    def __init__(
        self,
        releases: Releases,
        outcomes: Outcomes,
        audit: AuditLog,
        key: AuditKey,
        gate: Gate,
        policy: Policy,
        engine: Engine,
        planner: Planner,
        configuration: Configuration,
        idle_interval: timedelta = IDLE_INTERVAL,
    ) -> None:
        self._releases = releases
        self._outcomes = outcomes
        self._audit = audit
        self._key = key
        self._gate = gate
        self._policy = policy
        self._engine = engine
        self._planner = planner
        self._configuration = configuration
        self._idle_interval = idle_interval

    @unary
    async def StartRelease(
        self,
        request: release_service_pb2.StartReleaseRequest,
        context: Context,
    ) -> release_pb2.Release:
        check_size(request)
        target = Target(request.application, request.environment)
        if is_target(target):  # else the request is refused for that
            self._gate.caller(target)
            self._gate.check_enabled(target)
        # What it was to be like may be another container now, or gone.
        is_like = request.like_container and not request.validate_only
        if is_like and (earlier := await self._repeated(target, request)):
            return self._message(await self._record(earlier))
        config = self._configuration.current
        taken = await take(request, config, self._policy, self._engine)
        with taken.explained():
            same = same_labels(taken.request)
            spec, secrets = await admit(taken.request, config, self._policy, same)
        spec = await self._with_settings(taken.recorded_in(spec, secrets))
        if request.validate_only:
            with self._naming_others():
                spec, position = await self._releases.preview(spec)
            return convert.plan_message(await self._planner.plan(spec, secrets), position)
        return await self._start(spec, secrets, self._request_digest(request))

    @unary
    async def RetryRelease(
        self,
        request: release_service_pb2.RetryReleaseRequest,
        context: Context,
    ) -> release_pb2.Release:
        record = await self._visible_record(release_id_of(request.name))
        retry = Retry(self._audit.query, self._releases.scheduler, record, from_start=request.from_start)
        try:
            commands = await retry.commands()
        except FailedPrecondition:
            # It may be this very request that has had the release tried again.
            if earlier := await self._repeated(record.spec.target, request):
                return self._message(await self._record(earlier))
            raise
        spec, secrets = await self._admit_again(record, request, commands or ())
        spec = await self._with_settings(as_retry(spec, record, commands))
        return await self._start(spec, secrets, self._request_digest(request), retry.last_look)

    @streaming
    async def WatchRelease(
        self,
        request: release_service_pb2.WatchReleaseRequest,
        context: Context,
    ) -> AsyncIterator[release_event_pb2.ReleaseEvent]:
        record = await self._visible_record(release_id_of(request.name))
        sequence = request.after_sequence
        if sequence < 0:
            raise InvalidRequest([Violation("after_sequence", "must not be negative")])
        if record.receipt and sequence >= record.receipt.sequence:
            # It was asked for what comes after the end.
            for event in await self._audit.query.events_after(record.release_id, sequence):
                yield convert.event_message(event, record)
            return
        following = self._audit.follow(record.release_id, sequence, self._idle_interval)
        async with aclosing(following) as batches:
            async for batch in batches:
                if _tells_results(batch) or not batch:
                    record = await self._record(record.release_id)
                if record.receipt and record.receipt.sequence <= sequence:
                    return  # it was asked for what comes after an end that has come since
                if not batch:
                    position = self._releases.scheduler.position(record.release_id)
                    yield convert.progress_notice(record, sequence, position)
                for event in batch:
                    yield convert.event_message(event, record)
                    sequence = event.sequence

    @unary
    async def GetRelease(
        self,
        request: release_service_pb2.GetReleaseRequest,
        context: Context,
    ) -> release_pb2.Release:
        return self._message(await self._visible_record(release_id_of(request.name)))

    @unary
    async def ListReleases(
        self,
        request: release_service_pb2.ListReleasesRequest,
        context: Context,
    ) -> release_service_pb2.ListReleasesResponse:
        asked = Asked.of(request, RELEASE_ORDERS, NEWEST_FIRST, (request.filter,))
        condition = within(self._gate.visible_targets(), compile_filter(request.filter))
        places = await self._audit.query.find_releases(condition, asked.order, asked.after, asked.size + 1)
        unreachable: list[str] = []

        async def read(places: Sequence[Place]) -> dict[int, release_pb2.Release]:
            records = await self._audit.query.releases_at(places)
            left_out = (place for place in places if place.sequence not in records)
            unreachable.extend(await self._audit.query.unreachable(left_out))
            return {sequence: self._message(record) for sequence, record in records.items()}

        releases, token = await asked.page(places, read)
        return release_service_pb2.ListReleasesResponse(
            releases=releases,
            next_page_token=token,
            unreachable=[convert.release_name(release_id or "-") for release_id in unreachable],
        )

    @unary
    async def CancelRelease(
        self,
        request: release_service_pb2.CancelReleaseRequest,
        context: Context,
    ) -> release_pb2.Release:
        if violations := list(_check_reason(request.reason)):
            raise InvalidRequest(violations)
        release_id = release_id_of(request.name)
        caller = self._gate.caller((await self._record(release_id)).spec.target)
        await self._releases.cancel(release_id, request.reason, caller)
        return self._message(await self._record(release_id))

    @unary
    async def ReportOutcome(
        self,
        request: release_service_pb2.ReportOutcomeRequest,
        context: Context,
    ) -> release_pb2.Release:
        if violations := list(_check_report(request)):
            raise InvalidRequest(violations)
        release_id = release_id_of(request.name)
        record = await self._record(release_id)
        caller = self._gate.caller(record.spec.target)
        report = OutcomeReported(outcome=_OUTCOMES[request.outcome], caller=caller, reason=request.reason)
        values = await self._values_again(record, request) if request.run_rollback else None
        roll_back = partial(self._releases.rollbacks.of_ended, values, caller, release_id) if values else None
        with self._naming_others():
            await self._outcomes.report(release_id, report, roll_back)
        return self._message(await self._record(release_id))

    async def _with_settings(self, spec: ReleaseSpec) -> ReleaseSpec:
        """Add what the application's settings are now to a release whose request names no commands."""
        if spec.settings is None:
            return spec
        settings = await self._audit.query.settings(spec.application)
        default_timeout = self._configuration.current.releases.default_command_timeout
        commands = effective_commands(settings.commands, spec.environment, default_timeout)
        return msgspec.structs.replace(spec, settings=commands, has_settings=bool(settings.commands))

    async def _values_again(
        self, record: ReleaseRecord, request: release_service_pb2.ReportOutcomeRequest
    ) -> Values | None:
        """What a rollback gets, admitted as if the release were started again; None: nothing to undo.

        Raises, too, why the release can't be rolled back.
        """
        check_ended(record)
        await check_rollback(self._audit.query, record)
        if (rollback := rollback_spec(record)) is None:
            return None
        spec, secrets = await self._admit_again(record, request, rollback.commands)
        digests = self._key.value_digests(spec.target, secrets.environment)
        return Values(secrets, spec.environment_names, digests, spec.secret_names)

    async def _admit_again(
        self, record: ReleaseRecord, request: Request, commands: Sequence[Command]
    ) -> tuple[ReleaseSpec, Secrets]:
        config = self._configuration.current
        return await admit_again(record, request, commands, config, self._policy, self._gate)

    async def _start(
        self, spec: ReleaseSpec, secrets: Secrets, request_digest: str, last_look: LastLook | None = None
    ) -> release_pb2.Release:
        """Accept a release of the caller of the RPC under way, and return it."""
        digests = self._key.value_digests(spec.target, secrets.environment)
        spec = msgspec.structs.replace(spec, environment_digests=digests)
        caller = self._gate.caller(spec.target)
        with self._naming_others():
            release_id = await self._releases.start(spec, secrets, request_digest, caller, last_look)
        return self._message(await self._record(release_id))

    @contextmanager
    def _naming_others(self) -> Iterator[None]:
        """Say which release of a lock group is in the way to a caller who may see that one."""
        try:
            yield
        except (GroupBusy, NewerInGroup) as error:
            if self._gate.may_read(error.other.target):
                raise error.naming_other() from error
            raise

    async def _visible_record(self, release_id: str) -> ReleaseRecord:
        record = await self._record(release_id)
        self._gate.caller(record.spec.target)
        return record

    async def _record(self, release_id: str) -> ReleaseRecord:
        record = await self._audit.query.release(release_id)
        if record is None:
            raise await no_release(self._audit, release_id)
        return record

    def _message(self, record: ReleaseRecord) -> release_pb2.Release:
        return convert.release_message(record, self._releases.scheduler.position(record.release_id))

    async def _repeated(self, target: Target, request: _Starting) -> str | None:
        """The release of a target that this request has started, if it did."""
        request_id = request.request_id.lower()
        return await earlier_release(self._audit.query, target, request_id, self._request_digest(request))

    def _request_digest(self, request: _Starting) -> str:
        """The keyed digest that tells a repeated request from another one of its request_id."""
        compared = deepcopy(request)
        # An agent may fetch new credentials for each try.
        compared.ClearField("registry_auth")
        return self._key.digest(compared.SerializeToString(deterministic=True))


def _check_report(request: release_service_pb2.ReportOutcomeRequest) -> Iterator[Violation]:
    yield from _check_reason(request.reason)
    if request.outcome not in _OUTCOMES:
        yield Violation("outcome", "must be DEPLOYED or ABANDONED")
    if request.run_rollback and request.outcome == release_pb2.OUTCOME_DEPLOYED:
        yield Violation("run_rollback", "must not be set for what was deployed")
    if request.env and not request.run_rollback:
        yield Violation("env", "is for a rollback: must be empty without run_rollback")


def _check_reason(reason: str) -> Iterator[Violation]:
    if len(reason) > LONGEST_REASON or not is_line(reason):
        yield Violation("reason", f"must be one line of {LONGEST_REASON} characters at most")


def _tells_results(batch: list[Event]) -> bool:
    """Whether the release's record has to be as new as these events."""
    return any(isinstance(event.body, CommandFinished | CommandsResolved) for event in batch)
