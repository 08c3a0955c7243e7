"""The vault: secrets of queued releases, in memory-backed files of the daemon's own."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from released import vault as vault_module
from released.errors import ResourceExhausted, StartupError
from released.model.release import RegistryAuth, Secrets
from released.vault import Vault
from support.samples import OTHER_RELEASE, RELEASE

SECRETS = Secrets(
    environment={"TOKEN": "s3cret", "EMPTY": "", "UMLAUT": "ä\n"},
    registry_auth=RegistryAuth("ci", "passw0rd"),
)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a tmpfs; Linux has one at /dev/shm."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder) / "queued"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_come_back_as_they_were(memory: Path) -> None:
    """Also to the daemon that is started next."""
    Vault.open(memory).put(RELEASE, SECRETS)
    assert Vault.open(memory).get(RELEASE) == SECRETS


def test_only_the_owner_can_read_them(memory: Path) -> None:
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        Vault.open(memory).put(RELEASE, SECRETS)
    finally:
        os.umask(before)
    (file,) = memory.iterdir()
    assert (mode(memory), mode(file)) == (0o700, 0o600)


def test_folder_that_is_there_is_closed_to_others(memory: Path) -> None:
    """However it was left."""
    memory.mkdir(mode=0o755)
    Vault.open(memory)
    assert mode(memory) == 0o700


def test_folder_that_a_link_leads_to_is_refused(memory: Path) -> None:
    """Somebody else may have made it, and read what is in it."""
    elsewhere = memory.with_name("elsewhere")
    elsewhere.mkdir()
    memory.symlink_to(elsewhere)
    with pytest.raises(StartupError, match="is not our folder"):
        Vault.open(memory)


def test_nothing_is_kept_on_a_disk(
    memory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon works all the same, and says what that means."""
    monkeypatch.setattr(vault_module, "_filesystem", lambda _: "ext4")
    vault = Vault.open(memory)
    vault.put(RELEASE, SECRETS)
    assert list(memory.iterdir()) == []
    assert vault.get(RELEASE) is None
    assert f"{memory} is not on a tmpfs" in caplog.text


def test_filesystem_is_what_the_kernel_says() -> None:
    """/dev/shm is a tmpfs and /proc is not, on every Linux."""
    assert [vault_module._filesystem(Path(path)) for path in ("/dev/shm", "/proc")] == ["tmpfs", "proc"]


def test_release_without_secrets_leaves_no_file(memory: Path) -> None:
    """There is nothing to forget."""
    Vault.open(memory).put(RELEASE, Secrets())
    assert list(memory.iterdir()) == []


def test_discarded_secrets_are_gone(memory: Path) -> None:
    """And those of others are not. Discarding twice is the same as once."""
    vault = Vault.open(memory)
    vault.put(RELEASE, SECRETS)
    vault.put(OTHER_RELEASE, SECRETS)
    vault.discard(RELEASE)
    vault.discard(RELEASE)
    assert (vault.get(RELEASE), vault.get(OTHER_RELEASE)) == (None, SECRETS)


def test_only_those_of_unfinished_releases_are_kept(memory: Path) -> None:
    """What a crash left behind does not stay."""
    vault = Vault.open(memory)
    vault.put(RELEASE, SECRETS)
    vault.put(OTHER_RELEASE, SECRETS)
    vault.keep_only({RELEASE, "01901630-0000-7000-8000-0000000000c3"})
    assert [file.stem for file in memory.iterdir()] == [RELEASE]


def test_no_more_is_kept_than_there_is_room_for(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them count in whole pages, also those of an earlier daemon; what is discarded does not."""
    monkeypatch.setattr(vault_module, "MOST_BYTES", 3 * vault_module.PAGE_BYTES)
    large = Secrets(environment={"LARGE": "x" * vault_module.PAGE_BYTES})
    Vault.open(memory).put(RELEASE, large)
    vault = Vault.open(memory)
    vault.keep_only({RELEASE})
    with pytest.raises(ResourceExhausted, match="take 8192 of 12288 bytes: try again when") as refused:
        vault.put(OTHER_RELEASE, large)
    assert refused.value.reason == "NO_ROOM_FOR_SECRETS"
    assert vault.get(OTHER_RELEASE) is None
    vault.put(OTHER_RELEASE, SECRETS)
    vault.discard(RELEASE)
    vault.put("third", large)
    assert (vault.get(OTHER_RELEASE), vault.get("third")) == (SECRETS, large)


def test_room_is_limited_without_files_too(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets of what waits are in the daemon's own memory all the same."""
    monkeypatch.setattr(vault_module, "_filesystem", lambda _: "ext4")
    monkeypatch.setattr(vault_module, "MOST_BYTES", vault_module.PAGE_BYTES)
    vault = Vault.open(memory)
    vault.put(RELEASE, SECRETS)
    with pytest.raises(ResourceExhausted):
        vault.put(OTHER_RELEASE, SECRETS)
    vault.discard(RELEASE)
    vault.put(OTHER_RELEASE, SECRETS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_no_more_than_a_quarter_of_a_small_tmpfs_is_taken(tmp_path: Path) -> None:
    """Other services write there, too."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        vault = Vault.open(tmp_path / "queued")
        for number in range(4):
            vault.put(f"r{number}", SECRETS)
        with pytest.raises(ResourceExhausted, match="take 16384 of 16384 bytes"):
            vault.put("r4", SECRETS)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_file_that_was_half_written_counts_as_none(memory: Path, kept: int) -> None:
    """The daemon was killed while it wrote: half an environment is worse than none."""
    vault = Vault.open(memory)
    vault.put(RELEASE, SECRETS)
    (file,) = memory.iterdir()
    file.write_bytes(file.read_bytes()[:kept])
    assert vault.get(RELEASE) is None


def test_secrets_do_not_show_in_messages() -> None:
    """Neither printed nor in a traceback that prints them."""
    assert "s3cret" not in f"{SECRETS!r} {SECRETS}"
    assert "passw0rd" not in f"{SECRETS.registry_auth!r} {SECRETS.registry_auth}"


def test_secrets_are_shared_until_both_releases_have_ended(memory: Path) -> None:
    """They take no more memory, and the next daemon has them, too."""
    vault = Vault.open(memory)
    vault.put(RELEASE, SECRETS)
    vault.share(RELEASE, OTHER_RELEASE)
    first, second = memory.iterdir()
    assert first.stat().st_ino == second.stat().st_ino
    vault.discard(RELEASE)
    assert (vault.get(RELEASE), vault.get(OTHER_RELEASE)) == (None, SECRETS)
    assert Vault.open(memory).get(OTHER_RELEASE) == SECRETS
    vault.discard(OTHER_RELEASE)
    assert list(memory.iterdir()) == []


def test_release_without_secrets_has_none_to_share(memory: Path) -> None:
    """Nor one whose secrets are lost."""
    vault = Vault.open(memory)
    vault.share(RELEASE, OTHER_RELEASE)
    assert vault.get(OTHER_RELEASE) is None


def test_secrets_that_can_t_be_shared_are_no_room(memory: Path) -> None:
    """Which files can't be made for, say: whoever asks can go on without."""
    vault = Vault.open(memory)
    vault.put(RELEASE, SECRETS)
    vault.put(OTHER_RELEASE, SECRETS)
    with pytest.raises(ResourceExhausted, match="can't be kept in memory"):
        vault.share(RELEASE, OTHER_RELEASE)
