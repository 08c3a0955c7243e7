"""Looking at a path that a file system does not tell about."""

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from released.config import Config, MountRule, PolicyTable
from released.engine.engine import Engine
from released.engine.host import EngineHost
from released.model.release import Mount, Target
from released.policy import policy as module
from released.policy.host_paths import HostPaths, Refused
from released.policy.policy import Policy


async def test_path_on_a_file_system_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it, and other paths are looked at meanwhile."""
    answering = threading.Event()

    def resolve(paths: HostPaths, source: str) -> str:
        if source == "/srv/hangs":
            answering.wait()
        return source

    async def inspect_host() -> EngineHost:
        return EngineHost(2**30, "/var/lib/docker")

    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(HostPaths, "resolve", resolve)
    rule = MountRule(source="/srv/*", target="/data", read_only=False)
    config = Config(policy={"default": PolicyTable(mounts=(rule,))})
    engine = SimpleNamespace(url="unix:///run/none.sock", inspect_host=inspect_host)
    policy = Policy(config, cast(Engine, engine), None)
    rules = policy.rules(Target("shop", "live"))
    try:
        with pytest.raises(Refused, match="/srv/hangs can't be looked at: its file system does not answer"):
            await policy.check_mount(Mount("/srv/hangs", "/data"), rules)
        await policy.check_mount(Mount("/srv/answers", "/data"), rules)
    finally:
        answering.set()
