"""The record of a release as the audit log gives it, and the message of the contract that it becomes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict

from released.audit.records import CommandRecord, ReleaseRecord, ReportedOutcome, RequestedCancel
from released.model import events
from released.model.receipt import Receipt
from released.model.release import Mount, ReleaseSpec, Resources
from released.model.states import (
    Cause,
    CommandState,
    ContainerMode,
    OnBusy,
    Outcome,
    PullPolicy,
    ReleaseState,
)
from support.samples import CALLER, RELEASE, a_command, a_spec

NAME = f"releases/{RELEASE}"


DIGEST = bytes(range(32))


CREATED = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


STARTED = CREATED + timedelta(seconds=1)


ENDED = CREATED + timedelta(seconds=2)


REPORTED = CREATED + timedelta(hours=1)


SPEC = a_spec(
    commands=(
        a_command("migrate", line="migrate", timeout=timedelta(seconds=1.5)),
        a_command("check", argv=("check", "--deploy")),
    ),
    environment_names=("A", "B"),
    environment_digests=("0a", "0b"),
    networks=("backend",),
    mounts=(Mount("/srv", "/data", True),),
    resources=Resources(64 * 2**20, 1.5, 100),
    user="app",
    working_dir="/srv/app",
    entrypoint=("/entry",),
    pull_policy=PullPolicy.NEVER,
    release_timeout=timedelta(minutes=10),
    on_busy=OnBusy.REJECT,
    request_id="0190163d-8694-739b-aea5-966c26f8ad91",
    requested_by="agent 7",
    labels={"team": "a"},
    container_mode=ContainerMode.PER_COMMAND,
)


def command_record(index: int, state: CommandState = CommandState.PENDING, **fields: Any) -> CommandRecord:
    defaults = {
        "exit_code": None,
        "signal": 0,
        "start_time": None,
        "end_time": None,
        "stdout_bytes": 0,
        "stderr_bytes": 0,
        "omitted_bytes": 0,
    }
    return CommandRecord(index=index, state=state, **{**defaults, **fields})


FAILED_COMMAND = command_record(
    0,
    CommandState.FAILED,
    exit_code=137,
    signal=9,
    start_time=STARTED,
    end_time=ENDED,
    stdout_bytes=10,
    stderr_bytes=20,
    omitted_bytes=5,
)


def record(spec: ReleaseSpec = SPEC, **fields: Any) -> ReleaseRecord:
    defaults = {
        "release_id": RELEASE,
        "accept_sequence": 3,
        "last_sequence": 9,
        "caller": CALLER,
        "request_digest": "d",
        "with_secrets": True,
        "accepted_at": None,
        "commands_known": True,
        "rollback": "",
        "state": ReleaseState.FAILED,
        "failure": events.Failure(cause=Cause.COMMAND_FAILED, message="it failed", command_index=0),
        "image_id": "sha256:1",
        "image_digest": "shop@sha256:2",
        "container_id": "c1",
        "container_name": "release-shop-live",
        "create_time": CREATED,
        "start_time": STARTED,
        "end_time": ENDED,
        "receipt": Receipt(9, DIGEST),
        "engine_version": "20.10.24",
        "outcome": ReportedOutcome(Outcome.ABANDONED, "too slow", REPORTED, CALLER),
        "cancel": RequestedCancel("too late", STARTED, CALLER),
        "commands": (FAILED_COMMAND, command_record(1, CommandState.SKIPPED)),
    }
    return ReleaseRecord(spec=spec, **{**defaults, **fields})


ACCEPTED: dict[str, Any] = {
    "name": NAME,
    "application": "shop",
    "environment": "live",
    "image": "shop:2",
    "state": "STATE_QUEUED",
    "command_runs": [
        {
            "label": "migrate",
            "line": "migrate",
            "timeout": "1.500s",
            "source": "SOURCE_REQUEST",
            "state": "STATE_PENDING",
        },
        {
            "index": 1,
            "label": "check",
            "argv": {"arguments": ["check", "--deploy"]},
            "timeout": "60s",
            "source": "SOURCE_REQUEST",
            "state": "STATE_PENDING",
        },
    ],
    "environment_names": ["A", "B"],
    "environment_digests": {"A": "0a", "B": "0b"},
    "networks": ["backend"],
    "mounts": [{"source": "/srv", "target": "/data", "read_only": True}],
    "resources": {"memory_bytes": str(64 * 2**20), "cpus": 1.5, "pids": "100"},
    "user": "app",
    "working_dir": "/srv/app",
    "entrypoint": {"arguments": ["/entry"]},
    "pull_policy": "PULL_POLICY_NEVER",
    "release_timeout": "600s",
    "on_busy": "ON_BUSY_REJECT",
    "request_id": "0190163d-8694-739b-aea5-966c26f8ad91",
    "requested_by": "agent 7",
    "labels": {"team": "a"},
    "container_mode": "CONTAINER_MODE_PER_COMMAND",
    "commands_from": "COMMANDS_FROM_REQUEST",
}


CALLED_BY = {
    "uid": 1000,
    "gid": 100,
    "pid": 4711,
    "groups": [24, 100],
    "user": "ci",
    "executable": "/usr/bin/agent",
}


def as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)
