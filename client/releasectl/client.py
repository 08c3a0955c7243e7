"""The Python client for deploy agents."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Unpack

import grpc

from releasephase.v1 import daemon_service_pb2, release_event_pb2, release_pb2, release_service_pb2

from .audit_calls import AuditCalls
from .command_calls import CommandCalls
from .connection import CALL_TIMEOUT
from .exceptions import DaemonUnreachable, Unavailable
from .options import RegistryAuth, ReleaseOptions, RetryOptions, Target
from .requests import report_outcome_request, retry_release_request, start_release_request, variables_of

START_RETRIES = tuple(timedelta(seconds=delay) for delay in (0.1, 0.4, 1.5))
WATCH_RETRIES = tuple(timedelta(seconds=delay) for delay in (0.1, 0.2, 0.5, 1, 2, 3, *[5] * 11))
SILENCE = timedelta(seconds=60)


class ReleaseClient(AuditCalls, CommandCalls):
    """A connection to the daemon on this host. Use it with ``async with``.

    One client may be used by many tasks at once. Every method raises a subclass of
    :class:`releasectl.exceptions.ReleasephaseError` when the daemon can't be reached
    or refuses; a release that fails is not an error but a release whose state is FAILED.

    Args:
        socket: The path of the daemon's socket; if not given, RELEASED_SOCKET, else
            /run/released/released.sock, else $XDG_RUNTIME_DIR/released/released.sock.
        call_timeout: How long to wait for an answer. It does not limit how long a
            release or a watch may take.
        start_retries: How long to wait before each further attempt of `start_release`
            while the daemon is unavailable; 2 s in all.
        watch_retries: How long to wait before each further attempt of `watch_release`
            to go on after a lost connection; about a minute in all. An event that
            arrives starts the count anew.
    """

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        *,
        call_timeout: timedelta = CALL_TIMEOUT,
        start_retries: Sequence[timedelta] = START_RETRIES,
        watch_retries: Sequence[timedelta] = WATCH_RETRIES,
    ) -> None:
        super().__init__(socket, call_timeout)
        self._start_retries = start_retries
        self._watch_retries = watch_retries

    async def start_release(
        self, target: str | Target, image: str, **options: Unpack[ReleaseOptions]
    ) -> release_pb2.Release:
        """Start a release and return it as soon as it is accepted durably.

        It runs on whether or not anybody watches. While the daemon is unavailable the
        call is tried again, as `start_retries` says; the request_id keeps that from
        ever starting a second release.

        Args:
            target: ``"shop/live"``, or a :class:`Target`.
            image: The application's new image: a reference or an image id.
            **options: What else there is to say: :class:`ReleaseOptions`.

        Raises:
            InvalidRequest: the daemon refused a field; nothing was stored.
            AlreadyExists: the request_id came before with another request.
            TargetBusy: the target is busy and `on_busy` is REJECT.
            Unavailable: neither daemon nor engine came back in time.
            ValueError: an argument can't be said in the contract.
        """
        request = start_release_request(target, image, **options)
        return await self._start(lambda: self._call(self._releases.StartRelease, request))

    async def plan_release(
        self, target: str | Target, image: str, **options: Unpack[ReleaseOptions]
    ) -> release_pb2.Release:
        """Return what `start_release` would start with these arguments. Nothing is started or stored.

        The release returned has no name. Its `command_runs` are what it would run, with the source
        of each and its `expected_duration`; `queue_position` is 0 if it would start at once, and
        `remarks` say what could not be told, such as what an image declares that is not there yet.

        Raises:
            FailedPrecondition: what the image declares can't be run (`reason` COMMANDS_INVALID): the
                release would be accepted, and fail with that cause.
            As `start_release` for all else: what would be refused is refused here, all of it at once.
        """
        asked: ReleaseOptions = {**options, "validate_only": True}
        return await self.start_release(target, image, **asked)

    async def retry_release(self, name: str, **options: Unpack[RetryOptions]) -> release_pb2.Release:
        """Start a release that tries an earlier one again, and return it as soon as it is accepted durably.

        It has the image, the container and the commands of the earlier one; those that have
        succeeded are skipped. While the daemon is unavailable the call is tried again, as that
        of `start_release`. `wait_release` tells when it has ended.

        Args:
            name: The resource name of the earlier release, ``releases/{uuid}``.
            **options: What else there is to say: :class:`RetryOptions`.

        Raises:
            NotFound: there is no such release.
            FailedPrecondition: it has not ended (`reason` RELEASE_NOT_ENDED), there is nothing
                left to run (NOTHING_TO_RETRY), it has been tried again before (ALREADY_RETRIED),
                its rollback goes on (ROLLBACK_NOT_ENDED) or did not succeed (ROLLBACK_FAILED),
                or its target had a newer release (NEWER_RELEASE).
            InvalidRequest: variables are missing, or the release did not have them.
            As `start_release` for all else.
        """
        request = retry_release_request(name, **options)
        return await self._start(lambda: self._call(self._releases.RetryRelease, request))

    async def watch_release(
        self, name: str, after_sequence: int = 0
    ) -> AsyncGenerator[release_event_pb2.ReleaseEvent]:
        """Yield the events of a release, those of the past first, until it has ended.

        A lost connection is taken up again after the last event seen: each event comes
        once. A minute of silence counts as a lost connection, since the daemon gives a
        sign of life (a `progress_notice`) every 15 s. Attempts to come back are bounded
        by `watch_retries`. Whoever stops early should close the iterator
        (:func:`contextlib.aclosing`).

        Args:
            name: The resource name, ``releases/{uuid}``.
            after_sequence: Only events with a greater sequence are sent.

        Raises:
            NotFound: there is no such release.
            Unavailable: the daemon did not come back.
        """
        delays = iter(self._watch_retries)
        while True:
            try:
                async with aclosing(self._events(name, after_sequence)) as events:
                    async for event in events:
                        after_sequence = max(after_sequence, event.sequence)
                        delays = iter(self._watch_retries)
                        yield event
                return
            except Unavailable:
                delay = next(delays, None)
                if delay is None:
                    raise
            await asyncio.sleep(delay.total_seconds())

    async def wait_release(
        self, name: str, *, on_event: Callable[[release_event_pb2.ReleaseEvent], object] | None = None
    ) -> release_pb2.Release:
        """Follow a release to its end and return it then.

        Args:
            name: The resource name, ``releases/{uuid}``.
            on_event: Called with every event, those of the past first.

        Raises:
            As `watch_release`.
        """
        async for event in self.watch_release(name):
            if on_event is not None:
                on_event(event)
        return await self.get_release(name)

    async def run_release(
        self,
        target: str | Target,
        image: str,
        *,
        on_event: Callable[[release_event_pb2.ReleaseEvent], object] | None = None,
        **options: Unpack[ReleaseOptions],
    ) -> release_pb2.Release:
        """Start a release, follow it to its end and return it then.

        Cancelling this call stops the watching, not the release. With `validate_only` there is
        nothing to follow: the plan is returned, as by `plan_release`.

        Args and errors are those of `start_release` and `wait_release`.
        """
        if options.get("validate_only"):
            return await self.plan_release(target, image, **options)
        release = await self.start_release(target, image, **options)
        return await self.wait_release(release.name, on_event=on_event)

    async def get_release(self, name: str) -> release_pb2.Release:
        """Return one release.

        Args:
            name: The resource name, ``releases/{uuid}``.

        Raises:
            NotFound: there is no such release.
        """
        return await self._call(self._releases.GetRelease, release_service_pb2.GetReleaseRequest(name=name))

    async def list_releases(
        self, filter: str = "", *, order_by: str = ""
    ) -> AsyncGenerator[release_pb2.Release]:
        """Yield all releases that fit, newest first, a page at a time.

        Args:
            filter: As `list_releases_page`.
            order_by: As `list_releases_page`.

        Raises:
            InvalidRequest: the filter or the order is malformed.
        """
        page_token = ""
        while True:
            page = await self.list_releases_page(filter, order_by=order_by, page_token=page_token)
            for release in page.releases:
                yield release
            page_token = page.next_page_token
            if not page_token:
                return

    async def list_releases_page(
        self, filter: str = "", *, order_by: str = "", page_size: int = 0, page_token: str = ""
    ) -> release_service_pb2.ListReleasesResponse:
        """Return one page of releases, newest first.

        Args:
            filter: Of AIP-160 form; :func:`releasectl.release_filter` writes one.
            page_size: How many at most: 0 for the daemon's default of 50, 1000 at most.
            order_by: ``create_time``, ``end_time`` or ``duration``, with `` desc`` behind it
                from the greatest on; ``create_time desc`` if not given.
            page_token: The `next_page_token` of the page before, with the same filter and order.

        Raises:
            InvalidRequest: the filter, the order or the page token is malformed.
        """
        request = release_service_pb2.ListReleasesRequest(
            filter=filter, order_by=order_by, page_size=page_size, page_token=page_token
        )
        return await self._call(self._releases.ListReleases, request)

    async def cancel_release(self, name: str, reason: str = "") -> release_pb2.Release:
        """Ask for a release to be cancelled and return it as it is then.

        `wait_release` tells when it has ended. Cancelling twice is the same as once.

        Args:
            name: The resource name, ``releases/{uuid}``.
            reason: Why, for whoever reads the log.

        Raises:
            NotFound: there is no such release.
            ReleaseEnded: it ended otherwise before.
        """
        request = release_service_pb2.CancelReleaseRequest(name=name, reason=reason)
        return await self._call(self._releases.CancelRelease, request)

    async def report_outcome(
        self,
        name: str,
        outcome: release_pb2.Outcome.ValueType,
        reason: str = "",
        *,
        run_rollback: bool = False,
        env: Mapping[str, str] = MappingProxyType({}),
        secrets: Mapping[str, str] = MappingProxyType({}),
        registry_auth: RegistryAuth | None = None,
    ) -> release_pb2.Release:
        """Record what became of the deployment, once it has ended, and return the release.

        Saying the same again is as good as once, so that a call which was not answered may
        be repeated.

        Args:
            name: The resource name, ``releases/{uuid}``.
            outcome: OUTCOME_DEPLOYED or OUTCOME_ABANDONED.
            reason: Why, for whoever reads the log: one line without secrets.
            run_rollback: Whether to roll back what was abandoned: the release's `rollback` is the one
                that does. It is empty if there is nothing to undo.
            env: For the rollback, the variables of the release again, by the same names.
            secrets: The same, marked as secret.
            registry_auth: For the rollback, credentials for the image's registry.

        Raises:
            NotFound: there is no such release.
            FailedPrecondition: it has not ended (`reason` RELEASE_NOT_ENDED), something else
                was reported before (OUTCOME_REPORTED), or it can't be rolled back since its
                target had a newer release (NEWER_RELEASE), or its rollback has failed (ROLLBACK_FAILED).
            InvalidRequest: variables are missing, or the release did not have them.
        """
        request = report_outcome_request(
            name, outcome, reason, run_rollback, variables_of(env, secrets), registry_auth
        )
        return await self._call(self._releases.ReportOutcome, request)

    async def get_status(self) -> daemon_service_pb2.DaemonStatus:
        """Return the state of the daemon, its engine, its lanes and its audit log."""
        return await self._call(self._daemon.GetStatus, daemon_service_pb2.GetStatusRequest())

    async def drain(self) -> AsyncGenerator[daemon_service_pb2.DrainProgress]:
        """Let the daemon finish what is under way and end; yield how far it has got.

        It begins with the first item. From then on the daemon accepts no release and starts
        none that is queued; those wait for its next start. The iteration ends when nothing is
        under way. Whoever stops early should close the iterator (:func:`contextlib.aclosing`);
        the daemon goes on, and a second call follows the same drain.

        Raises:
            Unavailable: the daemon can't be reached, or went away before it was done.
        """
        async with aclosing(self._stream(self._daemon.Drain, daemon_service_pb2.DrainRequest())) as drain:
            async for progress in drain:
                yield progress

    async def _start(
        self, call: Callable[[], Coroutine[Any, Any, release_pb2.Release]]
    ) -> release_pb2.Release:
        """Make a call that may be repeated, and again while the daemon is unavailable."""
        for delay in self._start_retries:
            try:
                return await call()
            except Unavailable as error:
                if error.code is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(delay.total_seconds())
        return await call()

    async def _events(self, name: str, after_sequence: int) -> AsyncGenerator[release_event_pb2.ReleaseEvent]:
        """Yield the events of one connection."""
        request = release_service_pb2.WatchReleaseRequest(name=name, after_sequence=after_sequence)
        async with aclosing(self._stream(self._releases.WatchRelease, request)) as events:
            while True:
                try:
                    async with asyncio.timeout(SILENCE.total_seconds()):
                        event = await anext(events, None)
                except TimeoutError:
                    raise DaemonUnreachable(f"the daemon on {self._path} fell silent") from None
                if event is None:
                    return
                yield event
