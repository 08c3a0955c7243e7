"""A Compose file: the ``command`` of a service that is run for its effect, such as a migration.

https://github.com/compose-spec/compose-spec/blob/main/05-services.md#command : no shell runs a command that
is a text, as it would that of a Dockerfile; it is split into words only. A list is an argv. Both become an
argv here. 12-interpolation.md: ``$$`` is a dollar sign, and ``$NAME`` and ``${NAME}`` stand for variables of
whoever runs Compose. These are left as they are, since their values are not in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..options import Command
from .documents import read_yaml
from .fields import Field, checked, listed, program, words
from .found import Found, FoundCommand, ImportFailed, Note
from .services import chosen, required
from .shell import is_shell, program_notes

_RELATED = {
    "entrypoint": "not taken: the image's own runs; `run --entrypoint` replaces it",
    "environment": "not taken: `run --env` sets variables",
    "env_file": "not taken: `run --env-file` reads variables",
    "extends": "not taken: another service's keys are not read",
    "depends_on": "not taken: what a command needs has to run already",
    "networks": "not taken: `run --network` joins a network",
    "profiles": "not taken: a command runs in each release, or in those of its environments",
    "user": "not taken: `run --user` sets it",
    "volumes": "not taken: `run --volume` mounts one",
    "working_dir": "not taken: `run --workdir` sets it",
}
_DOLLAR = re.compile(r"\$(?:(\$)|\{[^}]*\}|[A-Za-z_][A-Za-z0-9_]*)")


def read(text: str, service: str) -> Found:
    """Return the ``command`` of the service, as an argv labelled with the service's name.

    There is no service that is taken by itself: most commands in such a file never end.
    """
    document = read_yaml(text)
    services = _services(document.get("services"))
    names = required(services, document, "command")
    if not service:
        raise ImportFailed(f"services: choose one with --service; services with a command: {listed(names)}")
    field = chosen(services, service, "command")
    command = field.get("command")
    related = [key for key in _RELATED if field.get(key).value is not None]
    return Found(
        commands=(FoundCommand(command.place, Command(service, argv=_argv(command))),),
        notes=(*_notes(command), *(Note(field.get(key).place, _RELATED[key]) for key in related)),
        others=(
            *document.others("services"),
            *(field.place for name, field in services.items() if name != service),
            *field.others("command", *related),
        ),
    )


def _services(services: Field) -> dict[str, Field]:
    for name in services.mapping():
        if not isinstance(name, str) or not name.strip() or "\n" in name:
            raise ImportFailed(f"services: the name of a service must be a text of one line, not {name!r}")
        checked(name, "services")
    return {str(name): services.get(str(name)) for name in services.mapping()}


def _argv(command: Field) -> list[str]:
    texts = [_dollars(text) for text in _texts(command)]
    if isinstance(command.value, list):
        return program(texts, command.place)
    return words(texts[0], command.place)


def _texts(command: Field) -> list[str]:
    """What the command consists of: one text, or those of the list."""
    if not isinstance(command.value, list):
        return [command.line()]
    return [element.text() for element in command.elements()]


def _dollars(text: str, variable: str | None = None) -> str:
    """The text with a dollar sign for each pair of them, and perhaps something for each variable."""
    return _DOLLAR.sub(lambda match: match[1] or (match[0] if variable is None else variable), text)


def _notes(command: Field) -> Iterator[Note]:
    texts = _texts(command)
    variables = [match[0] for text in texts for match in _DOLLAR.finditer(text) if not match[1]]
    if variables:
        shell = "its own shell" if is_shell(_argv(command)) else "no shell"
        yield Note(
            command.place,
            f"{listed(dict.fromkeys(variables))}: left as it is: Compose would put a value of its own"
            f" environment there, and {shell} reads this command",
        )
    rest = [_dollars(text, "x") for text in texts]
    yield from program_notes(command.place, "Compose", rest if isinstance(command.value, list) else rest[0])
