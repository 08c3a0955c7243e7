"""The agent in Node.js: the contract's files and a stock gRPC client are all that another language needs."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from released.config import AccessConfig, Grant
from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, OUTCOME_DEPLOYED
from releasephase.v1.release_service_pb2 import ListReleasesRequest
from support import debian
from support.app import App, Serve
from support.users import User, Users

ROOT = Path(__file__).parent.parent
PACKAGES = ("@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1")
SECONDS = 60


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What the agent needs, installed once for each build folder and these versions."""
    debian.require({"node": "nodejs", "npm": "npm"})

    def install(folder: Path) -> None:
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-save", "--loglevel=error"]
        debian.run(["npm", "install", "--prefix", str(folder), *options, *PACKAGES])

    versions = "-".join(name.rpartition("@")[2] for name in PACKAGES)
    return debian.made_once(debian.BUILD / "node" / versions, install) / "node_modules"


@pytest.fixture
def agent(node_modules: Path) -> Iterator[Path]:
    """A folder with the agent, the contract and what they need, where everybody may read."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "proto", folder / "proto")
        shutil.copy(ROOT / "docs/examples/agent.js", folder)
        shutil.copytree(node_modules, folder / "node_modules")
        debian.run(["chmod", "--recursive", "a+rX", name])
        yield folder


async def run(agent: Path, app: App, user: User, *arguments: str) -> tuple[int, str, str]:
    """Run the agent as a user: its exit code, and what it wrote to stdout and stderr."""
    app.folder.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        "node",
        "agent.js",
        *arguments,
        cwd=agent,
        env={"PATH": os.environ["PATH"], "RELEASED_SOCKET": str(app.config.server.socket)},
        user=user.uid,
        group=user.gid,
        extra_groups=user.groups,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def app(serve: Serve, users: Users) -> AsyncIterator[App]:
    """A daemon where the team may deploy the shop."""
    access = AccessConfig(deploy=(Grant(group=users.team, targets=("shop/*",)),))
    async with serve(access=access) as app:
        yield app


async def test_agent_runs_a_release_as_whoever_it_is(app: App, agent: Path, users: Users) -> None:
    """It shows the output, and the daemon knows the user and its groups."""
    status, out, err = await run(agent, app, users.member, "shop", "live", app.image)
    assert (status, out) == (0, "migrating\n"), err
    assert err.splitlines() == ["STATE_PREPARING", "STATE_RUNNING", "STATE_SUCCEEDED"]
    (release,) = (await app.stub.ListReleases(ListReleasesRequest())).releases
    assert release.outcome == OUTCOME_DEPLOYED
    caller = release.caller
    assert (caller.uid, caller.gid, caller.user) == (users.member.uid, users.member.gid, users.member.name)
    assert sorted(caller.groups) == list(users.member.groups)
    assert caller.executable == os.path.realpath(shutil.which("node") or "")


async def test_agent_that_may_not_deploy_is_told_so(app: App, agent: Path, users: Users) -> None:
    """By its error, and it does not end with 0."""
    status, out, err = await run(agent, app, users.member, "blog", "live", app.image)
    assert (status, out) == (1, "")
    assert f"PERMISSION_DENIED: {users.member.name} (uid {users.member.uid}) needs the role deploy" in err
    status, out, err = await run(agent, app, users.stranger, "shop", "live", app.image)
    assert (status, "and has nothing" in err) == (1, True)


async def test_agent_ends_with_1_when_the_release_fails(app: App, agent: Path, users: Users) -> None:
    """The deployment must not go on."""
    status, out, err = await run(agent, app, users.member, "shop", "live", "sha256:" + 64 * "0")
    assert (status, out) == (1, "")
    assert err.splitlines()[:2] == ["STATE_PREPARING", "STATE_FAILED"]
    assert "The engine does not have the image" in err
    (release,) = (await app.stub.ListReleases(ListReleasesRequest())).releases
    assert release.outcome == OUTCOME_ABANDONED
