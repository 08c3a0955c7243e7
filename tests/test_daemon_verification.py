"""VerifyAudit of a real daemon: with receipts, in processes of its own."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from released.audit.chain import link
from released.model.events import EventsPruned, encode, kind_of
from releasephase.v1.audit_service_pb2 import (
    AuditPruning,
    UncheckedReceipt,
    VerifyAuditRequest,
    VerifyAuditResponse,
)
from releasephase.v1.audit_service_pb2_grpc import AuditServiceStub
from releasephase.v1.release_pb2 import Receipt
from releasephase.v1.release_service_pb2 import GetReleaseRequest
from support.app import release_request
from support.process import DaemonProcess, daemon_in_memory
from support.tampering import tamper


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon without an engine: releases that run nothing succeed at once."""
    with daemon_in_memory(f"unix://{tmp_path}/no-engine.sock") as daemon:
        yield daemon


def receipt_of_a_release(daemon: DaemonProcess) -> Receipt:
    name = daemon.stub.StartRelease(release_request(image="shop:1")).name
    return daemon.stub.GetRelease(GetReleaseRequest(name=name)).receipt


def verify(daemon: DaemonProcess, *receipts: Receipt) -> VerifyAuditResponse:
    return AuditServiceStub(daemon.channel).VerifyAudit(VerifyAuditRequest(receipts=receipts))


def test_receipts_of_releases_are_verified(daemon: DaemonProcess) -> None:
    """The newest one is what the log's head says, too."""
    receipts = [receipt_of_a_release(daemon) for _ in range(3)]
    found = verify(daemon, *receipts)
    assert (list(found.problems), found.event_count, found.head) == ([], 9, receipts[-1])
    made_up = Receipt(sequence=6, digest=receipts[0].digest)
    (problem,) = verify(daemon, made_up).problems
    assert (problem.sequence, problem.description.startswith(f"the receipt 6:{made_up.digest}")) == (6, True)


def test_a_forged_pruning_is_told_as_a_pruning(daemon: DaemonProcess) -> None:
    """By itself it is one: only what the configuration asks for, and receipts, can tell."""
    receipts = [receipt_of_a_release(daemon) for _ in range(2)]
    last = receipts[-1]
    pruned = EventsPruned(through_sequence=last.sequence, digest=last.digest, event_count=6, release_count=2)
    digest, sequence = bytes.fromhex(last.digest), last.sequence + 1
    chained = link(digest, sequence, "", 1_000_000, kind_of(pruned), encode(pruned))
    with closing(sqlite3.connect(daemon.audit, isolation_level=None)) as connection:
        event = (sequence, kind_of(pruned), encode(pruned), chained)
        connection.execute("INSERT INTO events VALUES (?, '', 1000000, ?, ?, NULL, NULL, ?)", event)
        checkpoint = ("events", last.sequence, digest, sequence)
        connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", checkpoint)
    found = verify(daemon, *receipts)
    assert list(found.problems) == []
    assert list(found.prunings) == [
        AuditPruning(
            sequence=sequence,
            kind="events_pruned",
            event_time=Timestamp(seconds=1),
            through_sequence=last.sequence,
        )
    ]
    description = f"the receipt 3:{receipts[0].digest} can't be checked: the events through 6 were pruned"
    assert list(found.unchecked_receipts) == [UncheckedReceipt(receipt=receipts[0], description=description)]


def test_what_is_no_receipt_is_refused(daemon: DaemonProcess) -> None:
    """By the field that is wrong."""
    good = receipt_of_a_release(daemon)
    for bad in (Receipt(), Receipt(sequence=1, digest="no"), Receipt(sequence=-1, digest=good.digest)):
        with pytest.raises(grpc.RpcError) as refused:
            verify(daemon, good, bad)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "receipts[1]" in str(refused.value.details())
    with pytest.raises(grpc.RpcError) as refused:
        verify(daemon, *[good] * 101)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_tampering_is_found_while_the_daemon_goes_on(daemon: DaemonProcess) -> None:
    """What was changed is no damage: the daemon writes on."""
    receipt_of_a_release(daemon)
    tamper(daemon.audit, "UPDATE events SET event_time = 0 WHERE sequence = 1")
    (problem,) = verify(daemon).problems
    assert problem.sequence == 1
    assert receipt_of_a_release(daemon).sequence == 6
    found = daemon.releasectl("audit", "verify", "--receipt", f"6:{'0' * 64}")
    assert (found.returncode, len(found.stdout.splitlines())) == (1, 2)
