"""Resumed streams of a scripted container: what they give, what they lose, and what they should give."""

from collections import defaultdict
from typing import cast

from hypothesis import strategies as st

from released.engine.attachment import Attachment, Chunk
from released.engine.engine import Engine
from released.model.states import Stream
from released.release.markers import Exited, MarkerParser, Ready, Started
from released.release.resumed import ResumedStreams
from released.release.seam import LACKS_HEAD
from released.release.streams import Item
from support.scripted_container import (
    NONCE,
    ScriptedAttachment,
    ScriptedEngine,
    Written,
    mark,
)

Outputs = dict[tuple[Stream, int | None], bytes]


class Places:
    """Tells output by its stream and command, as a session does."""

    def __init__(self) -> None:
        self.command: dict[Stream, int | None] = dict.fromkeys(Stream)
        self.outputs: defaultdict[tuple[Stream, int | None], bytes] = defaultdict(bytes)

    def take(self, item: Item) -> None:
        match item.content:
            case bytes() as output:
                self.outputs[item.stream, self.command[item.stream]] += output
            case Started(index):
                self.command[item.stream] = index
            case Ready() | Exited():
                self.command[item.stream] = None


class Resumed:
    """Resumed streams, what they give, and what they say is lost."""

    def __init__(
        self,
        engine: ScriptedEngine,
        attachment: ScriptedAttachment | None,
        nonce: str = NONCE,
        has_been_ready: bool = True,
        running: int | None = None,
    ) -> None:
        self.lost: list[Stream] = []
        self.items: list[Item] = []
        self.places = Places()
        self.running = running
        self.streams = ResumedStreams(
            cast(Engine, engine),
            "container",
            nonce,
            cast(Attachment, attachment) if attachment else None,
            self.lose,
            has_been_ready,
        )

    def lose(self, stream: Stream, reason: str) -> None:
        self.lost.append(stream)
        if reason == LACKS_HEAD:
            self.places.command[stream] = self.running

    async def read(self) -> None:
        async for item in self.streams.items():
            self.items.append(item)
            self.places.take(item)

    async def outputs(self) -> Outputs:
        await self.read()
        return self.places.outputs


def truth(written: Written) -> Outputs:
    """What whoever was attached all the time makes of it."""
    parsers = {stream: MarkerParser(NONCE) for stream in Stream}
    places = Places()
    for stream, data in written:
        for content in parsers[stream].feed(data):
            places.take(Item(stream, content))
    for stream, parser in parsers.items():
        if rest := parser.finish():
            places.take(Item(stream, rest))
    return places.outputs


output = st.lists(
    st.builds(
        Chunk,
        st.sampled_from(Stream),
        st.sampled_from([b"a", b"b", b"\n", b"a\n", b"a\nb\nc", b"\x1e"]),
    ),
    max_size=6,
)


@st.composite
def supervised(draw: st.DrawFn) -> list[Chunk]:
    """What a container with a supervisor writes that gets on with two commands, or not so far."""
    words = ["ready", "start 0", "exit 0 0", "start 1", "exit 1 3"]
    written = draw(output)
    for word in words[: draw(st.integers(1, len(words)))]:
        written = written + mark(word) + draw(output)
    return written


def cut(data: st.DataObject, written: Written) -> list[Chunk]:
    """Cut chunks in two, or not."""
    pieces: list[Chunk] = []
    for stream, content in written:
        at = data.draw(st.integers(0, len(content)))
        pieces += [Chunk(stream, part) for part in (content[:at], content[at:]) if part]
    return pieces
