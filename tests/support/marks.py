"""Releases whose commands leave marks in a folder, and what tries them again."""

from pathlib import Path
from typing import Any

from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import RetryReleaseRequest
from support.app import App, Outcome


def allow(folder: Path, *names: str) -> None:
    """Let the commands of these names succeed, which look for a file."""
    for name in names:
        (folder / name).touch()


def marks(folder: Path) -> list[str]:
    """Return which commands ran, in order."""
    return (folder / "marks").read_text().split()


async def retry(app: App, name: str, **fields: Any) -> Release:
    """Try a release again."""
    return await app.stub.RetryRelease(RetryReleaseRequest(name=name, **fields))


async def retried(app: App, name: str, **fields: Any) -> Outcome:
    """Try a release again and follow that to its end."""
    return await app.outcome((await retry(app, name, **fields)).name)
