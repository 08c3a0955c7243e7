"""Telling others of a change, so that each takes it in, and none keeps it from the others."""

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

News = TypeVar("News")


class NotYet(Exception):
    """What a listener raises that could not do what it has to, and says why."""


class Audience(Generic[News]):
    """Who wants to know of something. A listener that raises is told again, how it is then."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[News], Awaitable[None]]] = []
        self._untold: list[Callable[[News], Awaitable[None]]] = []
        """Those who have not taken in the last change."""

    def listen(self, listener: Callable[[News], Awaitable[None]]) -> None:
        """Tell somebody, from the next change on."""
        self._listeners.append(listener)

    @property
    def waits(self) -> bool:
        """Whether somebody has not taken in the last change."""
        return bool(self._untold)

    async def tell_change(self, news: News) -> None:
        """Tell everybody, each in turn."""
        self._untold = self._listeners.copy()
        await self.tell_rest(news)

    async def tell_rest(self, news: News) -> None:
        """Tell those who have not taken in the last change."""
        for listener in self._untold.copy():
            try:
                await listener(news)
            except NotYet as reason:
                logger.warning("%s", reason)
            except Exception:
                # A defect of one listener: neither the others nor whoever caused the news can help it.
                logger.exception("unexpected error in a listener, which is told again")
            else:
                self._untold.remove(listener)
