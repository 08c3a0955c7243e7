"""Requests that must be refused, and releases that must fail, because of what they ask for of the host."""

import sqlite3
from typing import Any

import grpc

from support.app import App, Outcome
from support.rpc_errors import details_of, refused

DENIED, INVALID = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT


def at(source: object, target: str = "/m", read_only: bool = True) -> dict[str, Any]:
    """The fields of a request with one mount."""
    return {"mounts": [{"source": str(source), "target": target, "read_only": read_only}]}


async def refusal(app: App, code: grpc.StatusCode = DENIED, **fields: Any) -> dict[str, str]:
    """Why a request is refused, by the field. Nothing of it is stored, and none of it runs."""
    error = await refused(app.start("echo escaped", **fields))
    info, bad = details_of(error)
    assert error.code() is code, error.details()
    assert info.reason == ("POLICY_VIOLATION" if code is DENIED else "INVALID_REQUEST")
    with sqlite3.connect(f"file:{app.config.audit.path}?mode=ro", uri=True) as database:
        assert database.execute("SELECT count(*) FROM events").fetchall() == [(0,)]
    database.close()
    return {violation.field: violation.description for violation in bad.field_violations}


async def assert_never_mounted(app: App, source: object, words: str = "") -> None:
    why = await refusal(app, **at(source))
    assert set(why) == {"mounts[0]"}
    assert words in why["mounts[0]"]


def assert_failed(outcome: Outcome, words: str) -> None:
    assert (outcome.state, outcome.cause) == ("FAILED", "CONTAINER_FAILED")
    assert words in outcome.message
    assert outcome.output() == b""
    assert "container_created" not in outcome.kinds
