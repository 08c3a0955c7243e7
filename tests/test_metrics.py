"""The metrics: what is counted of events and of releases that have ended, and how it is told apart."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from released.audit.records import CommandRecord, ReleaseRecord
from released.audit.writer import Commit
from released.engine.engine import Engine as DaemonsEngine
from released.engine.errors import EngineRefused, EngineUnreachable
from released.metrics.metrics import TARGETS, Metrics
from released.model.caller import Caller
from released.model.events import (
    OWN,
    AccessDenied,
    CommandOutput,
    ConfigurationRefused,
    ConfigurationReloaded,
    EngineReconnected,
    Failure,
    NewEvent,
)
from released.model.states import Cause, CommandState, ReleaseState, Stream
from support.docker_engine import Engine
from support.faulty_engine import faulty_engine
from support.prometheus import samples_in
from support.samples import RELEASE, a_spec

NO_ENGINE = "unix:///nonexistent/docker.sock"
T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path: a unix socket's may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


async def test_engine_tells_of_calls_that_fail_because_of_it(folder: Path, engine: Engine) -> None:
    """It refused, or did not answer in the time that it is given; what does not exist is its answer."""
    metrics = Metrics()
    async with faulty_engine(folder, engine.url) as faulty:
        caller = DaemonsEngine(faulty.url, timedelta(seconds=60))
        caller.listen(metrics.count_engine_error)
        assert not await caller.has_started("nonexistent")
        faulty.fails = lambda line: "/version" in line
        with pytest.raises(EngineRefused):
            await caller.version()
        faulty.fails = lambda line: False
        faulty.hangs = lambda line: "/version" in line
        caller.limit_calls(timedelta(seconds=0.1))
        with pytest.raises(EngineUnreachable):
            await caller.version()
        await caller.close()
    samples = samples_in(metrics.text().decode())
    assert samples['released_engine_errors_total{kind="refused"}'] == 1
    assert samples['released_engine_errors_total{kind="unreachable"}'] == 1


def test_only_so_many_targets_are_told_apart() -> None:
    """Callers make them up: the first ones have series of their own, whenever they come again."""
    metrics = Metrics()
    for number in [*range(TARGETS + 50), 0, TARGETS]:
        metrics.count_release(ended_release(application=f"app{number}"))
    samples = samples_in(metrics.text().decode())
    series = [name for name in samples if name.startswith("released_releases_total")]
    assert len(series) == TARGETS + 1
    assert samples['released_releases_total{result="succeeded",target="app0/live"}'] == 2
    assert samples['released_releases_total{result="succeeded",target="other"}'] == 51


def test_clock_that_is_set_back_makes_no_negative_duration() -> None:
    """A sum that falls would look like a restart."""
    metrics = Metrics()
    metrics.count_release(replace(ended_release(), end_time=T0 - timedelta(hours=1)))
    samples = samples_in(metrics.text().decode())
    assert samples['released_release_duration_seconds_sum{result="succeeded"}'] == 0


def test_release_that_ended_in_its_queue_has_waited_and_never_run() -> None:
    """All of its time is waiting."""
    metrics = Metrics()
    failure = Failure(cause=Cause.QUEUE_TIMED_OUT, message="It waited.")
    record = replace(
        ended_release(), state=ReleaseState.FAILED, failure=failure, start_time=None, commands=()
    )
    metrics.count_release(record)
    samples = samples_in(metrics.text().decode())
    assert samples["released_release_queue_seconds_sum"] == 60
    assert samples['released_release_duration_seconds_count{result="failed"}'] == 0
    name = 'released_releases_total{cause="queue_timed_out",result="failed",target="shop/live"}'
    assert samples[name] == 1


def test_events_of_the_daemon_itself_are_counted() -> None:
    """Refusals that were gathered in one event count as many."""
    denied = AccessDenied(caller=Caller(uid=1, gid=1, pid=1), method="Drain", reason="no", times=3)
    output = CommandOutput(stream=Stream.STDERR, omitted_bytes=7)
    bodies = (denied, ConfigurationReloaded(), ConfigurationRefused(message="no"), EngineReconnected())
    metrics = Metrics()
    own = [NewEvent(OWN, body) for body in bodies]
    metrics.count_commit(Commit([*own, NewEvent(RELEASE, output, b"ab")], seconds=0.002))
    samples = samples_in(metrics.text().decode())
    assert samples["released_access_denied_total"] == 3
    assert samples['released_configuration_reloads_total{result="accepted"}'] == 1
    assert samples['released_configuration_reloads_total{result="refused"}'] == 1
    assert samples["released_engine_reconnections_total"] == 1
    assert samples['released_output_bytes_total{stream="stderr"}'] == 2
    assert samples['released_output_omitted_bytes_total{stream="stderr"}'] == 7
    assert samples["released_audit_commit_seconds_sum"] == 0.002


def ended_release(**spec: str) -> ReleaseRecord:
    """One that was started when it was accepted, and took a minute."""
    command = CommandRecord(
        index=0,
        state=CommandState.SUCCEEDED,
        exit_code=0,
        signal=0,
        start_time=T0,
        end_time=T0 + timedelta(minutes=1),
        stdout_bytes=0,
        stderr_bytes=0,
        omitted_bytes=0,
    )
    return ReleaseRecord(
        release_id=RELEASE,
        accept_sequence=1,
        last_sequence=9,
        receipt=None,
        outcome=None,
        cancel=None,
        engine_version="",
        rollback="",
        spec=a_spec("true", **spec),
        commands_known=True,
        caller=None,
        request_digest="",
        with_secrets=False,
        accepted_at=None,
        state=ReleaseState.SUCCEEDED,
        failure=None,
        image_id="",
        image_digest="",
        container_id="",
        container_name="",
        create_time=T0,
        start_time=T0,
        end_time=T0 + timedelta(minutes=1),
        commands=(command,),
    )


def test_page_has_every_metric_with_its_type_and_labels() -> None:
    """Whoever adds one writes it down there."""
    page = Path(__file__).parent.parent.joinpath("docs", "metrics.md").read_text()
    rows = re.findall(r"^\| `(released_\w+)` \| (\w+) \| (.*?) ?\|", page, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    metrics = Metrics()
    metrics.count_release(ended_release())
    families = text_string_to_metric_families(metrics.text().decode())
    written = {}
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        written[name] = (family.type, labels)
    assert documented == written
