"""`[policy]`: what a release may ask for, in a table for each pattern of deployment targets."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Annotated

import msgspec
from msgspec import Meta

from released.config.keys import BadKey, Key
from released.model.image_reference import has_registry, qualified
from released.model.patterns import TargetPattern

DEFAULT = "default"
"""The table for targets that no pattern matches, and for keys that a target's own table leaves out."""

Pattern = Annotated[str, Meta(min_length=1)]
Bytes = Annotated[int, Meta(ge=6 * 1024 * 1024)]
"""Of memory: the engine takes no less."""
Cpus = Annotated[float, Meta(ge=0.001, le=100_000)]
Pids = Annotated[int, Meta(ge=2, le=4 * 1024 * 1024)]
"""Processes and threads: the kernel has no more."""


class MountRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be mounted where."""

    source: Pattern
    """A path of the host, or the name of a volume."""
    target: Pattern
    """Where in the container."""
    read_only: bool = True
    """Whether it may only be read."""


class PolicyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What releases of some targets may ask for; None: what `[policy.default]` says."""

    images: tuple[Pattern, ...] | None = None
    """Patterns of image references, with their registry, or of image ids."""
    digest_required: bool | None = None
    """Whether the image must be named by its digest, or be an image id."""
    networks: tuple[str, ...] | None = None
    """Patterns of networks; the empty text stands for the engine's default."""
    mounts: tuple[MountRule, ...] | None = None
    """What may be mounted where."""
    users: tuple[str, ...] | None = None
    """Patterns of what `user` may be; the empty text stands for the image's own user."""
    root_allowed: bool | None = None
    """Whether user and group may be root's, or anything but numbers, which can be root's."""
    environment_names: tuple[Pattern, ...] | None = None
    """Patterns of the names of environment variables."""
    like_containers: tuple[Pattern, ...] | None = None
    """Patterns of the names of containers from which variables, networks, mounts and user may be taken."""
    max_memory: Bytes | None = None
    """The most that a release may have, in bytes."""
    default_memory: Bytes | None = None
    """What a release gets that asks for none, in bytes."""
    max_cpus: Cpus | None = None
    """The most that a release may have."""
    default_cpus: Cpus | None = None
    """What a release gets that asks for none."""
    max_pids: Pids | None = None
    """The most processes and threads that a release may have."""
    default_pids: Pids | None = None
    """How many a release may have that asks for none."""

    def on_top_of(self, other: "PolicyTable") -> "PolicyTable":
        """Return this table, with what it leaves out as the other one says."""
        own = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(other, **own)


BUILT_IN = PolicyTable(
    images=("**",),
    digest_required=False,
    networks=("*",),
    mounts=(),
    users=("*",),
    root_allowed=True,
    environment_names=("*",),
    like_containers=(),
    max_pids=4096,
)
"""What `[policy.default]` leaves out."""

RESOURCES = ("memory", "cpus", "pids")


def policy_problems(tables: Mapping[str, PolicyTable]) -> Iterator[BadKey]:
    """What is wrong with values that fit their keys."""
    patterns: dict[str, TargetPattern] = {}
    for name in tables:
        if name != DEFAULT:
            try:
                patterns[name] = TargetPattern.parse(name)
            except ValueError as error:
                yield BadKey(("policy", name), f"{error}, or default")
    for one, other in combinations(patterns, 2):
        if patterns[one].overlaps(patterns[other]):
            yield BadKey(
                ("policy", other),
                f'it overlaps with [policy."{one}"]: a target that both match would have two policies',
            )
    for name, table in tables.items():
        yield from _table_problems(("policy", name), table)


def _table_problems(key: Key, table: PolicyTable) -> Iterator[BadKey]:
    for index, pattern in enumerate(table.images or ()):
        if message := _image_problem(pattern):
            yield BadKey((*key, "images", index), message)
    for index, rule in enumerate(table.mounts or ()):
        for name, path in (("source", rule.source), ("target", rule.target)):
            if message := _path_problem(path, may_be_name=name == "source"):
                yield BadKey((*key, "mounts", index, name), message)
    for resource in RESOURCES:
        ceiling, default = (getattr(table, f"{which}_{resource}") for which in ("max", "default"))
        if ceiling is not None and default is not None and default > ceiling:
            yield BadKey((*key, f"default_{resource}"), f"{default} is more than max_{resource}, {ceiling}")


def _image_problem(pattern: str) -> str:
    """What is wrong with a pattern of images: its registry decides whose images they are."""
    registry, _, path = pattern.partition("/")
    if pattern == "**" or pattern.startswith("sha256:"):
        return ""
    if not has_registry(pattern) or "*" in registry:
        return (
            f"{pattern!r} has no registry: write it out, without wildcards, as in docker.io/library/*; "
            "`**` alone stands for any image, sha256:* for any image id"
        )
    written = qualified(pattern)
    if "**" in path.partition(":")[0]:
        # This wildcard has the slash of docker.io/library/shop.
        written = f"{written.partition('/')[0]}/{path}"
    return (
        "" if written == pattern else f"{pattern!r} matches no image: write it as {written}, as Docker does"
    )


def _path_problem(path: str, may_be_name: bool) -> str:
    if may_be_name and "/" not in path and not path.startswith("**"):
        return ""
    if path.startswith("/") and not {"", ".", ".."} & set(path[1:].split("/")):
        return ""
    name = ", or the name of a volume" if may_be_name else ""
    return f"{path!r} is no absolute path without '.', '..' and double slashes{name}"
