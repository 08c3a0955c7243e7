"""Filters, orders and pages, of random releases: what is found is what plain Python finds, each once."""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.audit import search
from released.audit.filter import compile_event_filter, compile_filter
from released.audit.filter.condition import Condition
from released.audit.listings import EVENTS, NEWEST_FIRST, OLDEST_FIRST, RELEASE_ORDERS, RELEASES
from released.audit.search import Glance, Listing, Order, Place, Search
from released.audit.times import as_time
from released.errors import InvalidRequest
from released.model.states import ReleaseState
from support.properties import deterministic
from support.release_facts import (
    APPLICATIONS,
    CAUSES,
    ENVIRONMENTS,
    IMAGES,
    REQUESTERS,
    SECOND,
    START,
    VALUES,
    Fact,
    random_fact,
    record,
)

COUNT = 60


@pytest.fixture(scope="module")
def facts() -> list[Fact]:
    random = Random(5)  # noqa: S311 - releases need no secrecy
    return [random_fact(random) for _ in range(COUNT)]


@pytest.fixture(scope="module")
def database(facts: list[Fact], tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("filter") / "audit.db"
    asyncio.run(record(path, facts))
    with closing(sqlite3.connect(path)) as connection:
        for fact in facts:
            outcome = (fact.outcome, fact.sequence)
            connection.execute("UPDATE releases SET outcome = ? WHERE accept_sequence = ?", outcome)
        yield connection


def found(
    database: sqlite3.Connection,
    listing: Listing,
    condition: Condition,
    order: Order,
    after: Place | None = None,
    limit: int = 1000,
) -> list[Place]:
    """What the daemon finds, by the queries that it makes."""
    asked = Search(listing, condition, order, after)
    look = asked.look()
    glances = [Glance(*row) for row in database.execute(*look)] if look else []
    return [Place(*row) for row in database.execute(*asked.page(glances, limit))]


few = st.sampled_from([1, 5, 2000])
"""How many rows are few decides how they are looked for, and never which are found."""

Predicate = Callable[[Fact], bool]
Term = tuple[str, Predicate]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*") + '"'


def pattern(parts: list[str]) -> tuple[str, Callable[[str], bool]]:
    """A text with wildcards between its parts, and what it stands for."""
    expression = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    written = '"' + "*".join(quoted(part)[1:-1] for part in parts) + '"'
    return written, lambda text: expression.fullmatch(text) is not None


def texts(name: str, attribute: str, values: tuple[str, ...]) -> st.SearchStrategy[Term]:
    def get(fact: Fact) -> str:
        return str(getattr(fact, attribute))

    def of_form(parts: list[str], equal: bool) -> Term:
        written, matches = pattern(parts)
        return f"{name} {'=' if equal else '!='} {written}", lambda fact: matches(get(fact)) is equal

    pieces = [value[:cut] for value in values for cut in (1, 2, len(value))]
    return st.one_of(
        st.sampled_from(values).map(lambda value: (f"{name} = {quoted(value)}", lambda f: get(f) == value)),
        st.sampled_from(values).map(lambda value: (f"{name} != {quoted(value)}", lambda f: get(f) != value)),
        st.sampled_from(pieces).map(lambda part: (f"{name}:{quoted(part)}", lambda fact: part in get(fact))),
        st.builds(of_form, st.lists(st.sampled_from(pieces), min_size=2, max_size=3), st.booleans()),
    )


def choices(name: str, attribute: str, values: tuple[str, ...]) -> st.SearchStrategy[Term]:
    def get(fact: Fact) -> str | None:
        value = getattr(fact, attribute)
        return "NONE" if name == "outcome" and value is None else value

    return st.one_of(
        st.sampled_from(values).map(lambda value: (f"{name} = {value}", lambda fact: get(fact) == value)),
        st.sampled_from(values).map(
            lambda value: (f"{name} != {value}", lambda fact: get(fact) not in (value, None))
        ),
    )


COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def numbers(
    name: str, write: Callable[[int], str], values: st.SearchStrategy[int]
) -> st.SearchStrategy[Term]:
    def compared(operator: str, value: int) -> Term:
        def holds(fact: Fact) -> bool:
            have = getattr(fact, name)
            return have is not None and COMPARISONS[operator](have, value)

        return f"{name} {operator} {write(value)}", holds

    return st.builds(compared, st.sampled_from(list(COMPARISONS)), values)


def has(name: str) -> Term:
    return f"{name}:*", lambda fact: getattr(fact, name) is not None


def labels(key: str) -> st.SearchStrategy[Term]:
    def equal(value: str) -> Term:
        return f"labels.{quoted(key)} = {quoted(value)}", lambda fact: fact.labels.get(key) == value

    def other(value: str) -> Term:
        differs = f"labels.{quoted(key)} != {quoted(value)}"
        return differs, lambda fact: fact.labels.get(key, value) != value

    def begins(value: str) -> Term:
        term = f'labels.{quoted(key)} = "{quoted(value)[1:-1]}*"'
        return term, lambda fact: key in fact.labels and fact.labels[key].startswith(value)

    there: Term = (f"labels:{quoted(key)}", lambda fact: key in fact.labels)
    values = st.sampled_from(VALUES)
    return st.one_of(st.just(there), values.map(equal), values.map(other), values.map(begins))


def targets(application: str, environment: str) -> Term:
    def matches(fact: Fact) -> bool:
        return application in ("*", fact.application) and environment in ("*", fact.environment)

    return f"target = {application}/{environment}", matches


def by_digest(digest: str) -> Term:
    return f"digest = {quoted(digest)}", lambda fact: fact.digest.rpartition("@")[2] == digest


def by_uid(uid: int) -> Term:
    return f"caller = {uid}", lambda fact: fact.uid == uid


def time(microseconds: int) -> str:
    return as_time(microseconds).isoformat()


def seconds(microseconds: int) -> str:
    return f"{timedelta(microseconds=microseconds).total_seconds():g}s"


times = st.integers(0, 30).map(lambda second: START + second * SECOND)
restrictions: st.SearchStrategy[Term] = st.one_of(
    texts("application", "application", APPLICATIONS),
    texts("environment", "environment", ENVIRONMENTS),
    texts("requested_by", "requested_by", REQUESTERS),
    texts("image", "image", IMAGES),
    texts("caller", "user", ("ci", "deploy", "1000x", "nobody")),
    choices("state", "state", tuple(ReleaseState)),
    choices("cause", "cause", CAUSES),
    choices("outcome", "outcome", ("NONE", "DEPLOYED", "ABANDONED")),
    numbers("create_time", time, times),
    numbers("start_time", time, times),
    numbers("end_time", time, times),
    numbers("duration", seconds, st.integers(0, 12).map(lambda second: second * SECOND)),
    st.sampled_from(["cause", "start_time", "end_time", "duration"]).map(has),
    labels("team"),
    labels("a b"),
    st.builds(targets, st.sampled_from([*APPLICATIONS, "*"]), st.sampled_from([*ENVIRONMENTS, "*"])),
    st.sampled_from(["", "sha256:3f3f", "sha256:aa", "sha256:bb"]).map(by_digest),
    st.sampled_from([0, 7, 1000, 5]).map(by_uid),
)


def both(terms: list[Term]) -> Term:
    joined = " AND ".join(f"({text})" for text, _ in terms)
    return joined, lambda fact: all(holds(fact) for _, holds in terms)


def either(terms: list[Term]) -> Term:
    joined = " OR ".join(f"({text})" for text, _ in terms)
    return joined, lambda fact: any(holds(fact) for _, holds in terms)


def negated(term: Term) -> Term:
    text, holds = term
    return f"NOT ({text})", lambda fact: not holds(fact)


filters = st.recursive(
    restrictions,
    lambda terms: st.one_of(
        st.lists(terms, min_size=2, max_size=3).map(both),
        st.lists(terms, min_size=2, max_size=3).map(either),
        terms.map(negated),
    ),
    max_leaves=6,
)
orders = st.builds(Order, st.sampled_from(list(RELEASE_ORDERS.values())), st.booleans())


def place_of(fact: Fact, order: Order) -> Place:
    name = next(name for name, column in RELEASE_ORDERS.items() if column == order.column)
    value = getattr(fact, name)
    return Place(-1 if value is None else value, fact.sequence)


@deterministic
@given(term=filters, order=orders, limit=few)
def test_filter_finds_what_python_finds(
    database: sqlite3.Connection, facts: list[Fact], term: Term, order: Order, limit: int
) -> None:
    """Whatever index it is looked for in, and in whatever order."""
    text, holds = term
    expected = sorted((place_of(fact, order) for fact in facts if holds(fact)), reverse=order.descending)
    with patch.object(search, "FEW", limit):
        assert found(database, RELEASES, compile_filter(text), order) == expected


@deterministic
@given(term=filters, order=orders, size=st.integers(1, 20), limit=few)
def test_pages_have_each_release_once(
    database: sqlite3.Connection, term: Term, order: Order, size: int, limit: int
) -> None:
    """Together they are the whole list, in its order."""
    condition = compile_filter(term[0])
    pages: list[Place] = []
    with patch.object(search, "FEW", limit):
        while page := found(database, RELEASES, condition, order, pages[-1] if pages else None, size):
            assert len(page) <= size
            pages += page
    assert pages == found(database, RELEASES, condition, order)


WORDS = (
    *("state", "=", "FAILED", "AND", "OR", "NOT", "-", "(", ")", "!=", "<", ">=", ":", "*", "labels", "."),
    *('"', "'", "\\", '"a*"', "duration", "90s", "target", "shop/live", "create_time", "image", "caller"),
    *("2027-01-15T08:00:00Z", "kind", "sequence", "7", "command_output", "stream", "STDOUT", "digest"),
    *("é", "\0", "team"),
)
nonsense = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))


@deterministic
@given(text=nonsense)
def test_any_text_is_a_filter_or_refused_at_a_position_in_it(database: sqlite3.Connection, text: str) -> None:
    """Nothing that a caller writes is an error of the database's."""
    for compiled, listing, order in (
        (compile_filter, RELEASES, NEWEST_FIRST),
        (compile_event_filter, EVENTS, OLDEST_FIRST),
    ):
        try:
            found(database, listing, compiled(text), order)
        except InvalidRequest as error:
            (violation,) = error.violations
            position = re.match(r"at character (\d+): expected .", violation.description)
            assert position
            assert 1 <= int(position[1]) <= len(text) + 1
