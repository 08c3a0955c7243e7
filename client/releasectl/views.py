"""How a release is shown while it is followed: as a log on a pipe, or as JSON lines.

The view for a terminal is in :mod:`releasectl.screen`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import click
from google.protobuf.message import Message

from releasephase.v1.release_event_pb2 import ReleaseEvent

from .deployment_log import DeploymentLog
from .messages import Messages
from .terminal_text import escape


class View(Protocol):
    """Shows the events of one release, from its first on."""

    def opened(self) -> AbstractContextManager[object]:
        """Return the context in which events may be shown."""

    def show(self, event: ReleaseEvent) -> None:
        """Show one event."""


def say(message: str) -> None:
    """Tell the person something that is not data: on stderr."""
    click.echo(escape(message), err=True)


def write_json(message: Message) -> None:
    """Write a message to stdout as indented JSON."""
    from .json_output import document

    sys.stdout.write(document(message))
    sys.stdout.flush()


def write_json_line(message: Message) -> None:
    """Write a message to stdout as one line of JSON."""
    from .json_output import line

    sys.stdout.write(line(message))
    sys.stdout.flush()


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr, if that is a terminal, how much of something is done; give what is to be told."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, highlight=False), transient=True) as progress:
        task = progress.add_task(escape(doing).replace("[", r"\["))
        yield lambda done, total: progress.update(task, completed=done, total=total)


class JsonLines:
    """Writes each event as one line of JSON."""

    def opened(self) -> AbstractContextManager[object]:
        return nullcontext()

    def show(self, event: ReleaseEvent) -> None:
        write_json_line(event)


class PipedLog:
    """Writes the deployment log to stdout, byte for byte, and messages to stderr."""

    def __init__(self, *, with_messages: bool) -> None:
        self._log = DeploymentLog()
        self._messages = Messages() if with_messages else None

    def opened(self) -> AbstractContextManager[object]:
        return nullcontext()

    def show(self, event: ReleaseEvent) -> None:
        if self._messages and (message := self._messages.of(event)):
            say(message)
        for piece in self._log.feed(event):
            sys.stdout.buffer.write(piece.data)
        sys.stdout.buffer.flush()


def choose_view(*, as_json: bool, log_only: bool = False) -> View:
    """Return the view that suits where stdout and stderr go.

    Args:
        as_json: The caller asked for JSON.
        log_only: Show the deployment log and nothing beside it.
    """
    if as_json:
        return JsonLines()
    if not sys.stdout.isatty():
        return PipedLog(with_messages=not log_only)
    from .screen import LiveScreen, PlainScreen

    # The live view redraws lines, so nothing else may write to the terminal meanwhile.
    if log_only or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return PlainScreen(with_messages=not log_only)
    return LiveScreen()
