"""Folders that only the daemon may enter: what is in them is nobody else's."""

import os
import stat
from pathlib import Path

from released.errors import StartupError


def make_private(folder: Path) -> None:
    """Make a folder that only we may enter, or see that it is one. Raises StartupError."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise StartupError(f"{folder} exists and is not our folder: remove it")
        folder.chmod(0o700)
    except OSError as error:
        raise StartupError(f"the folder {folder} can't be made: {error}") from error
