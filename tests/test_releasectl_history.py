"""`releasectl history`: the options, and the filter and order that are asked of the daemon."""

import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from releasectl.history_options import CAUSES, ORDERS, OUTCOMES, STATES
from released.audit.filter import compile_filter
from released.audit.filter.releases import OUTCOMES as KNOWN_OUTCOMES
from released.audit.listings import RELEASE_ORDERS
from releasephase.v1.release_pb2 import Failure, Release
from releasephase.v1.release_service_pb2 import ListReleasesResponse
from support.command_line import releasectl
from support.scripted_service import ScriptedService, serve
from support.story import Story


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ScriptedService]:
    async with serve(tmp_path / "released.sock") as service:
        service.answer("ListReleases", ListReleasesResponse())
        yield service


async def filter_of(service: ScriptedService, *arguments: str) -> str:
    """What is asked of the daemon, which understands it."""
    result = await releasectl(service.socket, "history", *arguments)
    assert (result.exit_code, result.stderr) == (0, "no releases\n")
    text = str(service.requests[-1].filter)
    compile_filter(text)
    return text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ""),
        ("shop", 'application = "shop"'),
        ("shop/live", 'application = "shop" AND environment = "live"'),
        ("--state failed", "state = FAILED"),
        ("--state FAILED --cause command_timed_out", "state = FAILED AND cause = COMMAND_TIMED_OUT"),
        ("--outcome none --state succeeded", "state = SUCCEEDED AND outcome = NONE"),
        ("--outcome abandoned", "outcome = ABANDONED"),
        ("--caller deploy", 'caller = "deploy"'),
        ("--caller 1000", 'caller = "1000"'),
        ("--requested-by jenkins", 'requested_by = "jenkins"'),
        ("--image shop:*", 'image = "shop:*"'),
        ("--digest sha256:3f*", 'digest = "sha256:3f*"'),
        ("--longer-than 10m", "duration > 600000ms"),
        ("--longer-than 1.5s", "duration > 1500ms"),
        ("--until 2026-01-01T00:00:00Z", 'create_time < "2026-01-01T00:00:00Z"'),
        (
            "--since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00+01:00",
            'create_time >= "2026-01-01T00:00:00Z" AND create_time < "2026-01-31T23:00:00Z"',
        ),
        ("--label a=* --label b.c=d", r'labels.a = "\*" AND labels."b.c" = "d"'),
    ],
)
async def test_options_are_a_filter(service: ScriptedService, arguments: str, expected: str) -> None:
    """All of them together narrow it down."""
    assert await filter_of(service, *arguments.split()) == expected


async def test_age_is_a_time(service: ScriptedService) -> None:
    """As the daemon is asked for it."""
    text = await filter_of(service, "--since", "1d", "--state", "failed")
    assert text.startswith('state = FAILED AND create_time >= "20')


async def test_raw_filter_comes_first(service: ScriptedService) -> None:
    """So that the positions that the daemon names are those in what was written."""
    text = await filter_of(service, "shop", "--filter", "state = FAILED OR outcome = NONE")
    assert text == 'state = FAILED OR outcome = NONE AND application = "shop"'
    # OR binds tighter: both belong to what was written.
    assert "OR" in compile_filter(text).sql.split(" AND (+application")[0]


async def test_order(service: ScriptedService) -> None:
    """What is on the next page is not older then."""
    await filter_of(service)
    assert service.requests[-1].order_by == ""
    service.answer("ListReleases", ListReleasesResponse(releases=[Story().release], next_page_token="next"))
    await releasectl(service.socket, "history")
    result = await releasectl(service.socket, "history", "--order-by", " duration  desc")
    assert service.requests[-1].order_by == "duration desc"
    assert result.stderr == "more: releasectl history --order-by 'duration desc' --page-token next\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--since", "1h", "--limit", "2"),
        ("shop", "--until", "1s", "--caller", "deploy"),
        ("shop/live", "--since", "2026-01-31", "--state", "failed"),
        ("--longer-than", "1d2.5s", "--label", "a b=c'd", "--label", "e=*"),
        ("--filter=-state = FAILED", "--order-by", "end_time"),
    ],
)
async def test_next_page_is_of_the_same_list(service: ScriptedService, arguments: tuple[str, ...]) -> None:
    """What is said can be copied, also when an age would be another instant by then."""
    page = ListReleasesResponse(releases=[Story().release], next_page_token="a=b")
    service.answer("ListReleases", page)
    await filter_of(service)
    first = await releasectl(service.socket, "history", *arguments)
    command = first.stderr.partition(": ")[2]
    second = await releasectl(service.socket, *shlex.split(command)[1:])
    assert second == first
    before, after = service.requests[-2:]
    assert (before.page_token, after.page_token) == ("", "a=b")
    before.page_token = "a=b"
    assert after == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("--order-by", "name"),
        ("--order-by", "duration asc"),
        ("--cause", "bad luck"),
        ("--outcome", "live"),
        ("--longer-than", "long"),
        ("--until", "soon"),
    ],
)
async def test_wrong_usage(service: ScriptedService, arguments: tuple[str, str]) -> None:
    """The daemon is not asked."""
    result = await releasectl(service.socket, "history", *arguments)
    assert (result.exit_code, service.requests) == (2, [])


async def test_range_of_no_time_is_wrong_usage(service: ScriptedService) -> None:
    """Somebody has taken one for the other."""
    result = await releasectl(service.socket, "history", "--since", "2026-01-02", "--until", "2026-01-01")
    assert (result.exit_code, service.requests) == (2, [])
    words = "nothing is since 2026-01-02 00:00:00 and before 2026-01-01 00:00:00: --since has to be"
    assert words in " ".join(result.stderr.split())


def test_choices_are_those_of_the_contract() -> None:
    """None is missing, and none is made up."""
    states = [name.removeprefix("STATE_").lower() for name, _ in Release.State.items()]
    causes = [name.removeprefix("CAUSE_").lower() for name, _ in Failure.Cause.items()]
    assert tuple(states[1:]) == STATES
    assert tuple(causes[1:]) == CAUSES
    assert tuple(map(str.lower, KNOWN_OUTCOMES)) == OUTCOMES
    assert tuple(RELEASE_ORDERS) == ORDERS
