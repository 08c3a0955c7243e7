"""Timeouts and cancelling on a real engine: SIGTERM, the grace, SIGKILL, removed, then reported."""

import asyncio

import aiodocker
import grpc.aio
import pytest

from releasephase.v1.release_pb2 import Release
from support.app import App, Serve, seconds


async def containers_of(docker: aiodocker.Docker, name: str) -> list[str]:
    found = await docker.containers.list(all=True, filters=f'{{"label": ["releasephase.release={name}"]}}')
    return [container.id for container in found]


async def test_a_command_that_exceeds_its_timeout_fails_the_release(app: App) -> None:
    """It is ended by SIGTERM, which its children get, too."""
    outcome = await app.run("true", "sleep 1000", "echo never", timeout=0.5)
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMAND_TIMED_OUT")
    assert outcome.command_states == ["SUCCEEDED", "TIMED_OUT", "SKIPPED"]
    run = outcome.release.command_runs[1]
    assert (run.exit_code, run.signal) == (143, 15)
    assert [event.signal_sent.signal for event in outcome.events if event.HasField("signal_sent")] == [15]


async def test_the_result_of_a_timeout_is_reported_after_the_container_is_gone(app: App) -> None:
    """Whoever reads that a command timed out can rely on it that nothing of it runs any more."""
    outcome = await app.run("sleep 1000", timeout=0.2)
    kinds = outcome.kinds
    assert kinds.index("container_removed") < kinds.index("command_finished") < len(kinds) - 1


async def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(serve: Serve) -> None:
    """SIGKILL has no exit code that was seen; the record says which signal ended it."""
    async with serve(stop_grace=0.5) as app:
        outcome = await app.run("trap '' TERM; echo deaf; while :; do sleep 1; done", timeout=0.5)
    assert outcome.cause == "COMMAND_TIMED_OUT"
    run = outcome.release.command_runs[0]
    assert not run.HasField("exit_code")
    assert run.signal == 9
    assert [event.signal_sent.signal for event in outcome.events if event.HasField("signal_sent")] == [15, 9]
    assert outcome.output() == b"deaf\n"


async def test_a_command_that_ends_well_on_sigterm_keeps_its_exit_code(app: App) -> None:
    """It has time to clean up and to say so; it has timed out all the same."""
    outcome = await app.run("trap 'echo bye; exit 0' TERM; sleep 1000 & wait", timeout=0.5)
    assert outcome.cause == "COMMAND_TIMED_OUT"
    run = outcome.release.command_runs[0]
    assert (run.exit_code, run.signal) == (0, 0)
    assert outcome.output() == b"bye\n"


async def test_a_release_that_exceeds_its_timeout(app: App) -> None:
    """The timeout of the release counts over all of its commands."""
    outcome = await app.run("true", "sleep 1000", "true", release_timeout=seconds(2))
    assert (outcome.state, outcome.cause) == ("FAILED", "RELEASE_TIMED_OUT")
    assert outcome.command_states == ["SUCCEEDED", "TIMED_OUT", "SKIPPED"]
    assert outcome.release.failure.command_index == 1


async def test_cancelling_a_running_command(app: App, docker: aiodocker.Docker) -> None:
    """It is stopped as by a timeout, and the release is CANCELLED, with the reason in the log."""
    release = await app.start("echo up; sleep 1000", "true")
    await app.until_output(release.name, b"up\n")
    await app.cancel(release.name, "wrong version")
    outcome = await app.outcome(release.name)
    assert outcome.state == "CANCELLED"
    assert outcome.command_states == ["CANCELLED", "SKIPPED"]
    assert not outcome.release.HasField("failure")
    reasons = [e.cancel_requested.reason for e in outcome.events if e.HasField("cancel_requested")]
    assert reasons == ["wrong version"]
    assert outcome.release.cancel_reason == "wrong version"
    assert outcome.release.cancel_caller.pid == outcome.release.caller.pid
    assert outcome.release.start_time.seconds <= outcome.release.cancel_time.seconds
    assert await containers_of(docker, release.name) == []


async def test_cancelling_twice_is_the_same_as_once(app: App) -> None:
    """A second request changes nothing and is answered with the release."""
    release = await app.start("echo up; sleep 1000")
    await app.until_output(release.name, b"up\n")
    await asyncio.gather(*(app.cancel(release.name) for _ in range(5)))
    outcome = await app.outcome(release.name)
    assert outcome.kinds.count("cancel_requested") == 1
    assert (await app.cancel(release.name)).state == Release.STATE_CANCELLED


async def test_cancelling_a_queued_release_does_not_start_it(app: App) -> None:
    """It ends at once, and the one before it is left alone."""
    first = await app.start("echo up; sleep 1000")
    second = await app.start("echo never")
    assert second.queue_position == 1
    assert (await app.cancel(second.name)).state == Release.STATE_CANCELLED
    outcome = await app.outcome(second.name)
    assert outcome.command_states == ["SKIPPED"]
    assert outcome.kinds == ["accepted", "cancel_requested", "command_finished", "state_changed"]
    await app.until_output(first.name, b"up\n")
    await app.cancel(first.name)
    assert (await app.outcome(first.name)).state == "CANCELLED"


async def test_cancelling_what_has_ended_is_refused(app: App) -> None:
    """A release that succeeded stays so."""
    outcome = await app.run("true")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await app.cancel(outcome.release.name)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_cancelling_while_the_container_does_not_get_ready(app: App) -> None:
    """An entrypoint that hangs can be cancelled, too."""
    release = await app.start("true", entrypoint={"arguments": ["sh", "-c", "sleep 1000"]})
    await app.until(release.name, "container_started")
    await app.cancel(release.name)
    outcome = await app.outcome(release.name)
    assert (outcome.state, outcome.command_states) == ("CANCELLED", ["SKIPPED"])


async def test_waiting_too_long_in_the_queue(serve: Serve) -> None:
    """A release that never got its turn fails with a cause of its own, without starting."""
    async with serve(queue_timeout=0.3) as app:
        first = await app.start("echo up; sleep 1000")
        await app.until_output(first.name, b"up\n")
        outcome = await app.run("echo never")
        await app.cancel(first.name)
        await app.outcome(first.name)
    assert (outcome.state, outcome.cause) == ("FAILED", "QUEUE_TIMED_OUT")
    assert outcome.command_states == ["SKIPPED"]
