"""The key of the audit log."""

import hashlib
import hmac
import os
import stat
from pathlib import Path

import pytest

from released.audit.key import SIZE, AuditKey
from released.errors import StartupError
from released.model.release import Target


@pytest.fixture
def audit_path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.db"


@pytest.fixture
def key_path(audit_path: Path) -> Path:
    return audit_path.with_name("audit.db.key")


def test_key_is_made_once_and_kept(audit_path: Path) -> None:
    """The daemon that is started next gives the same digests."""
    assert AuditKey.open(audit_path).digest(b"request") == AuditKey.open(audit_path).digest(b"request")


def test_digest_is_keyed(audit_path: Path, key_path: Path) -> None:
    """HMAC-SHA-256: who has the log and not the key can't try out short secrets."""
    digest = AuditKey.open(audit_path).digest(b"request")
    assert digest == hmac.new(key_path.read_bytes(), b"request", hashlib.sha256).hexdigest()
    assert digest != hashlib.sha256(b"request").hexdigest()


def test_every_log_has_a_key_of_its_own(tmp_path: Path) -> None:
    """At random."""
    keys = [AuditKey.open(tmp_path / name / "audit.db") for name in ("a", "b")]
    assert keys[0].digest(b"request") != keys[1].digest(b"request")


def test_instance_id_is_the_logs_own_and_tells_nothing_of_the_key(audit_path: Path, key_path: Path) -> None:
    """It is a label of containers, which everybody sees; it has to be the same after a restart."""
    instance_id = AuditKey.open(audit_path).instance_id
    assert instance_id == AuditKey.open(audit_path).instance_id
    expected = hmac.new(key_path.read_bytes(), b"releasephase.daemon", hashlib.sha256).hexdigest()
    assert instance_id == expected[:16]
    assert instance_id != AuditKey.open(audit_path.with_name("other.db")).instance_id


SHOP = Target("shop", "live")


def test_digests_of_values_tell_whether_a_value_is_another_one(audit_path: Path) -> None:
    """The same value of the same variable has the same digest, also after a restart."""
    first = AuditKey.open(audit_path).value_digests(SHOP, {"A": "one", "B": "", "C": "ä"})
    second = AuditKey.open(audit_path).value_digests(SHOP, {"A": "two", "B": "", "C": "ä"})
    assert [a == b for a, b in zip(first, second, strict=True)] == [False, True, True]
    assert {len(digest) for digest in first} == {32}
    assert set("".join(first)) <= set("0123456789abcdef")


def test_digests_of_values_are_keyed(tmp_path: Path) -> None:
    """Who has a digest and not the key can't try out values."""
    digests = {
        AuditKey.open(tmp_path / name / "audit.db").value_digests(SHOP, {"A": "one"}) for name in ("a", "b")
    }
    assert len(digests) == 2


def test_digest_of_a_value_is_bound_to_its_variable_and_target(audit_path: Path) -> None:
    """Nobody sees that two variables have one value, or tries values out in a target of their own."""
    key = AuditKey.open(audit_path)
    places = [
        (SHOP, "A", "B=v"),
        (SHOP, "AB", "=v"),
        (SHOP, "B", "B=v"),
        (Target("shop", "test"), "A", "B=v"),
        (Target("shopl", "ive"), "A", "B=v"),
    ]
    digests = {key.value_digests(target, {name: value}) for target, name, value in places}
    assert len(digests) == len(places)


def test_only_the_owner_can_read_it(audit_path: Path, key_path: Path) -> None:
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        AuditKey.open(audit_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    assert len(key_path.read_bytes()) == SIZE


def test_crash_while_the_key_was_written_does_no_harm(audit_path: Path, key_path: Path) -> None:
    """The unfinished file is replaced."""
    audit_path.parent.mkdir()
    key_path.with_name("audit.db.key.new").write_bytes(b"half")
    AuditKey.open(audit_path)
    assert [file.name for file in audit_path.parent.iterdir()] == ["audit.db.key"]


@pytest.mark.parametrize("content", [b"", b"x" * (SIZE - 1), b"x" * (SIZE + 1)])
def test_damaged_key_is_refused(audit_path: Path, key_path: Path, content: bytes) -> None:
    """It is neither used nor replaced: digests that are in the log depend on it."""
    audit_path.parent.mkdir()
    key_path.write_bytes(content)
    with pytest.raises(StartupError, match=rf"{key_path}, is damaged: restore it from a backup"):
        AuditKey.open(audit_path)
    assert key_path.read_bytes() == content


def test_key_that_cannot_be_read_is_named(audit_path: Path, key_path: Path) -> None:
    """The message says which file, and what the system says."""
    key_path.mkdir(parents=True)
    with pytest.raises(StartupError, match=rf"{key_path}, can't be used: .*Is a directory"):
        AuditKey.open(audit_path)
