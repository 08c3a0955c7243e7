"""Pages of lists: what is asked for, and page tokens."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.audit.listings import NEWEST_FIRST, RELEASE_ORDERS
from released.audit.search import Order, Place
from released.errors import InvalidRequest
from released.service import pages
from released.service.pages import Asked, next_page_token, read_page_token
from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import ListReleasesRequest

FAILED = ("state = FAILED", "create_time", "True")
numbers = st.integers(-(2**63), 2**63 - 1)


def asked(**fields: object) -> Asked:
    """What a request asks for."""
    request = ListReleasesRequest(**fields)  # type: ignore[arg-type]
    return Asked.of(request, RELEASE_ORDERS, NEWEST_FIRST, (request.filter,))


def violations(**fields: object) -> tuple[tuple[str, str], ...]:
    """Why a request is refused."""
    with pytest.raises(InvalidRequest) as refused:
        asked(**fields)
    return refused.value.violations


@given(numbers, numbers, st.lists(st.text()))
def test_token_gives_what_it_was_made_of(value: int, sequence: int, question: list[str]) -> None:
    """A list goes on where its last page ended."""
    place = Place(value, sequence)
    assert read_page_token(next_page_token(place, question), question) == place


def test_no_token_stands_for_the_first_page() -> None:
    """Which begins where the order does."""
    assert read_page_token("", FAILED) is None


def test_token_needs_no_escaping() -> None:
    """It can be pasted into a command line and a URL."""
    tokens = "".join(next_page_token(Place(number, number), [f"filter {number}"]) for number in range(200))
    assert tokens.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "other",
    [
        {"filter": ""},
        {"filter": "state = QUEUED"},
        {"filter": "state = FAILED "},
        {"order_by": "create_time"},
        {"order_by": "duration"},
    ],
)
def test_token_belongs_to_its_filter_and_order(other: dict[str, str]) -> None:
    """With another one, it would skip releases silently."""
    question = {"filter": "state = FAILED", "order_by": "duration desc"}
    token = next_page_token(Place(5, 7), asked(**question).question)
    assert asked(**question, page_token=token).after == Place(5, 7)
    assert violations(**(question | other), page_token=token) == (
        ("page_token", "belongs to another filter or order: start from the first page"),
    )


def test_usual_order_may_be_said_or_not() -> None:
    """A token of one is one of the other."""
    token = next_page_token(Place(5, 7), asked().question)
    assert asked(order_by="create_time desc", page_token=token).after == Place(5, 7)


GIVEN = next_page_token(Place(5, 7), FAILED)


@pytest.mark.parametrize("token", ["x", "5", "next", "ä", "\0", GIVEN[:-1], GIVEN + "AAAA"])
def test_anything_else_is_refused(token: str) -> None:
    """Tokens are this daemon's own affair."""
    assert violations(page_token=token) == (("page_token", "is not one that this daemon gave"),)


@pytest.mark.parametrize(
    ("order_by", "order"),
    [
        ("", NEWEST_FIRST),
        ("  ", NEWEST_FIRST),
        ("create_time desc", NEWEST_FIRST),
        ("create_time", Order("create_time", descending=False)),
        (" duration   desc ", Order("ifnull(duration, -1)", descending=True)),
        ("end_time", Order("ifnull(end_time, -1)", descending=False)),
    ],
)
def test_orders(order_by: str, order: Order) -> None:
    """In the form of AIP-132."""
    assert asked(order_by=order_by).order == order


@pytest.mark.parametrize("order_by", ["name", "duration asc", "duration DESC", "duration,end_time", "desc"])
def test_other_orders_are_refused(order_by: str) -> None:
    """With those that there are."""
    expected = 'must be one of create_time, end_time, duration, or of these with " desc" behind it'
    assert violations(order_by=order_by) == (("order_by", expected),)


@pytest.mark.parametrize(("page_size", "size"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000)])
def test_sizes(page_size: int, size: int) -> None:
    """As the contract says."""
    assert asked(page_size=page_size).size == size


def test_negative_size_is_refused() -> None:
    """By AIP-158."""
    assert violations(page_size=-1) == (("page_size", "must not be negative"),)


async def page_of(
    size: int, count: int, item_bytes: int = 0, gone: Sequence[int] = ()
) -> tuple[list[str], str]:
    """The names on a page of a list that has `count` items, and its token."""
    found = [Place(number, number) for number in range(count)][: size + 1]

    async def read(places: Sequence[Place]) -> Mapping[int, Release]:
        there = [place.sequence for place in places if place.sequence not in gone]
        return {number: Release(name=str(number), image="x" * item_bytes) for number in there}

    items, token = await asked(page_size=size).page(found, read)
    return [item.name for item in items], token


@pytest.mark.parametrize(
    ("size", "count", "last"), [(3, 0, None), (3, 3, None), (3, 4, 2), (120, 120, None), (120, 500, 119)]
)
async def test_page_has_so_many_items_and_a_token_if_there_are_more(
    size: int, count: int, last: int | None
) -> None:
    """None for a page that is the last one and full."""
    names, token = await page_of(size, count)
    assert names == [str(number) for number in range(min(size, count))]
    place = read_page_token(token, asked().question)
    assert place == (None if last is None else Place(last, last))


async def test_page_of_large_items_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client takes 4 MiB; one item is always there, however large."""
    monkeypatch.setattr(pages, "LARGEST", 1000)
    names, token = await page_of(10, 20, item_bytes=300)
    assert (names, read_page_token(token, asked().question)) == (["0", "1", "2"], Place(2, 2))
    names, token = await page_of(10, 20, item_bytes=3000)
    assert (names, read_page_token(token, asked().question)) == (["0"], Place(0, 0))


async def test_what_is_gone_meanwhile_is_left_out() -> None:
    """It was pruned between being found and being read."""
    names, token = await page_of(4, 9, gone=[0, 3])
    assert (names, read_page_token(token, asked().question)) == (["1", "2"], Place(3, 3))
