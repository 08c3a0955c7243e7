"""Pages of lists: what is asked for, and page tokens, which are bound to that.

Pages are found by where the one before ended, so that what is added meanwhile moves none of them.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, Self, TypeVar

from google.protobuf.message import Message

from released.audit.search import Order, Place
from released.errors import InvalidRequest, Violation

DEFAULT_SIZE = 50
MOST_SIZE = 1000

AT_ONCE = 50
LARGEST = 2 * 1024 * 1024
"""Bytes at which a page ends before it is full: gRPC's clients take 4 MiB, one item has 3 MiB at most."""

_TOKEN = struct.Struct(">qq8s")

Item = TypeVar("Item", bound=Message)


class ListRequest(Protocol):
    """What requests of lists have in common, by AIP-132 and AIP-158."""

    order_by: str
    page_size: int
    page_token: str


class Asked(NamedTuple):
    """Which page of a list somebody asks for."""

    order: Order
    size: int
    after: Place | None
    """Where the page before ended; None for the first one."""
    question: tuple[str, ...]
    """What a page token is bound to."""

    @classmethod
    def of(
        cls, request: ListRequest, orders: Mapping[str, str], usual: Order, question: Sequence[str]
    ) -> Self:
        """Read a request, whose order may be by one of `orders`. Raises InvalidRequest."""
        size = read_page_size(request.page_size)
        order = _read_order(request.order_by, orders) or usual
        question = (*question, order.column, str(order.descending))
        return cls(
            order=order,
            size=size,
            after=read_page_token(request.page_token, question),
            question=question,
        )

    async def page(
        self, found: Sequence[Place], read: Callable[[Sequence[Place]], Awaitable[Mapping[int, Item]]]
    ) -> tuple[list[Item], str]:
        """Return the items, and the token of the next page, empty if there is none.

        `found` are the places of one item more than the page has, as far as there are so many; `read`
        gives the items of some of them by their sequences, a few at a time, since one can be large.
        """
        items: list[Item] = []
        page_bytes = 0
        last = None
        for start in range(0, min(len(found), self.size), AT_ONCE):
            places = found[start : min(start + AT_ONCE, self.size)]
            there = await read(places)
            for place in (place for place in places if place.sequence in there):
                item = there[place.sequence]
                page_bytes += item.ByteSize()
                if last and page_bytes > LARGEST:
                    return items, next_page_token(last, self.question)
                items.append(item)
                last = place
        more = len(found) > self.size
        return items, next_page_token(found[self.size - 1], self.question) if more else ""


def read_page_size(page_size: int) -> int:
    """Return how many items a page has at most. Raises InvalidRequest for a negative number."""
    if page_size < 0:
        raise InvalidRequest([Violation("page_size", "must not be negative")])
    return min(page_size or DEFAULT_SIZE, MOST_SIZE)


def next_page_token(last: Place, question: Sequence[str]) -> str:
    """Return the token of the page behind a place."""
    return base64.urlsafe_b64encode(_TOKEN.pack(*last, _digest(question))).decode().rstrip("=")


def read_page_token(token: str, question: Sequence[str]) -> Place | None:
    """Return what `next_page_token` was given, None for no token. Raises InvalidRequest for any other."""
    if not token:
        return None
    try:
        value, sequence, digest = _TOKEN.unpack(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, struct.error, ValueError):
        raise InvalidRequest([Violation("page_token", "is not one that this daemon gave")]) from None
    if digest != _digest(question):
        raise InvalidRequest(
            [Violation("page_token", "belongs to another filter or order: start from the first page")]
        )
    return Place(value, sequence)


def _read_order(order_by: str, orders: Mapping[str, str]) -> Order | None:
    """The order that is asked for in the form of AIP-132, None for the usual one."""
    if not order_by.strip():
        return None
    field, *suffix = order_by.split()
    if field not in orders or suffix not in ([], ["desc"]):
        expected = f'must be one of {", ".join(orders)}, or of these with " desc" behind it'
        raise InvalidRequest([Violation("order_by", expected)])
    return Order(orders[field], bool(suffix))


def _digest(question: Sequence[str]) -> bytes:
    return hashlib.sha256("\0".join(question).encode()).digest()[:8]
