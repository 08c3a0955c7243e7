"""What of one release is masked: its output, stream by stream, and the words of others about it."""

import asyncio
from collections.abc import Iterable
from functools import cached_property
from typing import Protocol

from released.model.release import ReleaseSpec, Secrets
from released.model.secret_values import secret_values
from released.model.states import Stream
from released.release.masking.forms import patterns_of
from released.release.masking.masker import Masker
from released.release.masking.patterns import Patterns


class StreamMasker(Protocol):
    """Masks one stream (see Masker)."""

    @property
    def holds(self) -> bool: ...
    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...
    def lose_place(self) -> None: ...


class Unmasked:
    """The masker of a stream in which there can be no secrets."""

    holds = False

    def feed(self, data: bytes) -> bytes:
        """Return all of it."""
        return data

    def finish(self) -> bytes:
        """Nothing waits."""
        return b""

    def lose_place(self) -> None:
        """Nothing has to be hidden."""


class Withheld(Unmasked):
    """The masker of a stream in which any byte may be secret."""

    def feed(self, data: bytes) -> bytes:
        """Return nothing."""
        return b""


class Mask:
    """Masks values, in all of their forms. It is made ready at its first use."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = frozenset(values)

    @property
    def has_values(self) -> bool:
        """Whether there is anything to mask, be it too short."""
        return bool(self._values)

    def masker(self) -> StreamMasker:
        """Return what masks one stream."""
        return Masker(self._patterns) if self._patterns else Unmasked()

    def text(self, text: str) -> str:
        """Return a whole text, masked."""
        masker = self.masker()
        data = text.encode(errors="surrogateescape")
        return (masker.feed(data) + masker.finish()).decode(errors="surrogateescape")

    @cached_property
    def _patterns(self) -> Patterns | None:
        patterns = set().union(*map(patterns_of, self._values))
        return Patterns(patterns) if patterns else None


class Masking:
    """Masks what comes of one release. Its secrets may have to be learned first."""

    def __init__(self, spec: ReleaseSpec, secrets: Secrets | None) -> None:
        self._spec = spec
        self._mask: Mask | None = None
        if secrets is not None:
            self.learn(secrets)
        elif not spec.environment_names:
            self.learn(Secrets())

    @property
    def is_known(self) -> bool:
        """Whether it is known what has to be masked."""
        return self._mask is not None

    def learn(self, secrets: Secrets) -> None:
        """Mask these from now on."""
        self._mask = Mask(value for _, value in secret_values(secrets, self._spec.secret_names))

    async def make_ready(self) -> None:
        """Do now, and not in the event loop, what takes a moment where there are many secrets."""
        if self._mask and self._mask.has_values:
            await asyncio.to_thread(self._mask.masker)

    def maskers(self) -> dict[Stream, StreamMasker]:
        """Return what masks each stream; nothing is let out while it is not known what to mask."""
        return {stream: self._mask.masker() if self._mask else Withheld() for stream in Stream}

    def text(self, text: str) -> str:
        """Return somebody's words, masked as far as it is known what to mask."""
        return self._mask.text(text) if self._mask else text
