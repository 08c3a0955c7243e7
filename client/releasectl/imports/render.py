"""render.yaml: ``preDeployCommand`` of a service.

https://render.com/docs/blueprint-spec : services are listed at the top, below ``ungrouped``, or below
``projects[].environments[]``, where two environments may have services of the same name. ``preDeployCommand``
is one line, which runs after a service's build and before its start; ``initialDeployHook`` runs once, after
the first deployment of a new service.
"""

from __future__ import annotations

from collections.abc import Iterator

from .documents import read_yaml
from .fields import Field, listed
from .found import Found, ImportFailed, Note, shell_lines
from .services import chosen, required
from .shell import line_notes

_COMMAND = "preDeployCommand"
_RELATED = {"initialDeployHook": "not taken: there is no first release that differs from the others"}


def read(text: str, service: str) -> Found:
    """Return the ``preDeployCommand`` of the service, or of the only one that has any if it is empty."""
    document = read_yaml(text)
    services = _services(document)
    names = required(services, document, _COMMAND)
    if not service and len(names) > 1:
        raise ImportFailed(f"has several services with a {_COMMAND}: choose {listed(names)} with --service")
    name = service or names[0]
    field = chosen(services, name, _COMMAND)
    command = field.get(_COMMAND)
    return Found(
        commands=shell_lines("Pre-deploy command", [(command.place, command.line())]),
        notes=(
            *line_notes(command.place, command.line()),
            *(Note(field.get(key).place, why) for key, why in _RELATED.items() if key in field.mapping()),
            *(
                Note(services[other].get(_COMMAND).place, f"not taken: `--service {other}` takes it")
                for other in names
                if other != name
            ),
        ),
        others=(
            *document.others("services", "ungrouped", "projects"),
            *(each.place for other, each in services.items() if other not in (name, *names)),
            *field.others("name", _COMMAND, *_RELATED),
        ),
    )


def _services(document: Field) -> dict[str, Field]:
    """Each service by its name, those of an environment by ``ENVIRONMENT/NAME``."""
    found: dict[str, Field] = {}
    for name, service in _named(document):
        if name in found:
            raise ImportFailed(f"{service.place}: {name}: is the name of {found[name].place} already")
        found[name] = service
    return found


def _named(document: Field) -> Iterator[tuple[str, Field]]:
    for parent in (document, document.get("ungrouped")):
        for service in parent.get("services").elements():
            yield service.get("name").line(), service
    for project in document.get("projects").elements():
        for environment in project.get("environments").elements():
            for service in environment.get("services").elements():
                yield f"{environment.get('name').line()}/{service.get('name').line()}", service
