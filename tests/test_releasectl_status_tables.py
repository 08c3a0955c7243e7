"""What `status` says: the daemon, its lanes, and what is stuck."""

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from releasectl.drawing import draw
from releasectl.formatting import iso_time
from releasectl.status_tables import group_table, lane_table, status_fields, stuck_fields
from releasephase.v1.daemon_service_pb2 import (
    AuditStatus,
    ConfigurationStatus,
    DaemonStatus,
    EngineStatus,
    LaneStatus,
    LockGroupStatus,
    OrphanStatus,
    SlowCommand,
)
from releasephase.v1.release_pb2 import Receipt
from support.story import BEGIN, timestamp


def test_status(capsys: pytest.CaptureFixture[str]) -> None:
    """How the daemon is, and who waits for whom."""
    status = DaemonStatus(
        version="0.1.0",
        start_time=timestamp(BEGIN),
        engine=EngineStatus(url="unix:///var/run/docker.sock", reachable=True, version="20.10.24"),
        lanes=[
            LaneStatus(target="shop/live", running_release="releases/a", queued_releases=["releases/b"]),
            LaneStatus(target="blog/live", queued_releases=["releases/c"]),
        ],
        running_releases=1,
        max_concurrent=16,
        audit=AuditStatus(
            path="/var/lib/released/audit.db",
            last_sequence=12345,
            head=Receipt(sequence=12345, digest="ab" * 32),
            size_bytes=2**20,
            free_bytes=2**30,
            writable=True,
            reserve_bytes=2**24,
        ),
    )
    draw(status_fields(status, iso_time), lane_table(status))
    assert capsys.readouterr().out == (
        "released   0.1.0\n"
        "started    2026-01-31T12:00:00Z\n"
        "engine     20.10.24 at unix:///var/run/docker.sock\n"
        "releases   1 of at most 16 under way\n"
        "audit log  /var/lib/released/audit.db, up to event 12,345\n"
        f"receipt    12345:{'ab' * 32}\n"
        "disk       1 MiB used, 1 GiB free, 16 MiB kept for results\n"
        "\n"
        "TARGET     RELEASE  PLACE\n"
        "shop/live  a        under way\n"
        "shop/live  b        waits, number 1\n"
        "blog/live  c        waits, number 1\n"
    )


def test_lock_groups_are_told_with_who_holds_them_and_who_waits(capsys: pytest.CaptureFixture[str]) -> None:
    """Also by whose release somebody is kept waiting who may not know more of it."""
    status = DaemonStatus(
        lock_groups=[
            LockGroupStatus(
                name="orders-db",
                running_releases=["releases/-"],
                queued_releases=["releases/a", "releases/-"],
            ),
            LockGroupStatus(name="disk", running_releases=["releases/b", "releases/c"]),
        ]
    )
    draw(lane_table(status), group_table(status))
    assert capsys.readouterr().out == (
        "LOCK GROUP  RELEASE    PLACE\n"
        "orders-db   another's  holds it\n"
        "orders-db   a          waits, number 1\n"
        "orders-db   another's  waits, number 2\n"
        "disk        b          holds it\n"
        "disk        c          holds it\n"
    )


def test_what_retention_has_left_is_told_in_the_status() -> None:
    """Somebody may look for what is not there any more. Where everything is, there is no line."""
    later = timestamp(BEGIN + timedelta(days=1))
    told = [
        dict(status_fields(DaemonStatus(audit=audit), iso_time)).get("kept")
        for audit in (
            AuditStatus(),
            AuditStatus(output_since_time=later),
            AuditStatus(events_since_time=timestamp(BEGIN), output_since_time=later),
        )
    ]
    assert told == [
        None,
        "output since 2026-02-01T12:00:00Z",
        "events since 2026-01-31T12:00:00Z; output since 2026-02-01T12:00:00Z",
    ]


def test_a_drain_is_told_in_the_status() -> None:
    """It is why nothing starts."""
    fields = dict(status_fields(DaemonStatus(running_releases=2, max_concurrent=16, draining=True), iso_time))
    assert fields["releases"] == "DRAINING: 2 under way; nothing is accepted or started"


def test_configuration_that_does_not_count_is_told_in_the_status() -> None:
    """Somebody changed the file and may think that it does. One that counts is not worth a line."""
    waiting = ConfigurationStatus(keys_at_restart=["[server] socket", "[audit] path"])
    refused = ConfigurationStatus(keys_at_restart=["[audit] path"], message="/c.toml, line 2: no")
    told = [
        dict(status_fields(DaemonStatus(configuration=configuration), iso_time)).get("configuration")
        for configuration in (ConfigurationStatus(), waiting, refused)
    ]
    assert told == [
        None,
        "not before a RESTART: [server] socket, [audit] path",
        "REFUSED: /c.toml, line 2: no; not before a RESTART: [audit] path",
    ]


def test_what_is_stuck_stands_out_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """A lane in the table, and below it, like an orphan, with since when and the reason in full."""
    status = DaemonStatus(
        lanes=[
            LaneStatus(
                target="shop/live",
                running_release="releases/a",
                queued_releases=["releases/b"],
                trouble="the container could not be removed",
                trouble_time=timestamp(BEGIN),
            ),
            LaneStatus(target="blog/live", running_release="releases/c"),
        ],
        orphans=[
            OrphanStatus(
                container_id="c0ffee",
                container_name="release-shop-live-398f",
                release="releases/d",
                message="removing the container: device busy",
                first_seen_time=timestamp(BEGIN),
            )
        ],
    )
    draw(lane_table(status), stuck_fields(status, iso_time))
    assert capsys.readouterr().out == (
        "TARGET     RELEASE  PLACE\n"
        "shop/live  a        STUCK\n"
        "shop/live  b        waits, number 1\n"
        "blog/live  c        under way\n"
        "\n"
        "stuck   shop/live since 2026-01-31T12:00:00Z: the container could not be removed\n"
        "orphan  release-shop-live-398f since 2026-01-31T12:00:00Z: removing the container: device busy\n"
    )


def test_a_slow_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Where, since when, and what it usually takes."""
    slow = SlowCommand(label="migrate", start_time=timestamp(BEGIN), median=Duration(seconds=12))
    status = DaemonStatus(
        lanes=[LaneStatus(target="shop/live", running_release="releases/a", slow_command=slow)]
    )
    draw(stuck_fields(status, iso_time))
    assert capsys.readouterr().out == "slow  shop/live: migrate since 2026-01-31T12:00:00Z, usually 12s\n"


def test_an_engine_that_is_away_is_told_with_the_reason() -> None:
    """The daemon answers even when the engine does not."""
    status = DaemonStatus(engine=EngineStatus(url="unix:///x", message="Connection refused"))
    assert ("engine", "UNREACHABLE at unix:///x: Connection refused") in status_fields(status, iso_time)


def test_an_audit_log_that_can_t_be_written_is_told_with_the_reason() -> None:
    """Nothing is kept for results then, or it is of no use."""
    audit = AuditStatus(path="/a.db", last_sequence=1, message="its disk is full", free_bytes=2**10)
    fields = status_fields(DaemonStatus(audit=audit), iso_time)
    assert ("audit log", "/a.db, up to event 1, NOT WRITABLE: its disk is full") in fields
    assert ("disk", "0 B used, 1 KiB free") in fields
