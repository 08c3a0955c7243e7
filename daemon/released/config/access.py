"""`[access]`: who may do what. Names are looked up in the system's user database."""

import grp
import pwd
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import msgspec

from released.config.keys import BadKey, Key
from released.model.patterns import TargetPattern
from released.model.rights import Right, Role

DEFAULT_GROUP = "released"
"""Whose members may deploy if the configuration does not say who may."""


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Somebody to whom a role is given: a user or a group, for all targets or for some."""

    user: str = ""
    """A user's name, or a number."""
    group: str = ""
    """A group's name, or a number: whoever is in it, as his first group or another one."""
    targets: tuple[str, ...] | None = None
    """Patterns of deployment targets; None for all."""


class Member(NamedTuple):
    """A right, and the user or the group that it is given to."""

    right: Right
    uid: int | None = None
    gid: int | None = None


class Rules(NamedTuple):
    """What `[access]` comes to on this host."""

    members: tuple[Member, ...]
    """Who is given what, by number."""
    applications: tuple[TargetPattern, ...] | None
    """The applications that may have releases, in all of their environments; None for all."""


class AccessConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """`[access]`: who may do what. Root and the daemon's own user are admin, whatever it says."""

    admin: tuple[Grant, ...] = ()
    """Who may do everything, such as drain the daemon."""
    deploy: tuple[Grant, ...] | None = None
    """Who may start and cancel releases, and read; None for the group `released`, if there is one."""
    read: tuple[Grant, ...] = ()
    """Who may see releases and their history."""
    applications: tuple[str, ...] | None = None
    """Patterns of the applications that may have releases; None for all."""

    @cached_property
    def rules(self) -> Rules:
        """Names are looked up once, when it is loaded: who asks later neither waits nor gets an error.

        Raises BadKey for what stands for nothing on this host.
        """
        return Rules(tuple(_members(self)), _application_patterns(self))


def _members(config: AccessConfig) -> Iterator[Member]:
    lists = {Role.ADMIN: config.admin, Role.DEPLOY: config.deploy, Role.READ: config.read}
    for role, grants in lists.items():
        for index, grant in enumerate(grants or ()):
            yield _member(role, grant, ("access", str(role), index))
    if config.deploy is None:
        yield from _default_group()


def _default_group() -> Iterator[Member]:
    try:
        gid = grp.getgrnam(DEFAULT_GROUP).gr_gid
    except KeyError:
        return  # it was not installed as a service
    yield Member(Right(Role.DEPLOY), gid=gid)


def _member(role: Role, grant: Grant, key: Key) -> Member:
    if bool(grant.user) == bool(grant.group):
        raise BadKey(key, "name a user or a group, and not both")
    if role is Role.ADMIN and grant.targets is not None:
        raise BadKey((*key, "targets"), "an admin is one of the whole daemon: use `deploy` for some targets")
    right = Right(role, _patterns(grant, key))
    if grant.user:
        return Member(right, uid=_number(grant.user, lambda name: pwd.getpwnam(name).pw_uid, (*key, "user")))
    return Member(right, gid=_number(grant.group, lambda name: grp.getgrnam(name).gr_gid, (*key, "group")))


def _number(name: str, look_up: Callable[[str], int], key: Key) -> int:
    """A name's number, or the number that it is, as chown(1) has it."""
    try:
        return look_up(name)
    except KeyError:
        if name.isascii() and name.isdecimal():
            return int(name)
        raise BadKey(
            key, f"there is no {key[-1]} {name!r} on this host: create it, or correct the name"
        ) from None


def _application_patterns(config: AccessConfig) -> tuple[TargetPattern, ...] | None:
    if config.applications is None:
        return None
    key = ("access", "applications")
    return tuple(_pattern(f"{name}/*", (*key, index)) for index, name in enumerate(config.applications))


def _patterns(grant: Grant, key: Key) -> tuple[TargetPattern, ...] | None:
    """The targets of a grant; None for all. Raises BadKey."""
    if grant.targets is None:
        return None
    return tuple(_pattern(text, (*key, "targets", index)) for index, text in enumerate(grant.targets))


def _pattern(text: str, key: Key) -> TargetPattern:
    try:
        return TargetPattern.parse(text)
    except ValueError as error:
        raise BadKey(key, str(error)) from error
