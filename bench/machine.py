"""Where it was measured: what a reader has to know to judge the ratios."""

import os
import platform
from pathlib import Path

from support.docker_engine import Engine

IN_MEMORY = ("tmpfs", "ramfs")
"""File systems on which nothing is durable, and a commit costs nothing."""


def describe(engine: Engine) -> str:
    """The machine and the versions, in one line."""
    version = engine.http.json("GET", "/version")["Version"]
    return (
        f"Docker Engine {version}, Python {platform.python_version()}, Linux {platform.release()}, "
        f"{os.cpu_count()} cores"
    )


def file_system(path: Path) -> str:
    """The type of the file system that a file lies on, such as ext4: proc(5), /proc/PID/mountinfo."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split()[2] == number:
            return kind.split()[0]
    return "unknown"
