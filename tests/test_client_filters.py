"""Filters of ListReleases, in the form of AIP-160."""

from datetime import UTC, datetime, timedelta, timezone

from releasectl import event_filter, release_filter


def test_no_condition_is_no_filter() -> None:
    """An empty filter lists everything."""
    assert release_filter() == ""


def test_all_conditions_are_joined() -> None:
    """The form is that of the contract."""
    assert (
        release_filter(
            application="shop",
            environment="live",
            state="FAILED",
            created_since=datetime(2026, 1, 1, tzinfo=UTC),
            labels={"ticket": "X"},
        )
        == 'application = "shop" AND environment = "live" AND state = FAILED'
        ' AND create_time >= "2026-01-01T00:00:00Z" AND labels.ticket = "X"'
    )


def test_values_are_quoted() -> None:
    """A quote or a backslash in a value does not end it."""
    assert release_filter(labels={"why": 'a "b" \\ c'}) == r'labels.why = "a \"b\" \\ c"'


def test_a_label_with_an_odd_name_is_quoted() -> None:
    """A dot or a hyphen in a label's name is part of it."""
    assert release_filter(labels={"example.org/ticket": "1"}) == 'labels."example.org/ticket" = "1"'


def test_times_are_written_in_utc() -> None:
    """The daemon compares instants; the caller may live anywhere."""
    noon_in_berlin = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    assert release_filter(created_since=noon_in_berlin) == 'create_time >= "2026-01-01T11:00:00Z"'


def test_every_condition_has_its_form() -> None:
    """In what is searched for, a `*` stands for any characters."""
    assert release_filter(
        cause="OUT_OF_MEMORY",
        outcome="NONE",
        caller="deploy",
        requested_by='"Jo"*',
        image="shop:*",
        digest="sha256:3f*",
        created_until=datetime(2026, 1, 1, tzinfo=UTC),
        longer_than=timedelta(minutes=1, milliseconds=5),
    ) == (
        'cause = OUT_OF_MEMORY AND outcome = NONE AND caller = "deploy" AND requested_by = "\\"Jo\\"*"'
        ' AND image = "shop:*" AND digest = "sha256:3f*" AND create_time < "2026-01-01T00:00:00Z"'
        " AND duration > 60005ms"
    )


def test_an_asterisk_in_a_label_is_one() -> None:
    """Labels, applications and environments are what they are."""
    assert release_filter(application="a*", labels={"b*": "c*"}) == (
        r'application = "a\*" AND labels."b\*" = "c\*"'
    )


def test_filter_of_events() -> None:
    """Of the same form."""
    assert event_filter() == ""
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert event_filter(kind="access_denied", since=since, until=until) == (
        'kind = "access_denied" AND event_time >= "2026-01-01T00:00:00Z"'
        ' AND event_time < "2026-01-02T00:00:00Z"'
    )
