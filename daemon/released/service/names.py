"""Resource names in requests."""

import uuid

from released.audit.log import AuditLog
from released.errors import InvalidRequest, NotFound, Violation
from released.model.forms import SLUG, is_uuid
from released.model.ids import time_of
from released.service import convert

APPLICATIONS = "applications/"
COMMANDS = "/commands/"


def release_id_of(name: str, field: str = "name") -> str:
    """The id in a release's resource name. Raises InvalidRequest for any other text in that field."""
    prefix, slash, release_id = name.partition("/")
    try:
        canonical = str(uuid.UUID(release_id))
    except ValueError:
        canonical = None
    if prefix + slash != convert.PREFIX or canonical != release_id:
        raise InvalidRequest([Violation(field, "must be a release's name, releases/{uuid}")])
    return release_id


def application_of(parent: str) -> str | None:
    """The application in its resource name, None for any other text."""
    application = parent.removeprefix(APPLICATIONS)
    return application if parent.startswith(APPLICATIONS) and SLUG.fullmatch(application) else None


def command_of(name: str) -> tuple[str, str] | None:
    """The application and the id in the resource name of a command in its settings, None for other texts."""
    parent, infix, command_id = name.partition(COMMANDS)
    application = application_of(parent)
    is_canonical = is_uuid(command_id) and command_id == command_id.lower()
    return (application, command_id) if application and infix and is_canonical else None


def command_name(application: str, command_id: str) -> str:
    """The resource name of a command in an application's settings."""
    return f"{APPLICATIONS}{application}{COMMANDS}{command_id}"


async def no_release(audit: AuditLog, release_id: str) -> NotFound:
    """The error for a release that is not there; it may have been, as far as can be said."""
    name = convert.release_name(release_id)
    message = f"there is no release {name}{await _or_it_was(audit, release_id)}"
    return NotFound("RELEASE_NOT_FOUND", message, {"name": name})


async def _or_it_was(audit: AuditLog, release_id: str) -> str:
    if audit.damaged:
        return ", or it can't be read: the audit log is damaged, see `releasectl audit verify`"
    since = (await audit.query.kept_since()).events
    made = time_of(release_id)
    if since is None or made is None or made >= since:
        return ""
    return f", or it was pruned: events are kept since {since:%Y-%m-%dT%H:%M:%SZ}"
