"""fly.toml: ``deploy.release_command`` and ``deploy.release_command_timeout``.

https://fly.io/docs/reference/configuration/ (section deploy): the command takes the place of the image's CMD
behind its ENTRYPOINT, and has 5 minutes unless the timeout says otherwise. flyctl splits it into words as a
shell does and runs no shell (ToReleaseMachineConfig in superfly/flyctl, internal/appconfig/machines.go): an
argv. The timeout is a Go duration, https://pkg.go.dev/time#ParseDuration ; a bare number would be one of
nanoseconds (superfly/fly-go, duration.go), which nobody means, and is refused.
"""

from __future__ import annotations

import re
from datetime import timedelta

from ..options import Command
from .documents import read_toml
from .fields import Field, listed
from .found import Found, FoundCommand, ImportFailed, Note
from .shell import program_notes

_COMMAND = "release_command"
_TIMEOUT = "release_command_timeout"
_RELATED = {
    "release_command_vm": "not taken: `run --memory` and `--cpus` limit a release's container",
    "seed_command": "not taken: there is no first release that differs from the others",
}
_PART = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_LONGEST = (2**63 - 1) / 1e9
"""Seconds."""


def read(text: str) -> Found:
    """Return ``deploy.release_command``, as an argv."""
    document = read_toml(text)
    deploy = document.get("deploy")
    command = deploy.get(_COMMAND)
    if command.value is None:
        everything = (*document.others("deploy"), *deploy.others())
        raise ImportFailed(f"has no {command.place}; it has {listed(everything)}")
    found = Command("Release command", argv=command.words(), timeout=_timeout(deploy.get(_TIMEOUT)))
    related = [name for name in deploy.mapping() if name in _RELATED or _is_unknown(str(name))]
    return Found(
        commands=(FoundCommand(command.place, found),),
        notes=(
            *program_notes(command.place, "Fly", command.line()),
            *(Note(f"deploy.{name}", _RELATED.get(str(name), "not taken")) for name in related),
            *_entrypoint(document.get("experimental")),
        ),
        others=(*document.others("deploy"), *deploy.others(_COMMAND, _TIMEOUT, *map(str, related))),
    )


def _is_unknown(name: str) -> bool:
    return name.startswith(_COMMAND) and name not in (_COMMAND, _TIMEOUT)


def _entrypoint(experimental: Field) -> tuple[Note, ...]:
    entrypoint = experimental.get("entrypoint")
    if entrypoint.value is None:
        return ()
    return (Note(entrypoint.place, "not taken: the image's own runs; `run --entrypoint` replaces it"),)


def _timeout(field: Field) -> timedelta | None:
    if field.value is None:
        return None
    text = field.line()
    parts = list(_PART.finditer(text))
    if "".join(part[0] for part in parts) != text:
        raise ImportFailed(f"{field.place}: must be a duration such as 90s, 10m or 1h30m, not {text!r}")
    seconds = sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
    if seconds > _LONGEST:
        raise ImportFailed(f"{field.place}: is longer than the 292 years of a Go duration")
    timeout = timedelta(seconds=seconds)
    if not timeout:
        raise ImportFailed(f"{field.place}: must be more than 0")
    return timeout
