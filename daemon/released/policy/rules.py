"""What a release of one target may ask for: pure functions from its fields to why they are refused.

Each returns the reason, for people, or an empty text if there is none.
"""

import posixpath
from collections.abc import Mapping, Sequence

from released.config.policy import BUILT_IN, DEFAULT, PolicyTable
from released.model.patterns import matches
from released.model.release import Mount, Resources, Target
from released.policy.host_paths import normal_path
from released.policy.images import has_digest, is_allowed
from released.policy.powers import Powers

HOST_NETWORKS = frozenset({"host"})
"""Networks of the engine that are no network but the namespace of the host."""

HOST_NETWORK = "is the host's own network, which no release may join: name another one in networks"

TABOO_TARGETS = ("/proc", "/sys", "/dev", "/sbin/docker-init")
"""Where the kernel and the engine have files in every container."""

IMAGE_S_OWN = "the image's own user"
ENGINE_S_DEFAULT = "the engine's default network"

MEMORY_SHARE = 0.75
"""How much of the host's memory a release may have if the operator says nothing."""

LARGEST_NUMBER = 2**31 - 1
"""Of users and groups, for the engine."""

MOST_DIGITS = 10


class Rules:
    """The policy for one target."""

    def __init__(self, target: Target, table: PolicyTable, host_memory: int, powers: Powers) -> None:
        """`host_memory` is in bytes."""
        self._target = target
        self._table = table
        self._host_memory = host_memory
        self._powers = powers

    @classmethod
    def of(
        cls, target: Target, tables: Mapping[str, PolicyTable], host_memory: int, powers: Powers
    ) -> "Rules":
        """Return what the tables say of a target: the one whose pattern matches, on top of the default."""
        table = tables.get(DEFAULT, PolicyTable()).on_top_of(BUILT_IN)
        for pattern, own in tables.items():
            if pattern != DEFAULT and matches(pattern, str(target)):
                table = own.on_top_of(table)
        return cls(target, table, host_memory, powers)

    def refuse_image(self, image: str) -> str:
        """Why this image may not be used."""
        if not is_allowed(image, self._table.images or ()):
            return self._not_allowed(image, self._table.images)
        if self._table.digest_required and not has_digest(image):
            return f"must have a digest, NAME@sha256:…, or be an image id: so the policy for {self._target}"
        return ""

    def refuse_network(self, network: str) -> str:
        """Why this network may not be joined; empty for the engine's default, which who names none gets."""
        if network in HOST_NETWORKS:
            return HOST_NETWORK
        if not self._table.networks:
            return f"the policy for {self._target} allows no network"
        refusal = self._refuse(network, self._table.networks, ENGINE_S_DEFAULT)
        return refusal if network or not refusal else f"{refusal}: name one of them"

    def refuse_variable(self, name: str) -> str:
        """Why a variable of this name may not be set."""
        return self._refuse(name, self._table.environment_names)

    def refuse_like_container(self, name: str) -> str:
        """Why nothing may be taken from the container of this name."""
        return self._refuse(name, self._table.like_containers)

    def refuse_user(self, user: str) -> str:
        """Why this user may not be taken; empty for the image's own."""
        refusal = self._refuse(user, self._table.users, IMAGE_S_OWN)
        return refusal or (self.refuse_numbers(user) if user else "")

    def refuse_numbers(self, user: str) -> str:
        """Why whoever this is, of the request or of the image, may not be, `name|uid[:group|gid]`.

        Only numbers tell: an image's /etc/passwd and /etc/group may give any name the number 0, and a user
        whose group is not said any groups.
        """
        uid, _, gid = user.partition(":")
        for what, number, taken in (("uid", uid, self._powers.uids), ("gid", gid, self._powers.gids)):
            if _number(number) in taken:
                return (
                    f"the {what} {number} is the release daemon's on this host or gives the engine's socket: "
                    "no release may have it"
                )
        if self._table.root_allowed:
            return ""
        if not _number(uid):
            who = repr(user) if user else "no user"
            return f"{who} can be root, whom the policy for {self._target} does not allow: give a uid but 0"
        if not _number(gid):
            return (
                f"{user!r} can be in root's group, which the policy for {self._target} does not allow: "
                "give a gid but 0, UID:GID"
            )
        return ""

    def refuse_working_dir(self, path: str) -> str:
        """Why commands may not run there, as far as the path tells: links in the image are not seen."""
        # /proc/self/fd/N was a way to the host's files through runc, CVE-2024-21626.
        cleaned = posixpath.normpath(normal_path(path))
        inside = any(_is_inside(cleaned, place) for place in TABOO_TARGETS)
        return f"{path} is the kernel's or the engine's: no release may work there" if inside else ""

    def refuse_mount(self, mount: Mount) -> str:
        """Why this may not be mounted there, as far as the request tells."""
        fitting = [
            rule
            for rule in self._table.mounts or ()
            if matches(rule.source, mount.source) and matches(rule.target, mount.target)
        ]
        what = f"{mount.source} at {mount.target}"
        if any(_is_inside(mount.target, place) for place in TABOO_TARGETS):
            return f"{what}: nothing may be mounted there, where the kernel or the engine has its own files"
        if not fitting:
            rules = [f"{rule.source} at {rule.target}" for rule in self._table.mounts or ()]
            return self._not_allowed(what, rules)
        if mount.read_only or not all(rule.read_only for rule in fitting):
            return ""
        return f"{what} is allowed only read-only by the policy for {self._target}"

    def refuse_resources(self, asked: Resources) -> Mapping[str, str]:
        """Why the host does not give as much, by the resource."""
        ceilings = self._ceilings()
        wanted = {"memory_bytes": asked.memory_bytes, "cpus": asked.cpus, "pids": asked.pids}
        return {
            name: f"must be {ceiling:.15g} at most: so the policy for {self._target}"
            for name, ceiling in ceilings.items()
            if ceiling and wanted[name] > ceiling
        }

    def resources(self, asked: Resources) -> Resources:
        """Return what a release gets: what it asks for, or the default."""
        table, ceilings = self._table, self._ceilings()
        return Resources(
            memory_bytes=asked.memory_bytes or int(_default(table.default_memory, ceilings["memory_bytes"])),
            cpus=asked.cpus or _default(table.default_cpus, ceilings["cpus"]),
            pids=asked.pids or int(_default(table.default_pids, ceilings["pids"])),
        )

    def _ceilings(self) -> dict[str, float]:
        """By the resource; 0 for none."""
        table = self._table
        return {
            "memory_bytes": table.max_memory or int(self._host_memory * MEMORY_SHARE),
            "cpus": table.max_cpus or 0.0,
            "pids": table.max_pids or 0,
        }

    def _refuse(self, text: str, patterns: Sequence[str] | None, empty: str = "") -> str:
        """`empty`: what the empty text stands for."""
        allowed = any(matches(pattern, text) for pattern in patterns or ())
        return "" if allowed else self._not_allowed(text or empty, [each or empty for each in patterns or ()])

    def _not_allowed(self, what: str, patterns: Sequence[str] | None) -> str:
        listed = ", ".join(patterns or ()) or "none"
        return f"{what} is not allowed: the policy for {self._target} allows {listed}"


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _number(text: str) -> int | None:
    """Return the number of a user or a group; None for a name, and for what the engine takes for none."""
    digits = text.lstrip("0") or text[-1:]
    is_short = digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS
    return int(digits) if is_short and int(digits) <= LARGEST_NUMBER else None


def _default(default: float | None, ceiling: float) -> float:
    """One that another table gives may lie above this table's ceiling."""
    return min(default, ceiling or default) if default else ceiling
