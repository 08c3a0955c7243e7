"""The configuration of a release container: pure functions from a spec to the engine's API.

The form is that of `POST /containers/create`, Docker Engine API 1.41.
"""

from importlib.resources import files
from typing import Any

from released.model.release import Mount, ReleaseSpec, Secrets

SUPERVISOR = files("released.engine").joinpath("supervisor.sh").read_text()
"""Lets the commands go one by one and reports how they ended; see its own comments."""

RELEASE_LABEL = "releasephase.release"
"""The label that says which release a container belongs to; its value is the release's name."""


def container_config(
    release_id: str,
    spec: ReleaseSpec,
    secrets: Secrets,
    image_id: str,
    nonce: str,
    log_driver: str,
) -> dict[str, Any]:
    """Return the configuration of the container that runs all commands of a release."""
    config: dict[str, Any] = {
        "Image": image_id,
        "Cmd": supervised(spec, nonce),
        "Env": [f"{name}={value}" for name, value in environment(release_id, spec, secrets).items()],
        "Labels": {
            RELEASE_LABEL: f"releases/{release_id}",
            "releasephase.target": str(spec.target),
            "releasephase.image": spec.image,
            "releasephase.commands": ", ".join(command.label for command in spec.commands),
        },
        "Tty": False,
        "OpenStdin": True,
        # Not StdinOnce: the gate must stay open for whoever attaches next.
        "StdinOnce": False,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        # The image's own would call a migration unhealthy.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, log_driver),
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


def supervised(spec: ReleaseSpec, nonce: str) -> list[str]:
    """Return the arguments for the entrypoint: the supervisor with all commands."""
    # The fourth is the shell's $0, which `ps` shows.
    head = ["/bin/sh", "-c", SUPERVISOR, "release-supervisor"]
    return [*head, nonce, *(command.shell_line for command in spec.commands)]


def environment(release_id: str, spec: ReleaseSpec, secrets: Secrets) -> dict[str, str]:
    """Return the variables of the container on top of the image's own."""
    return {
        **secrets.environment,
        "RELEASE_COMMAND": "1",
        "RELEASEPHASE_RELEASE": f"releases/{release_id}",
        "RELEASEPHASE_TARGET": str(spec.target),
    }


def name_of(release_id: str, spec: ReleaseSpec) -> str:
    """Return the container's name, which also keeps it from being created twice."""
    # The tail: the head of a UUID of version 7 is the time, which two releases may share.
    return f"release-{spec.application}-{spec.environment}-{release_id.replace('-', '')[-12:]}"


def _host_config(spec: ReleaseSpec, log_driver: str) -> dict[str, Any]:
    resources = spec.resources
    config: dict[str, Any] = {
        "Init": True,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": log_driver},
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
    return {
        "Type": "bind" if mount.source.startswith("/") else "volume",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
