"""Resource names in requests."""

import uuid

from released.audit.log import AuditLog
from released.errors import InvalidRequest, NotFound, Violation
from released.model.ids import time_of
from released.service import convert


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
