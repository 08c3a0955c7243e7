"""Resource names in requests."""

import uuid

from released.errors import InvalidRequest, NotFound, Violation
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


def no_release(release_id: str) -> NotFound:
    """The error for a release that is not there."""
    name = convert.release_name(release_id)
    return NotFound("RELEASE_NOT_FOUND", f"there is no release {name}", {"name": name})
