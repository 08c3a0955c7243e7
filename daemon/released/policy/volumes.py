"""Named volumes of the engine's own driver: most are folders that it made, but they can be any mount."""

from released.engine.host import Volume
from released.policy.host_paths import Refused

LOCAL = "local"

WITHOUT_HOST_PATH = frozenset({"tmpfs", "nfs", "nfs4", "cifs"})
"""Types of file systems whose device is no path of the host; see mount(8)."""


def bound_path(volume: Volume) -> str:
    """Return the path of the host that a volume stands for; empty for none.

    Raises Refused for what can't be told: a disk, say, or an overlay of who knows what.
    """
    if volume.driver != LOCAL or not volume.options:
        return ""
    kind, device = volume.options.get("type", ""), volume.options.get("device", "")
    flags = volume.options.get("o", "").split(",")
    if {"bind", "rbind"} & set(flags) or kind in ("bind", "rbind"):
        if not device.startswith("/"):
            raise Refused(f"the volume is a bind mount of {device!r}, which is no absolute path")
        return device
    if kind in WITHOUT_HOST_PATH or not (kind or device):
        return ""
    raise Refused(
        f"the volume mounts {device!r} as {kind!r}: only folders of the engine, bind mounts, tmpfs, nfs and "
        "cifs are mounted"
    )
