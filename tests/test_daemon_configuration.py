"""What counts at once of a configuration that has changed, on a real engine."""

import tempfile
from pathlib import Path

from released.release.cap import TAIL_BYTES
from support.app import Serve, seconds, serving_app
from support.docker_engine import Engine
from support.faulty_engine import faulty_engine


async def test_limits_of_releases_count_for_those_that_begin_later(serve: Serve) -> None:
    """One that had begun keeps its own; a release keeps the command timeout with which it was accepted."""
    async with serve() as app:
        before = await app.start("echo up; until [ -e /tmp/go ]; do sleep 0.1; done", application="blog")
        await app.until_output(before.name, b"up\n")
        app.reconfigure("releases", command_timeout=0.5, stop_grace=0.0)
        app.reconfigure("audit", output_cap=10)
        timed_out = await app.run("sleep 60")
        assert timed_out.cause == "COMMAND_TIMED_OUT"
        size = 10 + TAIL_BYTES + 7
        capped = await app.run(f"head -c {size} /dev/zero", timeout=60)
        assert sum(event.command_output.omitted_bytes for event in capped.events) == 7
        await app.cancel(before.name)
        (run,) = before.command_runs
        assert run.timeout == seconds(30 * 60)
        assert (await app.outcome(before.name)).state == "CANCELLED"


async def test_time_in_the_queue_is_limited_as_it_was_when_the_release_was_accepted(serve: Serve) -> None:
    """And the message names that limit."""
    async with serve(max_concurrent=1, queue_timeout=1.5) as app:
        running = await app.start("echo up; sleep 60", application="blog")
        await app.until_output(running.name, b"up\n")
        first = await app.start("true", application="shop")
        app.reconfigure("releases", queue_timeout=0.5)
        second = await app.start("true", application="wiki")
        messages = [(await app.outcome(release.name)).message for release in (first, second)]
        assert messages == [
            "The release waited in its queue for 1.5s.",
            "The release waited in its queue for 0.5s.",
        ]
        await app.cancel(running.name)
        await app.outcome(running.name)


async def test_patience_with_the_engine_counts_at_once(engine: Engine, busybox_image: str) -> None:
    """Each call gets its new time, and a release that begins later waits no longer for the engine."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        async with (
            faulty_engine(Path(folder), engine.url) as faulty,
            serving_app(faulty.url, busybox_image) as app,
        ):
            app.reconfigure("engine", control_timeout=0.5, patience=0.1)
            faulty.hangs = lambda line: "/containers/create" in line
            outcome = await app.run("true")
            assert outcome.cause == "ENGINE_LOST", outcome.message
