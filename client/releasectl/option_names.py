"""What the fields of a request are called on the command line: who typed an option knows no field."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .exceptions import Violation

_VALUES = {
    "env": "--env or --secret",
    "registry_auth": "--registry-user",
}
RETRY: Mapping[str, str] = {
    **_VALUES,
    "request_id": "--request-id",
    "requested_by": "--requested-by",
}
OUTCOME: Mapping[str, str] = {
    **_VALUES,
    "run_rollback": "--run-rollback",
    "reason": "--reason",
}
SETTINGS: Mapping[str, str] = {
    "parent": "APP",
    "page_token": "--page-token",
}
_FORM = {
    **SETTINGS,
    "command.line": "--line",
    "command.argv": "--exec",
    "command.timeout": "--timeout",
    "command.environments": "--environment",
    "command.rollback": "--rollback",
}
ADD: Mapping[str, str] = {**_FORM, "command.label": "LABEL", "position": "--position"}
EDIT: Mapping[str, str] = {**_FORM, "command.label": "--label"}
MOVE: Mapping[str, str] = {**SETTINGS, "position": "--to"}

_DESCRIPTIONS: Mapping[str, str] = {
    # The field is a resource name, of which a person types a part.
    "parent": "must be 1 to 63 lower-case letters, digits and inner hyphens",
}


def violation_text(violation: Violation, options: Mapping[str, str]) -> str:
    """Return what is wrong with which option, or with which field if no option is known for it.

    Args:
        violation: As the daemon has told it.
        options: By the paths of fields, without what is behind their indices.
    """
    description = _DESCRIPTIONS.get(violation.field, violation.description)
    return f"{_option(violation.field, options)}: {description}"


def _option(field: str, options: Mapping[str, str]) -> str:
    path = re.sub(r"\[\d+\]", "", field)
    while path not in options:
        path, dot, _ = path.rpartition(".")
        if not dot:
            return field
    index = re.search(r"\[(\d+)\]$", field)
    return f"{options[path]} number {int(index[1]) + 1}" if index else options[path]
