"""Lock groups on a real engine: releases of one group never overlap, whatever their targets."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from released.config import Config
from releasephase.v1.daemon_service_pb2 import GetStatusRequest, LockGroupStatus
from releasephase.v1.release_pb2 import ON_BUSY_REJECT, Release
from releasephase.v1.release_service_pb2 import CancelReleaseRequest
from support.app import Outcome, Serve, release_request
from support.daemon import write_config
from support.docker_engine import Engine
from support.other_user import other_user
from support.process import DaemonProcess
from support.rpc_errors import details_of, refused
from support.service_manager import service_manager
from support.users import Users

GROUPS = {"db": ("shop/*", "group:stock"), "stock": ("stock/live",), "mail": ("news/live",)}
TABLE = '[lock_groups]\ndb = ["shop/*", "group:stock"]\nstock = ["stock/live"]\nmail = ["news/live"]\n'
HOLD = "echo up; cat /gate/open"
"""Ends when something is written to the FIFO."""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A folder to mount, with FIFOs: whoever opens one waits there for another who does."""
    (tmp_path / "gate").mkdir()
    for name in ("open", "meeting"):
        os.mkfifo(tmp_path / "gate" / name)
    return tmp_path / "gate"


def mounted(gate: Path) -> list[dict[str, str]]:
    return [{"source": str(gate), "target": "/gate"}]


def let_go(gate: Path) -> None:
    """Let the one that holds go on; that is done when it has opened the FIFO, too."""
    (gate / "open").write_text("go")


def began(outcome: Outcome) -> int:
    """The sequence, among all events of the daemon, with which a release left its queue."""
    return next(event.sequence for event in outcome.events if event.HasField("state_changed"))


def ended(outcome: Outcome) -> int:
    return outcome.events[-1].sequence


async def test_releases_of_one_group_run_one_after_the_other(serve: Serve, gate: Path) -> None:
    """Three targets, in the order in which they came; each is told its place and its groups."""
    async with serve(lock_groups=GROUPS) as app:
        first = await app.start(HOLD, mounts=mounted(gate))
        await app.until_output(first.name, b"up\n")
        second = await app.start("true", application="stock")
        preview = await app.start("true", environment="test", validate_only=True)
        third = await app.start("true", environment="test")
        assert [each.queue_position for each in (first, second, preview, third)] == [0, 1, 2, 2]
        assert [list(each.lock_groups) for each in (first, second, preview, third)] == [
            ["db"],
            ["db", "stock"],
            ["db"],
            ["db"],
        ]
        assert list((await app.status()).lock_groups) == [
            LockGroupStatus(
                name="db", running_releases=[first.name], queued_releases=[second.name, third.name]
            ),
            LockGroupStatus(name="stock", queued_releases=[second.name]),
        ]
        await asyncio.to_thread(let_go, gate)
        outcomes = [await app.outcome(each.name) for each in (first, second, third)]
        assert [outcome.state for outcome in outcomes] == ["SUCCEEDED"] * 3
        assert ended(outcomes[0]) < began(outcomes[1])
        assert ended(outcomes[1]) < began(outcomes[2])
        assert list(outcomes[1].release.lock_groups) == ["db", "stock"]
        assert not (await app.status()).lock_groups


async def test_releases_of_different_groups_meet(serve: Serve, gate: Path) -> None:
    """Each waits at the FIFO until the other one is there: only side by side can they end."""
    async with serve(lock_groups=GROUPS) as app:
        writer = await app.start("echo met > /gate/meeting", mounts=mounted(gate))
        reader = await app.start("cat /gate/meeting", application="news", mounts=mounted(gate))
        outcomes = [await app.outcome(each.name) for each in (writer, reader)]
    assert [outcome.state for outcome in outcomes] == ["SUCCEEDED"] * 2
    assert outcomes[1].output() == b"met\n"
    assert began(outcomes[1]) < ended(outcomes[0])


async def test_on_busy_reject_refuses_a_group_that_is_held(serve: Serve, gate: Path) -> None:
    """By a reason of its own, which names the group and its holder; a busy target keeps the one it has."""
    async with serve(lock_groups=GROUPS) as app:
        holder = await app.start(HOLD, application="stock", mounts=mounted(gate))
        for validate_only in (True, False):
            error = await refused(app.start("true", on_busy=ON_BUSY_REJECT, validate_only=validate_only))
            assert error.code() is grpc.StatusCode.ABORTED
            info, _ = details_of(error)
            assert info.reason == "GROUP_BUSY"
            assert dict(info.metadata) == {
                "target": "shop/live",
                "lock_group": "db",
                "release": holder.name,
            }
            assert error.details() == (
                f"shop/live is in the lock group db, which {holder.name} of stock/live has"
            )
        info, _ = details_of(await refused(app.start("true", application="stock", on_busy=ON_BUSY_REJECT)))
        assert info.reason == "TARGET_BUSY"
        assert (await app.run("true", application="news", on_busy=ON_BUSY_REJECT)).state == "SUCCEEDED"
        await asyncio.to_thread(let_go, gate)
        await app.outcome(holder.name)
        assert (await app.run("true", on_busy=ON_BUSY_REJECT)).state == "SUCCEEDED"


async def test_one_that_is_cancelled_while_it_waits_holds_nobody_up(serve: Serve, gate: Path) -> None:
    """Whoever waited behind it in a group that is free starts at once."""
    async with serve(lock_groups=GROUPS) as app:
        holder = await app.start(HOLD, mounts=mounted(gate))
        both = await app.start("true", application="stock")
        app.configuration.replace(with_groups(app.config, {"stock": ("blog/live",)}))
        behind = await app.start("true", application="blog")
        assert (both.queue_position, behind.queue_position) == (1, 2)
        await app.cancel(both.name)
        assert (await app.outcome(behind.name)).state == "SUCCEEDED"
        await asyncio.to_thread(let_go, gate)
        assert (await app.outcome(holder.name)).state == "SUCCEEDED"


def with_groups(config: Config, groups: dict[str, tuple[str, ...]]) -> Config:
    return msgspec.structs.replace(config, lock_groups=groups)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, with a short path."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name:
        yield Path(name)


def start(daemon: DaemonProcess, image: str, line: str, gate: Path, **fields: Any) -> Release:
    return daemon.stub.StartRelease(release_request(line, image=image, mounts=mounted(gate), **fields))


def groups_of(daemon: DaemonProcess) -> dict[str, tuple[list[str], list[str]]]:
    return {
        group.name: (list(group.running_releases), list(group.queued_releases))
        for group in daemon.daemon.GetStatus(GetStatusRequest()).lock_groups
    }


def test_group_is_kept_over_a_restart(folder: Path, engine: Engine, busybox_image: str, gate: Path) -> None:
    """By the one that is adopted, and for those that wait; also if the file has no groups any more."""
    with DaemonProcess(folder, engine.url, TABLE) as daemon:
        first = start(daemon, busybox_image, HOLD, gate)
        daemon.until_output(first.name, b"up\n")
        second = start(daemon, busybox_image, "true", gate, application="stock")
        before = groups_of(daemon)
        assert before == {"db": ([first.name], [second.name]), "stock": ([], [second.name])}
        daemon.kill()
        write_config(folder, engine.url, "")
        daemon.start()
        assert groups_of(daemon) == before
        later = start(daemon, busybox_image, "true", gate, application="stock", environment="test")
        assert list(later.lock_groups) == []
        assert daemon.outcome(later.name).state == "SUCCEEDED"
        let_go(gate)
        outcomes = [daemon.outcome(release.name) for release in (first, second)]
        assert [outcome.state for outcome in outcomes] == ["SUCCEEDED"] * 2
        assert ended(outcomes[0]) < began(outcomes[1])


def test_group_that_comes_with_a_reload_counts_for_what_is_accepted_from_then_on(
    folder: Path, engine: Engine, busybox_image: str, gate: Path
) -> None:
    """Two that were under way before it came go on beside one of it, also over a restart."""
    with DaemonProcess(folder, engine.url) as daemon:
        early = [start(daemon, busybox_image, HOLD, gate, application=name) for name in ("shop", "stock")]
        for release in early:
            daemon.until_output(release.name, b"up\n")
        with service_manager(folder) as manager:
            write_config(folder, engine.url, TABLE)
            os.kill(daemon.pid, signal.SIGHUP)
            assert "[lock_groups] db, [lock_groups] stock" in manager.until_reloaded()["STATUS"]
        late = start(daemon, busybox_image, HOLD, gate, environment="test")
        daemon.until_output(late.name, b"up\n")
        waiting = start(daemon, busybox_image, "true", gate)
        assert groups_of(daemon) == {"db": ([late.name], [waiting.name])}
        daemon.kill()
        daemon.start()
        assert groups_of(daemon) == {"db": ([late.name], [waiting.name])}
        assert daemon.daemon.GetStatus(GetStatusRequest()).running_releases == 3
        for release in (*early, late):
            daemon.stub.CancelRelease(CancelReleaseRequest(name=release.name))
        outcomes = [daemon.outcome(release.name) for release in (early[0], late, waiting)]
        assert [outcome.state for outcome in outcomes] == ["CANCELLED", "CANCELLED", "SUCCEEDED"]
        assert max(ended(outcome) for outcome in outcomes[:2]) < began(outcomes[2])


def test_bad_groups_are_refused_and_those_before_stay(
    folder: Path, engine: Engine, busybox_image: str, gate: Path
) -> None:
    """A reload with a circle changes nothing."""
    with DaemonProcess(folder, engine.url, TABLE) as daemon, service_manager(folder) as manager:
        write_config(folder, engine.url, '[lock_groups]\ndb = ["group:stock"]\nstock = ["group:db"]\n')
        os.kill(daemon.pid, signal.SIGHUP)
        told = manager.until_reloaded()["STATUS"]
        assert "[lock_groups] db: groups go round in a circle: db takes in stock takes in db" in told
        release = start(daemon, busybox_image, "true", gate, application="stock")
        assert list(release.lock_groups) == ["db", "stock"]
        assert daemon.outcome(release.name).state == "SUCCEEDED"


def test_others_see_of_a_group_only_what_is_theirs(
    folder: Path, engine: Engine, busybox_image: str, gate: Path, users: Users
) -> None:
    """Nothing before they have a release in it; then who comes before it, but not by name."""
    access = f'[access]\ndeploy = [{{ group = "{users.team}", targets = ["shop/*"] }}]\n'
    folder.chmod(0o755)
    with (
        DaemonProcess(folder, engine.url, TABLE + access) as daemon,
        other_user(daemon.socket, users.member.uid, users.member.gid, users.member.groups) as member,
    ):
        holder = start(daemon, busybox_image, HOLD, gate, application="stock")
        assert "lock_groups" not in member.call("releasephase.v1.DaemonService/GetStatus").response
        request: dict[str, Any] = {
            "application": "shop",
            "environment": "live",
            "image": busybox_image,
            "commands": [{"label": "one", "line": "true"}],
        }
        start_release = "releasephase.v1.ReleaseService/StartRelease"
        answer = member.call(start_release, **request, on_busy="ON_BUSY_REJECT")
        assert (answer.code, answer.reason) == ("ABORTED", "GROUP_BUSY")
        assert answer.message == (
            "shop/live is in the lock group db, of which another release is under way or waits"
        )
        own = member.call(start_release, **request).response["name"]
        assert member.call("releasephase.v1.DaemonService/GetStatus").response["lock_groups"] == [
            {"name": "db", "running_releases": ["releases/-"], "queued_releases": [own]}
        ]
        assert groups_of(daemon)["db"] == ([holder.name], [own])
        let_go(gate)
        assert daemon.outcome(own).state == "SUCCEEDED"
