"""The configuration of a buildbot master, for buildbot's Python: a builder for each number of commands."""

import json
import os
from pathlib import Path
from typing import Any

from buildbot.plugins import schedulers, steps, util, worker

_told = json.loads(Path("told.json").read_text())


def _builder(count: int) -> Any:
    factory = util.BuildFactory()
    for number in range(1, count + 1):
        factory.addStep(
            steps.ShellCommand(
                name=f"command {number}", command=_told["command"], env=dict(os.environ), haltOnFailure=True
            )
        )
    return util.BuilderConfig(name=f"commands-{count}", workernames=["bench"], factory=factory)


BuildmasterConfig = {
    "workers": [worker.Worker("bench", "bench", max_builds=1)],
    "protocols": {"pb": {"port": f"unix:{_told['folder']}/pb.sock"}},
    "builders": [_builder(count) for count in _told["counts"]],
    "schedulers": [
        schedulers.ForceScheduler(name=f"force-{count}", builderNames=[f"commands-{count}"])
        for count in _told["counts"]
    ],
    "www": {"port": f"unix:{_told['folder']}/www.sock"},
    "db": {"db_url": "sqlite:///state.sqlite"},
    "buildbotURL": "http://localhost/",
    "buildbotNetUsageData": None,
}
