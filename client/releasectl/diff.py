"""The verb `diff`: what differs between two releases."""

from __future__ import annotations

import sys

from releasephase.v1.release_pb2 import Release

from .client import ReleaseClient
from .comparison import compare
from .comparison_view import compared_fields, comparison_object, difference_fields, duration_table
from .drawing import draw, in_list
from .exceptions import NotFound
from .exit_codes import ExitCode
from .filters import release_filter
from .json_output import indented
from .views import say


async def diff(client: ReleaseClient, before: str, after: str, *, as_json: bool) -> ExitCode:
    """Show what differs between two releases; of one alone, since the last success before it."""
    newer = await client.get_release(after or before)
    older = await client.get_release(before) if after else await _last_success_before(client, newer)
    comparison = compare(older, newer)
    if as_json:
        sys.stdout.write(indented(comparison_object(comparison)))
        sys.stdout.flush()
        return ExitCode.OK
    if comparison.is_same:
        say("nothing differs, durations apart")
    draw(compared_fields(comparison, in_list()), difference_fields(comparison), duration_table(comparison))
    return ExitCode.OK


async def _last_success_before(client: ReleaseClient, release: Release) -> Release:
    application, environment = release.application, release.environment
    succeeded = release_filter(application=application, environment=environment, state="SUCCEEDED")
    filter = f'{succeeded} AND create_time < "{release.create_time.ToJsonString()}"'
    page_token = ""
    while True:
        page = await client.list_releases_page(filter, page_size=1, page_token=page_token)
        for found in page.releases:
            if not found.rollback_of:  # which has other commands
                return found
        page_token = page.next_page_token
        if not page_token:
            raise NotFound(f"no release of {application}/{environment} before {release.name} has succeeded")
