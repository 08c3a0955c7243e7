"""What GetCommandStatistics is answered: the statistics of the commands of each target."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from released.audit.filter import Condition
from released.audit.reader import AuditReader
from released.audit.statistics import CommandStatistics, statistics_of
from released.errors import InvalidRequest, Violation
from released.model.release import Target
from releasephase.v1 import audit_service_pb2

LAST_SECOND = 253_402_300_799
"""Of 9999: a Timestamp has no later one."""

MOST_STATISTICS = 1000
"""So that the answer fits a message, whatever labels commands have."""


def target_condition(request: audit_service_pb2.GetCommandStatisticsRequest) -> Condition:
    """Return the condition for the releases that a request is about."""
    fields = {"application": request.application, "environment": request.environment}
    given = {column: value for column, value in fields.items() if value}
    sql = " AND ".join(f"{column} = ?" for column in given)
    return Condition(sql or "TRUE", tuple(given.values()))


def start_microseconds(request: audit_service_pb2.GetCommandStatisticsRequest) -> int:
    """Return from when on runs count, in microseconds since 1970. Raises InvalidRequest."""
    time = request.start_time
    if not 0 <= time.seconds <= LAST_SECOND or not 0 <= time.nanos < 1_000_000_000:
        raise InvalidRequest([Violation("start_time", "must be between 1970 and 9999")])
    return time.seconds * 1_000_000 + time.nanos // 1000


async def command_statistics(
    query: AuditReader, condition: Condition, since: int
) -> audit_service_pb2.GetCommandStatisticsResponse:
    """Return the statistics of the commands of all targets that meet a condition."""
    response = audit_service_pb2.GetCommandStatisticsResponse()
    for target in await query.targets(condition):
        for statistics in statistics_of(await query.command_times.since(target, since)):
            if len(response.statistics) == MOST_STATISTICS:
                response.truncated = True
                return response
            response.statistics.append(_message(target, statistics))
    return response


def _message(target: Target, statistics: CommandStatistics) -> audit_service_pb2.CommandStatistics:
    return audit_service_pb2.CommandStatistics(
        application=target.application,
        environment=target.environment,
        label=statistics.label,
        run_count=statistics.run_count,
        failure_count=statistics.failure_count,
        p50=_duration(statistics.p50),
        p95=_duration(statistics.p95),
        longest=_duration(statistics.longest),
        recent_median=_duration(statistics.recent_median),
        earlier_median=_duration(statistics.earlier_median),
    )


def _duration(length: timedelta | None) -> Duration | None:
    if length is None:
        return None
    duration = Duration()
    duration.FromTimedelta(length)
    return duration
