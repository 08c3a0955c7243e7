"""The filter of ListReleases: what it lets through of a real database, and what it refuses, where."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from released.audit.filter import DEEPEST, LONGEST, MOST_RESTRICTIONS, compile_filter
from released.audit.log import AuditLog
from released.errors import InvalidRequest
from released.model.caller import Caller
from released.model.events import Failure, ImageResolved, StateChanged
from released.model.states import Cause, ReleaseState
from support import audit_log
from support.samples import CALLER, accepted

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOSTILE = "'; DROP TABLE releases; --"

SOMEBODY = Caller(uid=0, gid=0, pid=7)

RELEASES = {
    "shop": accepted("true", labels={"team": "a", "build": "7"}, image="reg:5000/shop:1"),
    "test": accepted("true", environment="test", labels={"team": "b"}, image="shop:*"),
    "blog": accepted("true", application="blog", labels={"a b": HOSTILE}, image="blog:[1]"),
    "wiki": accepted("true", application="wiki", labels={"team": ""}, requested_by="Jo O'Neill"),
}
CALLERS = {"shop": CALLER, "test": SOMEBODY, "blog": CALLER}
DIGEST = f"sha256:{'3f' * 32}"
"""Accepted in this order, a second apart, at START and after."""


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        for second, (name, event) in enumerate(RELEASES.items()):
            event = msgspec.structs.replace(event, caller=CALLERS.get(name))
            with clock(second):
                await audit.append(name, event)
        with clock(10):
            await audit.append("test", StateChanged(state=ReleaseState.PREPARING))
            await audit.append("blog", StateChanged(state=ReleaseState.PREPARING))
            await audit.append("blog", ImageResolved(image_id="i", image_digest=f"reg:5000/blog@{DIGEST}"))
        failure = Failure(cause=Cause.IMAGE_UNAVAILABLE, message="gone")
        with clock(100):
            await audit.append("blog", StateChanged(state=ReleaseState.FAILED, failure=failure))
        yield audit


def clock(second: int) -> Any:
    """The clock stands still, so long after START."""
    return patch("time.time_ns", return_value=int((START.timestamp() + second) * 1e9))


async def names(audit: AuditLog, text: str) -> str:
    """Which releases a filter lets through, oldest first."""
    condition = compile_filter(text)
    found = await audit_log.listed(audit, condition)
    return " ".join(record.release_id for _, record in reversed(found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "shop test blog wiki"),
        ("  \n", "shop test blog wiki"),
        ("application = shop", "shop test"),
        ("application=shop", "shop test"),
        ("application != shop", "blog wiki"),
        ("environment = test", "test"),
        ("environment != live", "test"),
        ('application = "shop"', "shop test"),
        ("application = 'shop'", "shop test"),
        ("state = FAILED", "blog"),
        ("state = STATE_FAILED", "blog"),
        ("state != QUEUED", "test blog"),
        ("application = *o*", "shop test blog"),
        ("application = sh*", "shop test"),
        ("application != *o*", "wiki"),
        ('application = "sh*p"', "shop test"),
        (r'application = "sh\*p"', ""),
        ("application:o", "shop test blog"),
        ("application:*", "shop test blog wiki"),
        ("target = shop/live", "shop"),
        ("target = shop/*", "shop test"),
        ("target = */live", "shop blog wiki"),
        ("target = */t*", "test"),
        ("target != shop/live", "test blog wiki"),
        ("cause = IMAGE_UNAVAILABLE", "blog"),
        ("cause = CAUSE_IMAGE_UNAVAILABLE", "blog"),
        ("cause = COMMAND_FAILED", ""),
        ("cause != COMMAND_FAILED", "blog"),
        ("NOT cause = COMMAND_FAILED", "shop test blog wiki"),
        ("cause:*", "blog"),
        ("NOT cause:*", "shop test wiki"),
        ("outcome = NONE", "shop test blog wiki"),
        ("outcome = OUTCOME_DEPLOYED", ""),
        ("outcome != ABANDONED", "shop test blog wiki"),
        ("caller = ci", "shop blog"),
        ("caller = 1000", "shop blog"),
        ("caller = 0", "test"),
        ("caller != 0", "shop blog"),
        ("caller != ci", "test wiki"),
        ("NOT caller = 0", "shop blog wiki"),
        ("caller = c*", "shop blog"),
        ("caller:i", "shop blog"),
        ("caller = 99999999999999999999", ""),
        ('requested_by = "Jo O\'Neill"', "wiki"),
        ("requested_by:Neill", "wiki"),
        ("requested_by != x", "shop test blog wiki"),
        ('requested_by = ""', "shop test blog"),
        ("digest != x", "shop test blog wiki"),
        ('digest = ""', "shop test wiki"),
        ("requested_by:*", "wiki"),
        ("image = shop:2", "wiki"),
        ("image = shop:*", "test wiki"),
        (r'image = "shop:\*"', "test"),
        ("image = reg*1", "shop"),
        ("image = 'blog:[1]'", "blog"),
        ("image = 'blog:[1]*'", "blog"),
        ("image = 'blog:?*'", ""),
        ("image:shop", "shop test wiki"),
        (r"image:'\*'", "test"),
        ("image:'[1]'", "blog"),
        (f"digest = {DIGEST}", "blog"),
        (f"digest = reg:5000/blog@{DIGEST}", "blog"),
        (f"digest = shop@{DIGEST}", ""),
        ("digest = sha256:3f3f*", "blog"),
        ("digest = reg*@sha256:3f*", "blog"),
        ("digest != ''", "blog"),
        ("digest:3f3f3f", "blog"),
        ("digest:*", "blog"),
        ("start_time:*", "test blog"),
        ("start_time > 2026-01-31T12:00:09Z", "test blog"),
        ("end_time:*", "blog"),
        ("end_time <= 2026-01-31T12:01:40Z", "blog"),
        ("end_time < 2026-01-31T12:01:40Z", ""),
        ("NOT end_time > 2026-01-31T13:00:00Z", "shop test blog wiki"),
        ("duration > 89s", "blog"),
        ("duration > 90s", ""),
        ("duration >= 1.5m", "blog"),
        ("duration = 90000ms", "blog"),
        ("duration < 1h30m", "blog"),
        ("duration < 0.5d", "blog"),
        ("duration != 1s", "blog"),
        ("NOT duration < 1d", "shop test wiki"),
        ("duration:*", "blog"),
        ("duration > 999999999d", ""),
        ("create_time < 2026-01-31T12:00:01Z", "shop"),
        ("create_time <= 2026-01-31T12:00:01Z", "shop test"),
        ("create_time > 2026-01-31T12:00:01Z", "blog wiki"),
        ("create_time >= 2026-01-31T12:00:01Z", "test blog wiki"),
        ("create_time = 2026-01-31T12:00:01Z", "test"),
        ("create_time != 2026-01-31T12:00:01Z", "shop blog wiki"),
        ('create_time = "2026-01-31T14:00:01.000000+02:00"', "test"),
        ("labels.team = a", "shop"),
        ("labels.team != a", "test wiki"),
        ('labels.team = ""', "wiki"),
        ("labels:team", "shop test wiki"),
        ("labels.team:*", "shop test wiki"),
        ("labels.team:a", "shop"),
        ("labels.'a b':DROP", "blog"),
        ("labels.team = *", "shop test wiki"),
        ("labels.team != *a*", "test wiki"),
        ("labels.team = 'a*'", "shop"),
        ("labels : build", "shop"),
        ("labels . build = 7", "shop"),
        ('labels."a b" != x', "blog"),
        ("labels:'a b'", "blog"),
        ("NOT labels:team", "blog"),
        ("-labels:team", "blog"),
        ("NOT application = shop", "blog wiki"),
        ("NOT NOT application = shop", "shop test"),
        ("NOT -application = shop", "shop test"),
        ("--(application = shop)", "shop test"),
        ("NOT (application = shop OR state = FAILED)", "wiki"),
        ("NOT application = shop AND state = QUEUED", "wiki"),
        ("application = shop AND environment = live", "shop"),
        ("application = blog OR application = wiki", "blog wiki"),
        ("application = shop AND state = FAILED OR state = QUEUED", "shop"),
        ("state = FAILED OR state = QUEUED AND application = shop", "shop"),
        ("(application = shop AND state = FAILED) OR state = QUEUED", "shop wiki"),
        ("((application = shop))AND(environment = live)", "shop"),
        ("application = shop AND environment = live AND labels.build = 7", "shop"),
    ],
)
async def test_what_a_filter_lets_through(audit: AuditLog, text: str, expected: str) -> None:
    """OR binds tighter than AND, as AIP-160 says."""
    assert await names(audit, text) == expected


@pytest.mark.parametrize(
    ("quoted", "value"),
    [
        (r'"a\"b"', 'a"b'),
        (r"'a\'b'", "a'b"),
        (r'"a\\b"', r"a\b"),
        ('"two\nlines"', "two\nlines"),
        ('"AND (OR) NOT"', "AND (OR) NOT"),
        ("'say \"x\"'", 'say "x"'),
        ("''", ""),
        ("AND", "AND"),
    ],
)
def test_quoted_values(quoted: str, value: str) -> None:
    """A backslash takes the next character as it is."""
    assert compile_filter(f"application = {quoted}").parameters == (value,)


@pytest.mark.parametrize(
    "text",
    [
        f'application = "{HOSTILE}"',
        f'labels.k = "{HOSTILE}"',
        f'labels."{HOSTILE}" = x',
        f'labels:"{HOSTILE}"',
        f'image = "{HOSTILE}*"',
        f'image:"{HOSTILE}"',
        f'caller != "{HOSTILE}"',
        "application = 1;DROP",
        "application = releases.state",
    ],
)
async def test_what_a_caller_wrote_is_a_parameter_and_never_sql(audit: AuditLog, text: str) -> None:
    """Whatever it looks like."""
    condition = compile_filter(text)
    spans = [span.sql for union in condition.spans for span in union]
    assert not re.search(r"[\"';]|--|DROP|1;", "".join([condition.sql, *spans]))
    await names(audit, text)
    assert await names(audit, "") == "shop test blog wiki"


async def test_hostile_value_is_found_as_the_text_that_it_is(audit: AuditLog) -> None:
    """It is a value like any other."""
    assert await names(audit, f'labels."a b" = "{HOSTILE}"') == "blog"


FIELDS = (
    "one of the fields application, environment, target, state, cause, outcome, caller, requested_by, image, "
    "digest, create_time, start_time, end_time, duration, labels"
)
TEXT = "= or != or :"
COMPARISON = "= or != or < or <= or > or >= or :"
CAUSES = ", ".join(Cause)
TARGET = "a deployment target, such as shop/live"
DURATION = "a duration such as 90s, 1.5h or 1h30m"
STATES = "QUEUED, PREPARING, RUNNING, SUCCEEDED, FAILED, CANCELLED"
TIME = "a time with its zone, such as 2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("shop", 1, FIELDS),
        ("  name = x", 3, FIELDS),
        ("=", 1, FIELDS),
        ("application", 12, TEXT),
        ("application shop", 13, TEXT),
        ("application < shop", 13, TEXT),
        ("labels.team < a", 13, TEXT),
        ("state > QUEUED", 7, TEXT),
        ("target : shop", 8, "= or !="),
        ("outcome:*", 8, "= or !="),
        ("create_time ~ now", 13, COMPARISON),
        ("create_time : now", 15, "*"),
        ("state : QUEUED", 9, "*"),
        ("target = shop", 10, TARGET),
        ("target = shop/live/eu", 10, TARGET),
        ("cause = FAILED", 9, CAUSES),
        ("outcome = LIVE", 11, "NONE, DEPLOYED, ABANDONED"),
        ("duration > 90", 12, DURATION),
        ("duration > 1w", 12, DURATION),
        ("duration > -1s", 12, DURATION),
        ("duration > 1.s", 12, DURATION),
        ("image = 'a\0b'", 11, "no NUL"),
        ("application =", 14, "a value"),
        ("application = )", 15, "a value"),
        ('application = "open', 15, 'the closing " of this string'),
        (r"image = 'x\' AND state = FAILED", 9, "the closing ' of this string"),
        ('labels."key = x', 8, 'the closing " of this string'),
        ("state = failed", 9, STATES),
        ("state = UNSPECIFIED", 9, STATES),
        ("create_time > yesterday", 15, TIME),
        ("create_time > 2026-01-31T12:00:00", 15, TIME),
        ("create_time > 2026-02-30T12:00:00Z", 15, TIME),
        ("labels = x", 8, "'.KEY' or ':KEY'"),
        ("labels. = x", 9, "the key of a label"),
        ("labels:", 8, "a value"),
        ("(state = FAILED", 16, "')'"),
        ("state = FAILED)", 15, "AND, OR or the end"),
        ("state = FAILED state = QUEUED", 16, "AND, OR or the end"),
        ("state = FAILED and state = QUEUED", 16, "AND, OR or the end"),
        ("state = FAILED AND", 19, FIELDS),
        ("state = FAILED OR OR state = QUEUED", 19, FIELDS),
        ("AND state = FAILED", 1, FIELDS),
        ("()", 2, FIELDS),
        ("NOT", 4, FIELDS),
    ],
)
def test_malformed_filter_names_the_position_and_what_was_expected(
    text: str, position: int, expected: str
) -> None:
    """Counted from 1, as people do."""
    with pytest.raises(InvalidRequest) as refused:
        compile_filter(text)
    assert refused.value.violations == (("filter", f"at character {position}: expected {expected}"),)


def test_longest_filter() -> None:
    """A character more is refused."""
    text = "application = "
    compile_filter(text + "x" * (LONGEST - len(text)))
    with pytest.raises(InvalidRequest, match=f"at most {LONGEST} characters"):
        compile_filter(text + "x" * (LONGEST - len(text) + 1))


DEEP = [
    pytest.param("NOT ", "", id="NOT"),
    pytest.param("-", "", id="minus"),
    pytest.param("(", ")", id="parentheses"),
    pytest.param("(state = FAILED AND application = x OR ", ")", id="everything"),
    pytest.param("(state = FAILED OR (state = QUEUED AND ", "))", id="the other way round"),
]


@pytest.mark.parametrize(("head", "tail"), DEEP)
async def test_deepest_filter_is_one_that_sqlite_takes(audit: AuditLog, head: str, tail: str) -> None:
    """Its parser's stack is small."""
    levels = max(1, head.count("("))
    # The outermost are parentheses only: so many restrictions would be refused.
    heads = (DEEPEST - 1) // levels
    outermost = DEEPEST - heads * levels
    await names(audit, "(" * outermost + head * heads + 'labels."k" = v' + tail * heads + ")" * outermost)


@pytest.mark.parametrize(("head", "tail"), DEEP)
@pytest.mark.parametrize("times", [1, 7])
def test_deeper_filter_is_refused(head: str, tail: str, times: int) -> None:
    """With a message, and not by exhausting anybody's stack."""
    depth = (DEEPEST + 1) * times
    with pytest.raises(
        InvalidRequest, match=f"at most {DEEPEST} parentheses and negations within each other"
    ):
        compile_filter(head * depth + "labels:k" + tail * depth)


async def test_widest_filter_is_one_that_sqlite_takes(audit: AuditLog) -> None:
    """As many restrictions as are allowed, as long as possible."""
    length = LONGEST // MOST_RESTRICTIONS - len("labels: OR ")
    text = " OR ".join([f"labels:{'a' * length}"] * MOST_RESTRICTIONS)
    assert await names(audit, text) == ""


@pytest.mark.parametrize("operator", [" OR ", " AND ", " OR NOT ", " AND -"])
def test_wider_filter_is_refused(operator: str) -> None:
    """Few characters could keep the database busy for long."""
    allowed = operator.join(["labels:a"] * MOST_RESTRICTIONS) + operator
    position = len(allowed) + 1
    with pytest.raises(InvalidRequest, match=f"at character {position}: expected at most 20 restrictions"):
        compile_filter(f"{allowed}labels:a")
