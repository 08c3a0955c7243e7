"""The verb `diff` as a process of its own, against a scripted service."""

import json
from datetime import timedelta

from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import ListReleasesResponse
from support.command_line import releasectl
from support.scripted_service import ScriptedService
from support.story import BEGIN, NAME, Story, timestamp

OTHER = f"{NAME[:-1]}0"


def before() -> Release:
    """The release of the day before."""
    release = Story("migrate").release
    release.name, release.image = OTHER, "shop:41"
    release.create_time.CopyFrom(timestamp(BEGIN - timedelta(days=1)))
    return release


async def test_two_releases(service: ScriptedService) -> None:
    """The first is what was before; that something differs is no error."""
    service.answer("GetRelease", Story("migrate").release, before())
    result = await releasectl(service.socket, "diff", OTHER, NAME)
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(request.name for request in service.requests) == sorted([OTHER, NAME])
    assert [line.split() for line in result.stdout.decode().splitlines()] == [
        ["before", f"{OTHER},", "QUEUED,", "2026-01-30T12:00:00Z"],
        ["after", f"{NAME},", "QUEUED,", "2026-01-31T12:00:00Z"],
        [],
        ["image", "-", "shop:41"],
        ["+", "registry.example/shop:42"],
    ]


async def test_since_the_last_success(service: ScriptedService) -> None:
    """Of one release alone: what changed since it worked the last time."""
    service.answer("GetRelease", Story("migrate").release)
    service.answer("ListReleases", ListReleasesResponse(releases=[before()]))
    result = await releasectl(service.socket, "diff", NAME, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["before"]["name"], found["after"]["name"]) == (OTHER, NAME)
    request = service.requests[-1]
    assert request.filter == (
        'application = "shop" AND environment = "live" AND state = SUCCEEDED'
        ' AND create_time < "2026-01-31T12:00:00Z"'
    )
    assert request.page_size == 1


async def test_no_success_before(service: ScriptedService) -> None:
    """Of a target's first release there is nothing to compare it with."""
    service.answer("GetRelease", Story("migrate").release)
    service.answer("ListReleases", ListReleasesResponse())
    result = await releasectl(service.socket, "diff", NAME)
    assert (result.exit_code, result.stdout) == (3, b"")
    assert result.stderr == f"releasectl: no release of shop/live before {NAME} has succeeded\n"


async def test_nothing_differs(service: ScriptedService) -> None:
    """That is said, to the person."""
    service.answer("GetRelease", Story("migrate").release)
    result = await releasectl(service.socket, "diff", NAME, NAME)
    assert (result.exit_code, result.stderr) == (0, "nothing differs, durations apart\n")
