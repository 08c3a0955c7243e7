"""railway.json and railway.toml: ``deploy.preDeployCommand``.

https://docs.railway.com/config-as-code/reference : a line, or a list with one. The list is not for several:
"the underlying logic only supports one command" (a maintainer in https://github.com/railwayapp/docs/issues/1104),
and some write an argv there, so a longer one is refused. ``environments.NAME.deploy`` replaces ``deploy`` in
that environment. Whether a shell reads it is not documented; none reads the start command of a service that
comes from a Dockerfile or an image (https://docs.railway.com/deployments/start-command ).
"""

from __future__ import annotations

from .documents import read_json, read_toml
from .fields import Field, listed
from .found import Found, ImportFailed, Note, shell_lines
from .shell import line_notes

_COMMAND = "preDeployCommand"
_NO_SHELL = "Railway does not say whether it runs a shell for an image: for its start command it runs none"


def read_json_file(text: str) -> Found:
    """Return ``deploy.preDeployCommand`` of a railway.json."""
    return _found(read_json(text))


def read_toml_file(text: str) -> Found:
    """Return ``deploy.preDeployCommand`` of a railway.toml."""
    return _found(read_toml(text))


def _found(document: Field) -> Found:
    deploy = document.get("deploy")
    command = _one(deploy.get(_COMMAND))
    overrides = _overrides(document.get("environments"))
    everything = (*document.others("deploy"), *deploy.others(_COMMAND))
    if command.value is None:
        raise ImportFailed(f"has no deploy.{_COMMAND}; it has {listed((*overrides, *everything))}")
    related = tuple(place for place in everything if place.startswith("deploy.preDeploy"))
    return Found(
        commands=shell_lines("Pre-deploy command", [(command.place, command.line())]),
        notes=(
            *line_notes(command.place, command.line(), _NO_SHELL),
            *(Note(place, "not taken") for place in related),
            *(Note(place, "not taken: it replaces the command in that environment") for place in overrides),
        ),
        others=tuple(place for place in everything if place not in related),
    )


def _one(command: Field) -> Field:
    if not isinstance(command.value, list):
        return command
    elements = command.elements()
    if len(elements) > 1:
        raise ImportFailed(
            f"{command.place}: has {len(elements)} elements, and Railway runs one line only:"
            " write it as one text, with && between several commands"
        )
    return elements[0] if elements else Field(None, command.place)


def _overrides(environments: Field) -> list[str]:
    commands = [environments.get(str(name)).get("deploy").get(_COMMAND) for name in environments.mapping()]
    return [command.place for command in commands if command.value is not None]
