"""Which index a list is looked for in: one that leaves little to look through, on the real schema."""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from released.audit.database import open_for_writing
from released.audit.filter import compile_event_filter, compile_filter, events_of
from released.audit.filter.condition import Condition
from released.audit.listings import EVENTS, NEWEST_FIRST, OLDEST_FIRST, RELEASE_ORDERS, RELEASES
from released.audit.search import FEW, Glance, Listing, Order, Place, Query, Search

SLOWEST = Order(RELEASE_ORDERS["duration"], descending=True)
OLDEST = Order(RELEASE_ORDERS["create_time"], descending=False)
SORTED = "USE TEMP B-TREE FOR ORDER BY"
MANY = Glance(FEW, None)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """An empty log."""

    async def make(path: Path) -> None:
        await (await open_for_writing(path)).close()

    path = tmp_path_factory.mktemp("search") / "audit.db"
    asyncio.run(make(path))
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def plan(database: sqlite3.Connection, query: Query | None) -> str:
    """What SQLite says of how it would look, a step a line."""
    assert query is not None
    rows = database.execute(f"EXPLAIN QUERY PLAN {query.sql}", query.parameters)
    return "\n".join(detail for *_, detail in rows)


def of_page(
    database: sqlite3.Connection,
    condition: Condition,
    order: Order = NEWEST_FIRST,
    glances: Sequence[Glance] = (),
    listing: Listing = RELEASES,
    after: Place | None = None,
) -> str:
    return plan(database, Search(listing, condition, order, after).page(glances, 50))


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("", "releases_by_create_time"),
        ("create_time > 2026-01-01T00:00:00Z", "releases_by_create_time (create_time>?)"),
        ("application = shop", "releases_by_application (application=?)"),
        ("target = shop/live", "releases_by_target (application=? AND environment=?)"),
        (
            "environment = live AND application = shop",
            "releases_by_target (application=? AND environment=?)",
        ),
        ("target = shop/*", "releases_by_application (application=?)"),
        ("state = FAILED", "releases_by_state (state=?)"),
        (
            "state = FAILED AND create_time > 2026-01-01T00:00:00Z",
            "releases_by_state (state=? AND create_time>?)",
        ),
        ("cause = ENGINE_LOST", "releases_by_cause (cause=?)"),
        ("outcome = NONE", "releases_by_outcome (outcome=?)"),
        ("outcome = NONE AND state = SUCCEEDED", "releases_by_state_and_outcome (state=? AND outcome=?)"),
        ("caller = deploy", "releases_by_caller_user (caller_user=?)"),
        ("caller = 1000", "releases_by_caller_uid (caller_uid=?)"),
        ("requested_by = jenkins", "releases_by_requested_by (requested_by=?)"),
        ("image = shop:1", "releases_by_image (image=?)"),
        ("digest = sha256:3f", "releases_by_digest (<expr>=?)"),
        # No index can help: it is looked for from the newest on.
        ("environment = live", "releases_by_create_time"),
        ("image:shop", "releases_by_create_time"),
        ("NOT state = SUCCEEDED", "releases_by_create_time"),
        ("start_time > 2026-01-01T00:00:00Z", "releases_by_create_time"),
    ],
)
@pytest.mark.parametrize("order", [NEWEST_FIRST, OLDEST], ids=["newest", "oldest"])
@pytest.mark.parametrize("after", [None, Place(1, 1)], ids=["first", "next"])
def test_index_that_has_the_order(
    database: sqlite3.Connection, text: str, index: str, order: Order, after: Place | None
) -> None:
    """Its rows are taken until the page is full; there is nothing to sort, and nothing to look at before."""
    condition = compile_filter(text)
    assert Search(RELEASES, condition, order, after).look() is None
    steps = of_page(database, condition, order, after=after)
    assert f"INDEX {index.removesuffix(')')}" in steps
    assert SORTED not in steps


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("image = shop:*", "releases_by_image (image>? AND image<?)"),
        ("digest = sha256:3f*", "releases_by_digest (<expr>>? AND <expr><?)"),
        ("duration > 10m", "releases_by_duration (<expr>>?)"),
        (
            "end_time > 2026-01-01T00:00:00Z AND end_time < 2026-01-02T00:00:00Z",
            "releases_by_end_time (<expr>>? AND <expr><?)",
        ),
        ("labels.team = a", "release_labels_by_value (key=? AND value=?)"),
        ("labels.team = a*", "release_labels_by_value (key=? AND value>? AND value<?)"),
        ("labels:team", "release_labels_by_value (key=?)"),
        ("state = FAILED OR caller = bob", "releases_by_caller_user (caller_user=?)"),
        ("cause = ENGINE_LOST OR labels.team = a", "releases_by_cause (cause=?)"),
    ],
)
def test_few_rows_are_looked_up_and_sorted(database: sqlite3.Connection, text: str, index: str) -> None:
    """They are found in an index of another order. Many are not: then all are gone through in the order."""
    search = Search(RELEASES, compile_filter(text), NEWEST_FIRST, None)
    assert f"INDEX {index}" in plan(database, search.look())
    few = plan(database, search.page([Glance(FEW - 1, None)], 50))
    assert f"INDEX {index}" in few
    assert SORTED in few
    many = plan(database, search.page([MANY], 50))
    assert "releases_by_create_time" in many
    assert SORTED not in many


def test_rarest_value_decides(database: sqlite3.Connection) -> None:
    """Of those that are all frequent, it is the one whose rows reach farther back."""
    condition = compile_filter("state = SUCCEEDED AND caller = bob AND labels.team = a")
    rows = Search(RELEASES, condition, NEWEST_FIRST, None).look()
    assert rows is not None
    assert database.execute(*rows).fetchall() == [(0, None), (0, None), (0, None)]
    # The label comes first: it is no value of the table's own.
    assert "by_caller_user" in of_page(database, condition, glances=[MANY, Glance(FEW, 900), Glance(20, 5)])
    assert "by_caller_user" in of_page(database, condition, glances=[MANY, Glance(FEW, 900), Glance(FEW, 5)])
    assert "by_state" in of_page(database, condition, glances=[MANY, Glance(FEW, 5), Glance(FEW, 900)])
    assert "by_value" in of_page(
        database, condition, glances=[Glance(7, None), Glance(FEW, 5), Glance(FEW, 900)]
    )
    # From the oldest on, farther is later.
    glances = [MANY, Glance(FEW, 900), Glance(FEW, 5)]
    assert "by_state" in of_page(database, condition, OLDEST, glances)


def test_other_order_has_an_index_of_its_own(database: sqlite3.Connection) -> None:
    """Without a filter; few rows of a filter are sorted, of many the first of the order are looked at."""
    assert "INDEX releases_by_duration" in of_page(database, compile_filter(""), SLOWEST)
    week = compile_filter("create_time > 2026-01-01T00:00:00Z")
    few = of_page(database, week, SLOWEST, [Glance(5, None)])
    assert "releases_by_create_time (create_time>?)" in few
    assert SORTED in few
    many = of_page(database, week, SLOWEST, [MANY])
    assert "INDEX releases_by_duration" in many
    assert SORTED not in many


@pytest.mark.parametrize("order", [OLDEST_FIRST, Order("sequence", descending=True)], ids=["first", "last"])
@pytest.mark.parametrize("text", ["", "kind = command_started", "stream = STDERR AND command_index = 1"])
def test_events_of_a_release(database: sqlite3.Connection, order: Order, text: str) -> None:
    """They are in an index, in their order: the last output is found without reading all before it."""
    condition = events_of("a", compile_event_filter(text))
    steps = of_page(database, condition, order, listing=EVENTS, after=Place(5, 5))
    assert "INDEX events_by_release (release_id=? AND sequence" in steps
    assert SORTED not in steps


@pytest.mark.parametrize("order", [OLDEST_FIRST, Order("sequence", descending=True)], ids=["first", "last"])
@pytest.mark.parametrize(
    "text", ["", "kind = access_denied AND stream = STDERR", "event_time > 2026-01-01T00:00:00Z"]
)
def test_events_of_the_whole_log(database: sqlite3.Connection, order: Order, text: str) -> None:
    """They are gone through from one end, once, or from where a page or a range of sequences begins."""
    condition = compile_event_filter(text)
    assert Search(EVENTS, condition, order, None).look() is None
    assert of_page(database, condition, order, listing=EVENTS) == "SCAN events"
    condition = compile_event_filter(f"{text} AND sequence > 7" if text else "sequence > 7")
    steps = of_page(database, condition, order, listing=EVENTS, after=Place(9, 9))
    assert "USING INTEGER PRIMARY KEY (rowid>?" in steps
    assert SORTED not in steps
