"""Where it was measured: what a reader has to know to judge the ratios."""

import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from support.docker_engine import Engine

IN_MEMORY = ("tmpfs", "ramfs")
"""File systems on which nothing is durable, and a commit costs nothing."""


def describe(engine: Engine) -> dict[str, str]:
    """The machine, the date and the versions of what everybody needs."""
    kib = int(_field(Path("/proc/meminfo"), "MemTotal").removesuffix("kB"))
    model = _field(Path("/proc/cpuinfo"), "model name")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {model}, {kib / 2**20:.0f} GiB",
        "system": f"{_distribution()}, Linux {platform.release()}",
        "Docker Engine": engine.http.json("GET", "/version")["Version"],
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }


def file_system(path: Path) -> str:
    """The type of the file system that a file lies on, such as ext4: proc(5), /proc/PID/mountinfo."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split()[2] == number:
            return kind.split()[0]
    return "unknown"


def disk_remark(audit: Path) -> str:
    """Say what an audit log was on."""
    disk = file_system(audit)
    if disk in IN_MEMORY:
        return f"Beware: the audit log was on {disk}, so that making it durable cost nothing."
    return f"The audit log was on {disk}."


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "an unknown distribution")


def _field(file: Path, name: str) -> str:
    """The first value of a name in one of the kernel's files, such as `MemTotal:  24000 kB`."""
    for line in file.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
