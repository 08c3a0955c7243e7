"""The metrics: what each is called, what it counts, and its labels.

No label has text of a caller's but the deployment target, whose form is checked, and of which
only so many are told apart. docs/metrics.md has them all.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    Metric,
    generate_latest,
)
from prometheus_client.registry import Collector

from released import __version__
from released.audit.records import ReleaseRecord
from released.audit.writer import Commit
from released.engine.errors import EngineError, EngineRefused, EngineUnreachable
from released.model import events
from released.model.release import Target
from released.model.states import Cause, CommandState, ReleaseState, Stream

TARGETS = 100
"""So many deployment targets have series of their own, those that came first: callers make them up."""

OTHER_TARGETS = "other"
"""What the others are counted as. It has no slash, which every target has."""

SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

RELEASE_RESULTS = (ReleaseState.SUCCEEDED, ReleaseState.FAILED, ReleaseState.CANCELLED)
COMMAND_RESULTS = (
    CommandState.SUCCEEDED,
    CommandState.FAILED,
    CommandState.TIMED_OUT,
    CommandState.CANCELLED,
)


class Metrics:
    """Counts from zero; `text` is what Prometheus reads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._targets: set[Target] = set()
        self.ended = deque[str]()
        """The releases whose end was committed: for whoever looks up what is to be counted of them."""
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        build = Info("released_build", "The version of the daemon.", registry=self._registry)
        build.info({"version": __version__})
        self._start_time = gauge("released_start_time_seconds", "When counting began, in Unix time.")
        self._write_time = gauge(
            "released_metrics_write_time_seconds", "When this file was written, in Unix time."
        )
        self.engine_up = gauge("released_engine_up", "Whether the container engine answered the last check.")
        self.audit_writable = gauge("released_audit_writable", "Whether the audit log takes new releases.")
        self.running = gauge("released_releases_running", "Releases under way.")
        self.queued = gauge("released_releases_queued", "Releases that wait for their turn.")
        self._accepted = counter("released_releases_accepted_total", "Releases that were accepted.")
        self._adopted = counter(
            "released_releases_adopted_total",
            "Releases that an earlier daemon had begun, and this one went on with.",
        )
        self._results = counter(
            "released_releases_total", "Releases that have ended.", "target", "result", "cause"
        )
        self._release_seconds = histogram(
            "released_release_duration_seconds", "From leaving the queue to the end.", SECONDS, "result"
        )
        self._queue_seconds = histogram(
            "released_release_queue_seconds",
            "From being accepted to leaving the queue, or ending in it; seen when a release has ended.",
            SECONDS,
        )
        self._command_seconds = histogram(
            "released_command_duration_seconds",
            "From letting a release command go to its end; seen when its release has ended.",
            SECONDS,
            "result",
        )
        self._output_bytes = counter(
            "released_output_bytes_total", "Output of containers that was stored.", "stream"
        )
        self._omitted_bytes = counter(
            "released_output_omitted_bytes_total",
            "Output of containers beyond the cap, not stored.",
            "stream",
        )
        self._commit_seconds = histogram(
            "released_audit_commit_seconds", "How long a commit of the audit log took.", COMMIT_SECONDS
        )
        self._engine_errors = counter(
            "released_engine_errors_total",
            "Calls that the container engine did not answer (unreachable) or could not serve (refused).",
            "kind",
        )
        self._reconnections = counter(
            "released_engine_reconnections_total",
            "How often a release went on after the container engine had been away.",
        )
        self._denials = counter("released_access_denied_total", "Calls refused for who made them.")
        self._reloads = counter(
            "released_configuration_reloads_total", "How often the configuration was read again.", "result"
        )
        self._begin_with_zero()
        self._start_time.set_to_current_time()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        self._write_time.set_to_current_time()
        return generate_latest(_WithoutCreationTimes(self._registry))

    def count_commit(self, commit: Commit) -> None:
        """Count what has become durable, and note which releases have ended."""
        self._commit_seconds.observe(commit.seconds)
        for event in commit.events:
            match event.body:
                case events.CommandOutput(stream=stream, omitted_bytes=omitted):
                    self._output_bytes.labels(_label(stream)).inc(len(event.output or b""))
                    self._omitted_bytes.labels(_label(stream)).inc(omitted)
                case events.StateChanged(state=state) if state.is_terminal:
                    self.ended.append(event.release_id)
                case events.ReleaseAccepted():
                    self._accepted.inc()
                case events.ReleaseAdopted():
                    self._adopted.inc()
                case events.EngineReconnected():
                    self._reconnections.inc()
                case events.AccessDenied(times=times):
                    self._denials.inc(times)
                case events.ConfigurationReloaded():
                    self._reloads.labels("accepted").inc()
                case events.ConfigurationRefused():
                    self._reloads.labels("refused").inc()

    def count_release(self, record: ReleaseRecord) -> None:
        """Count a release that has ended, and its commands."""
        result = _label(record.state)
        cause = _label(record.failure.cause) if record.failure else ""
        self._results.labels(self._target(record.spec.target), result, cause).inc()
        left_queue = record.start_time or record.end_time
        if left_queue:
            self._queue_seconds.observe(_seconds(record.create_time, left_queue))
        if record.start_time and record.end_time:
            self._release_seconds.labels(result).observe(_seconds(record.start_time, record.end_time))
        for command in record.commands:
            if command.start_time and command.end_time:
                seconds = _seconds(command.start_time, command.end_time)
                self._command_seconds.labels(_label(command.state)).observe(seconds)

    def count_engine_error(self, error: EngineError) -> None:
        """Count a call that failed because of the engine, and not of what was asked of it."""
        if isinstance(error, EngineUnreachable):
            self._engine_errors.labels("unreachable").inc()
        elif isinstance(error, EngineRefused) and error.status >= 500:
            self._engine_errors.labels("refused").inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)

    def _begin_with_zero(self) -> None:
        """Have every series whose labels are known: Prometheus sees a first increase only from a zero."""
        for result in RELEASE_RESULTS:
            self._release_seconds.labels(_label(result))
        for command_result in COMMAND_RESULTS:
            self._command_seconds.labels(_label(command_result))
        for stream in Stream:
            self._output_bytes.labels(_label(stream))
            self._omitted_bytes.labels(_label(stream))
        for kind in ("unreachable", "refused"):
            self._engine_errors.labels(kind)
        for outcome in ("accepted", "refused"):
            self._reloads.labels(outcome)

    def _target(self, target: Target) -> str:
        if len(self._targets) < TARGETS:
            self._targets.add(target)
        return str(target) if target in self._targets else OTHER_TARGETS


class _WithoutCreationTimes(Collector):
    """A registry without the gauges that the library adds to each counter and histogram.

    The text format has no place for creation times. The library's own switch is one for the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _label(value: ReleaseState | CommandState | Stream | Cause) -> str:
    return value.lower()


def _seconds(since: datetime, until: datetime) -> float:
    """The time between two times of day; none if the clock was set back."""
    return max(0.0, (until - since).total_seconds())
