"""Real users and groups of this system, for the length of a test session."""

from __future__ import annotations

import grp
import os
import pwd
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from support import debian


@dataclass(frozen=True)
class User:
    """Somebody who is no administrator."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    """All groups, the first one included."""


@dataclass(frozen=True)
class Users:
    """Four users. The names of users and groups are new ones, which no machine has."""

    member: User
    """In the group `team` besides its own."""
    team: str
    person: User
    other: User
    stranger: User


@contextmanager
def group(name: str) -> Iterator[int]:
    """A group until the end of the block; one that is there already stays."""
    if existing := _gid(name):
        yield existing
        return
    debian.run([_program("groupadd"), "--system", name])
    try:
        yield grp.getgrnam(name).gr_gid
    finally:
        if _gid(name) is not None:  # userdel has removed its own user's
            debian.run([_program("groupdel"), name])


@contextmanager
def user(name: str, *groups: str) -> Iterator[User]:
    """A user with a group of the same name, and in others, until the end of the block."""
    with group(name):
        options = ["--system", "--no-create-home", "--gid", name, "--shell", "/usr/sbin/nologin"]
        debian.run([_program("useradd"), *options, *(["--groups", ",".join(groups)] if groups else []), name])
        try:
            entry = pwd.getpwnam(name)
            yield User(name, entry.pw_uid, entry.pw_gid, tuple(sorted(os.getgrouplist(name, entry.pw_gid))))
        finally:
            debian.run([_program("userdel"), name])


@pytest.fixture(scope="session")
def users() -> Iterator[Users]:
    """Only root can make some."""
    if os.geteuid() != 0:
        pytest.skip("only root can make users")
    mark = f"rp{secrets.token_hex(3)}"
    with ExitStack() as stack:
        stack.enter_context(group(f"{mark}-team"))
        member = stack.enter_context(user(f"{mark}-member", f"{mark}-team"))
        person, other, stranger = (
            stack.enter_context(user(f"{mark}-{name}")) for name in ("person", "other", "stranger")
        )
        yield Users(member, f"{mark}-team", person, other, stranger)


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _program(name: str) -> str:
    program = debian.which(name)
    assert program, f"{name} is missing: Debian's package passwd has it"
    return program
