"""Folders of the daemon's own: made for nobody else, and never taken from anybody."""

import os
from pathlib import Path

import pytest

from released.errors import StartupError
from released.folders import make_private


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_the_folder_is_for_us_only(folder: Path) -> None:
    """Also one that is there already, with another mode."""
    (folder / "inner").mkdir(mode=0o755)
    for _ in range(2):
        make_private(folder / "inner")
        assert (folder / "inner").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_somebody_else_s_is_refused(folder: Path) -> None:
    """A symbolic link may lead anywhere, and who owns a folder may open it."""
    (folder / "elsewhere").mkdir()
    (folder / "link").symlink_to(folder / "elsewhere")
    (folder / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(StartupError, match=f"{folder}/{name}"):
            make_private(folder / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    """It was made before us, in a folder where others may write."""
    (folder / "inner").mkdir()
    os.chown(folder / "inner", 65534, 65534)
    with pytest.raises(StartupError, match="is not our folder"):
        make_private(folder / "inner")
