"""The configuration of a release container: pure functions from a spec to the engine's API.

The form is that of `POST /containers/create`, Docker Engine API 1.41.
"""

import re
from importlib.resources import files
from typing import Any, NamedTuple

from released.model.release import Command, Mount, ReleaseSpec, Secrets

SUPERVISOR = files("released.engine").joinpath("supervisor.sh").read_text()
"""Lets the commands go one by one and reports how they ended; see its own comments."""

RELEASE_LABEL = "releasephase.release"
"""The label that says which release a container belongs to; its value is the release's name."""

COMMAND_LABEL = "releasephase.command"
"""The label that says which command a container runs, if it has one for itself; counted from 0."""

DAEMON_LABEL = "releasephase.daemon"
"""The label that says which daemon created a container, where several share an engine."""

COMMAND_LABELS_LABEL = "releasephase.command-labels"
"""The label that says what people call the commands that a container runs.

Not `releasephase.commands`: in that one an image declares them, and its containers have it, too.
"""

ROTATED_FILES = 5
"""Into how many files the engine's log of a container is cut; the oldest goes when there are more."""

LEAST_FILE_BYTES = 1024 * 1024

SIZED_LOG_DRIVERS = frozenset({"local", "json-file"})

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")
"""What root keeps in a container: enough to own and write an application's files, to become its user (as
gosu and su-exec do in entrypoints), and to signal that user's processes, as the supervisor has to.

Of the engine's default these are left out: AUDIT_WRITE, MKNOD, NET_BIND_SERVICE, NET_RAW, SETFCAP, SETPCAP
and SYS_CHROOT.
"""

_SUPERVISOR_NAME = "release-supervisor"
"""The shell's $0, which `ps` shows."""

_NONCE_AT = 4
"""Where the nonce is among the supervisor's arguments."""


class Process(NamedTuple):
    """What a container's entrypoint is to run; no index: all commands."""

    arguments: list[str]
    command_index: int | None = None

    @property
    def has_gates(self) -> bool:
        """Whether it waits on its standard input for leave to go on."""
        return self.command_index is None


def container_config(
    release_id: str,
    spec: ReleaseSpec,
    secrets: Secrets,
    image_id: str,
    process: Process,
    log: dict[str, Any],
    instance_id: str,
) -> dict[str, Any]:
    """Return the configuration of a container that runs all commands of a release, or one of them."""
    config: dict[str, Any] = {
        "Image": image_id,
        "Cmd": process.arguments,
        "Env": [f"{name}={value}" for name, value in environment(release_id, spec, secrets).items()],
        "Labels": {
            RELEASE_LABEL: f"releases/{release_id}",
            DAEMON_LABEL: instance_id,
            "releasephase.target": str(spec.target),
            "releasephase.image": spec.image,
            **_command_labels(spec, process.command_index),
        },
        "Tty": False,
        "OpenStdin": process.has_gates,
        # Not StdinOnce: the gate must stay open for whoever attaches next.
        "StdinOnce": False,
        "AttachStdin": process.has_gates,
        "AttachStdout": True,
        "AttachStderr": True,
        # The image's own would call a migration unhealthy.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, log),
    }
    if spec.networks:
        # The engine takes one network here; the others are connected before the start.
        config["NetworkingConfig"] = {"EndpointsConfig": {spec.networks[0]: {}}}
    if spec.user:
        config["User"] = spec.user
    if spec.working_dir:
        config["WorkingDir"] = spec.working_dir
    if spec.entrypoint is not None:
        # [""] stands for no entrypoint; an empty list would stand for the image's own.
        config["Entrypoint"] = list(spec.entrypoint) or [""]
    return config


def unstarted_config(release_id: str, spec: ReleaseSpec, image_id: str, instance_id: str) -> dict[str, Any]:
    """Return the configuration of a container that is never started: it only has what is in the image."""
    return {
        "Image": image_id,
        # The engine creates none without a command.
        "Cmd": ["never-started"],
        "Labels": {
            RELEASE_LABEL: f"releases/{release_id}",
            DAEMON_LABEL: instance_id,
            "releasephase.target": str(spec.target),
        },
        "NetworkDisabled": True,
        "HostConfig": {"NetworkMode": "none"},
    }


def supervised(spec: ReleaseSpec, nonce: str) -> Process:
    """Return the supervisor with all commands."""
    head = ["/bin/sh", "-c", SUPERVISOR, _SUPERVISOR_NAME]
    return Process([*head, nonce, *map(_gated, spec.commands)])


def _gated(command: Command) -> str:
    """A command as the supervisor takes it."""
    if command.skip_reason:
        return ""
    return f"{'-' if command.allow_failure else '='}{command.shell_line}"


def single(spec: ReleaseSpec, index: int) -> Process:
    """Return one command as it is: an argv needs no shell."""
    command = spec.commands[index]
    arguments = ["/bin/sh", "-c", command.line] if command.line is not None else list(command.argv or ())
    return Process(arguments, index)


def nonce_in(arguments: list[str] | None) -> str:
    """Return the nonce that `supervised` was given, empty for the arguments of anything else."""
    is_supervised = arguments is not None and arguments[_NONCE_AT - 1 : _NONCE_AT] == [_SUPERVISOR_NAME]
    return arguments[_NONCE_AT] if arguments and is_supervised else ""


def log_config(driver: str, output_cap: int) -> dict[str, Any]:
    """Return the engine's logging for a container: of known size, and somewhat larger than the output cap.

    So what a daemon that was away has to store is still there, mostly: the size is that on the
    disk, with some bytes more for each line, and of all commands together, where the cap is each one's
    own. Short lines and many commands lose their oldest output sooner.
    """
    if driver not in SIZED_LOG_DRIVERS:
        return {"Type": driver}
    file_bytes = max(LEAST_FILE_BYTES, output_cap // (ROTATED_FILES - 1))
    return {"Type": driver, "Config": {"max-size": str(file_bytes), "max-file": str(ROTATED_FILES)}}


def environment(release_id: str, spec: ReleaseSpec, secrets: Secrets) -> dict[str, str]:
    """Return the variables of the container on top of the image's own."""
    return {
        **secrets.environment,
        "RELEASE_COMMAND": "1",
        "RELEASEPHASE_RELEASE": f"releases/{release_id}",
        "RELEASEPHASE_TARGET": str(spec.target),
    }


def name_of(release_id: str, spec: ReleaseSpec, command_index: int | None = None) -> str:
    """Return the container's name, which also keeps it from being created twice."""
    name = f"release-{spec.application}-{spec.environment}-{_tail(release_id)}"
    return name if command_index is None else f"{name}-{command_index}"


def unstarted_name_of(release_id: str, spec: ReleaseSpec) -> str:
    """Return the name of a container that is never started, in the same form."""
    return f"release-{spec.application}-{spec.environment}-files-{_tail(release_id)}"


def is_name_of(name: str, release_id: str) -> bool:
    """Whether `name_of` may have made this name for a release, whatever its spec."""
    return re.fullmatch(rf"release-[^/]+-{re.escape(_tail(release_id))}(-[0-9]+)?", name) is not None


def _tail(release_id: str) -> str:
    """What tells releases apart: the head of a UUID of version 7 is the time, which two may share."""
    return release_id.replace("-", "")[-12:]


def _command_labels(spec: ReleaseSpec, index: int | None) -> dict[str, str]:
    if index is None:
        return {COMMAND_LABELS_LABEL: ", ".join(command.label for command in spec.commands)}
    return {COMMAND_LABEL: str(index), COMMAND_LABELS_LABEL: spec.commands[index].label}


def _host_config(spec: ReleaseSpec, log: dict[str, Any]) -> dict[str, Any]:
    resources = spec.resources
    config: dict[str, Any] = {
        "Init": True,
        # Not left to the engine, whose defaults can be set. Its seccomp and AppArmor profiles are kept.
        "Privileged": False,
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "SecurityOpt": ["no-new-privileges"],
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": log,
        "Mounts": [_mount(mount) for mount in spec.mounts],
    }
    if spec.networks:
        config["NetworkMode"] = spec.networks[0]
    if resources.memory_bytes:
        # Equal, so that the limit is one: swapping only delays running out of memory.
        config["Memory"] = config["MemorySwap"] = resources.memory_bytes
    if resources.cpus:
        config["NanoCpus"] = round(resources.cpus * 1e9)
    if resources.pids:
        config["PidsLimit"] = resources.pids
    return config


def _mount(mount: Mount) -> dict[str, Any]:
    # Mounts, not Binds: those make a folder on the host where a source is missing.
    mounted = {"Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
    if not mount.source.startswith("/"):
        # An empty volume gets what the image has there; not through a mount that may only be read.
        return {"Type": "volume", **mounted, "VolumeOptions": {"NoCopy": mount.read_only}}
    # What is mounted below it was not asked for; and it would be writable, whatever ReadOnly says.
    return {"Type": "bind", **mounted, "BindOptions": {"Propagation": "rprivate", "NonRecursive": True}}
