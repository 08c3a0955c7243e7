"""How a release is shown on a terminal: its log scrolls by, above a line that lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console, RenderableType
from rich.live import Live
from rich.segment import Segment, Segments
from rich.text import Text

from releasephase.v1.release_event_pb2 import ReleaseEvent

from .deployment_log import DeploymentLog, Kind, Piece
from .live_line import LiveLine
from .messages import Messages
from .terminal_text import OutputText, escape
from .views import say

_STYLES = {
    Kind.HEADING: "bold",
    Kind.COMMAND: "bold",
    Kind.NOTE: "dim",
    Kind.WARNING: "yellow",
    Kind.FAILURE: "bold red",
}

# The live line shows the rest: where the release stands, the queue, the pull.
_TOLD_ABOVE = (
    "accepted",
    "image_resolved",
    "commands_resolved",
    "cancel_requested",
    "signal_sent",
    "release_adopted",
    "engine_reconnected",
)


class SafeLog:
    """The deployment log as lines that are safe on a terminal."""

    def __init__(self) -> None:
        self._log = DeploymentLog()
        self._output = OutputText()

    @property
    def tail(self) -> str:
        """The line of output that has not ended yet."""
        return self._output.tail

    def feed(self, event: ReleaseEvent) -> Iterator[RenderableType]:
        """Yield the lines that the event adds."""
        for piece in self._log.feed(event):
            if piece.kind in (Kind.STDOUT, Kind.STDERR):
                yield from _joined(self._output.feed(piece.kind, piece.data))
            else:
                yield from self.finish()
                yield _styled(piece)

    def finish(self) -> Iterator[RenderableType]:
        """Yield what is left of the output."""
        yield from _joined(self._output.finish())


def _joined(lines: list[str]) -> Iterator[RenderableType]:
    # Not a Text: laying out megabytes of output takes rich ten times as long.
    if lines:
        yield Segments([Segment("\n".join(lines) + "\n")])


def _styled(piece: Piece) -> Text:
    if piece.kind is Kind.BLANK:
        return Text("")
    lines = piece.data.decode().removeprefix("\n").removesuffix("\n").split("\n")
    return Text("\n".join(map(escape, lines)), _STYLES[piece.kind])


class PlainScreen:
    """Writes the log to a terminal, line by line, and messages to stderr."""

    def __init__(self, *, with_messages: bool) -> None:
        self._print = partial(Console(highlight=False).print, soft_wrap=True)
        self._log = SafeLog()
        self._messages = Messages() if with_messages else None

    @contextmanager
    def opened(self) -> Iterator[None]:
        yield
        for text in self._log.finish():
            self._print(text)

    def show(self, event: ReleaseEvent) -> None:
        if self._messages and (message := self._messages.of(event)):
            say(message)
        for text in self._log.feed(event):
            self._print(text)


class LiveScreen:
    """Writes the log to a terminal, above a line that says what is under way."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._print = partial(self._console.print, soft_wrap=True)
        self._log = SafeLog()
        self._messages = Messages()
        self._line = LiveLine()

    @contextmanager
    def opened(self) -> Iterator[None]:
        live = Live(
            get_renderable=lambda: self._line.drawn(self._console.width),
            console=self._console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with live:
            yield
            self._line.tail = ""
            for text in self._log.finish():
                self._print(text)
        if summary := self._line.summary():
            self._print(summary)

    def show(self, event: ReleaseEvent) -> None:
        texts = list(self._log.feed(event))
        message = self._messages.of(event)
        if message and event.WhichOneof("payload") in _TOLD_ABOVE:
            texts.insert(0, Text(escape(message), "dim"))
        # Whatever is printed redraws the line below it: that has to be up to date by then.
        self._line.update(event)
        self._line.tail = self._log.tail
        for text in texts:
            self._print(text)
