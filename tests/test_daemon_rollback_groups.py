"""Rollbacks of targets in lock groups: they share with others what is to be undone."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, Mount, Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest, ReleaseCommand, ReportOutcomeRequest
from support.app import App, Serve, release_request
from support.docker_engine import Engine
from support.other_user import other_user
from support.process import DaemonProcess
from support.rpc_errors import details_of, refused
from support.users import Users

DB: dict[str, tuple[str, ...]] = {"db": ("shop/*", "stock/live")}
TABLE = '[lock_groups]\ndb = ["shop/*", "stock/live"]\n'
HOLD = "echo up; cat /m/open"
"""Ends when something is written to the FIFO."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to mount, with a FIFO: whoever opens it waits there for another who does."""
    (tmp_path / "m").mkdir()
    os.mkfifo(tmp_path / "m" / "open")
    return tmp_path / "m"


def undoable(folder: Path, last: str = "true", **fields: Any) -> dict[str, Any]:
    """What a request has that leaves a mark in a folder, and is undone by another."""
    commands = [
        ReleaseCommand(label="a", line="echo +a >> /m/marks", rollback="echo -a >> /m/marks"),
        ReleaseCommand(label="last", line=last),
    ]
    return {"commands": commands, "mounts": [Mount(source=str(folder), target="/m")], **fields}


def regroup(app: App, groups: dict[str, tuple[str, ...]]) -> None:
    """Let these groups count from now on, as a reload does."""
    app.configuration.replace(msgspec.structs.replace(app.config, lock_groups=groups))


async def get(app: App, name: str) -> Release:
    return await app.stub.GetRelease(GetReleaseRequest(name=name))


async def abandon(app: App, name: str) -> Release:
    request = ReportOutcomeRequest(name=name, outcome=OUTCOME_ABANDONED, run_rollback=True)
    return await app.stub.ReportOutcome(request)


async def test_rollback_is_in_the_groups_of_its_release_and_those_of_today(
    serve: Serve, folder: Path
) -> None:
    """A group that came with a reload counts: whoever is in it now would run beside the rollback."""
    async with serve(lock_groups={"old": ("shop/live",)}) as app:
        failing = await app.start(
            **undoable(folder, last="echo up; until test -e /m/go; do sleep 0.05; done; false")
        )
        await app.until_output(failing.name, b"up\n")
        regroup(app, DB)
        holder = await app.start(HOLD, application="stock", mounts=[Mount(source=str(folder), target="/m")])
        await app.until_output(holder.name, b"up\n")
        (folder / "go").touch()
        failed = await app.outcome(failing.name)
        rollback = await get(app, failed.release.rollback)
        assert list(rollback.lock_groups) == ["old", "db"]
        assert (rollback.state, rollback.queue_position) == (Release.STATE_QUEUED, 1)
        await asyncio.to_thread((folder / "open").write_text, "go")
        undone, held = await app.outcome(rollback.name), await app.outcome(holder.name)
        assert (undone.state, held.state) == ("SUCCEEDED", "SUCCEEDED")
        began = next(event.sequence for event in undone.events if event.HasField("state_changed"))
        assert held.events[-1].sequence < began


@pytest.mark.parametrize("grouped", ["then", "now"])
async def test_newer_release_of_a_group_keeps_an_abandoned_one_from_being_rolled_back(
    serve: Serve, folder: Path, grouped: str
) -> None:
    """It may have built on what is to be undone, as one of the target may; also if it is in it only now."""
    async with serve(lock_groups=DB if grouped == "then" else {}) as app:
        first = (await app.run(**undoable(folder))).release.name
        newer = (await app.run("true", application="stock")).release.name
        regroup(app, {} if grouped == "then" else DB)
        error = await refused(abandon(app, first))
        info, _ = details_of(error)
        assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NEWER_RELEASE")
        assert dict(info.metadata) == {"target": "shop/live", "release": newer}
        assert "another target of a lock group of shop/live, stock/live, has had" in str(error.details())
        assert not (await get(app, first)).outcome
        assert list((await app.status()).lanes) == []


async def test_others_keep_nobody_from_rolling_back(serve: Serve, folder: Path) -> None:
    """Those of no common group, those that came before, and those of it that ran nothing."""
    async with serve(lock_groups=DB) as app:
        await app.run("true", application="stock")
        first = (await app.run(**undoable(folder))).release.name
        await app.run("true", application="news")
        absent = {"image": "not/there:1", "pull_policy": "PULL_POLICY_NEVER"}
        assert (await app.run("true", application="stock", **absent)).cause == "IMAGE_UNAVAILABLE"
        assert (await app.outcome((await abandon(app, first)).rollback)).state == "SUCCEEDED"
    assert (folder / "marks").read_text().split() == ["+a", "-a"]


def test_newer_release_is_named_only_to_those_who_may_read_it(
    engine: Engine, busybox_image: str, folder: Path, users: Users
) -> None:
    """Others learn that there is one."""
    access = f'[access]\ndeploy = [{{ group = "{users.team}", targets = ["shop/*"] }}]\n'
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name:
        Path(name).chmod(0o755)
        with (
            DaemonProcess(Path(name), engine.url, TABLE + access) as daemon,
            other_user(daemon.socket, users.member.uid, users.member.gid, users.member.groups) as member,
        ):
            request = release_request(image=busybox_image, **undoable(folder))
            first = daemon.stub.StartRelease(request)
            daemon.outcome(first.name)
            newer = daemon.stub.StartRelease(
                release_request("true", image=busybox_image, application="stock")
            )
            daemon.outcome(newer.name)
            answer = member.call(
                "releasephase.v1.ReleaseService/ReportOutcome",
                name=first.name,
                outcome="OUTCOME_ABANDONED",
                run_rollback=True,
            )
            assert (answer.code, answer.reason) == ("FAILED_PRECONDITION", "NEWER_RELEASE")
            assert "another target of a lock group of shop/live has had a release since:" in answer.message
            assert newer.name not in answer.message
