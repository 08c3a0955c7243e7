"""Processes that look at a log side by side, each with a connection and a view of its own."""

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from released.audit.verification.source import Source


class Task(NamedTuple):
    """A function of this package that is called with a connection and these arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()

    def run(self, connection: sqlite3.Connection) -> Any:
        """Do it."""
        return self.function(connection, *self.arguments)


Run = Callable[[Iterable[Task]], Iterator[tuple[int, Any]]]
"""Does tasks, and yields each one's number (from 0) and result as it ends."""


class Workers(NamedTuple):
    """Processes that do tasks, whichever is free, or each of them."""

    run: Run
    in_each: Callable[[Task], list[Any]]
    """Lets each process do the same, once all of them have their views; returns the results."""


@contextmanager
def workers(source: Source, number: int) -> Iterator[Workers]:
    """Let so many processes do tasks until the end of the block; only one: it is this one.

    They are forked: this process may have no threads, and no connection that is open.
    """
    if number == 1:
        with closing(_view(source)) as connection:
            yield Workers(
                lambda tasks: ((index, task.run(connection)) for index, task in enumerate(tasks)),
                lambda task: [task.run(connection)],
            )
        return
    context = get_context("fork")
    pipes, processes = [], []
    for _ in range(number):
        ours, theirs = context.Pipe()
        pipes.append(ours)
        processes.append(context.Process(target=_work, args=(source, theirs, pipes), daemon=True))
        processes[-1].start()
        theirs.close()
    try:
        yield Workers(lambda tasks: _distribute(pipes, tasks), lambda task: _repeat(pipes, task))
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _view(source: Source) -> sqlite3.Connection:
    """Open the log as it is now: whatever is appended from here on is not seen."""
    connection = source.open()
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return connection


def _work(source: Source, pipe: Connection, inherited: Iterable[Connection]) -> None:
    # Nothing here refers to itself, and there are millions of objects to look through.
    gc.disable()
    # As long as one has the other end, the pipe does not end with the process that is to read from it.
    for other in inherited:
        other.close()
    with closing(_view(source)) as connection, suppress(EOFError, ConnectionError):
        while True:
            pipe.send(pipe.recv().run(connection))


def _distribute(pipes: list[Connection], tasks: Iterable[Task]) -> Iterator[tuple[int, Any]]:
    waiting = enumerate(tasks)
    under_way: dict[Any, int] = {}
    free: list[Any] = list(pipes)
    while True:
        for pipe, (index, task) in zip(list(free), waiting, strict=False):
            pipe.send(task)
            under_way[pipe] = index
            free.remove(pipe)
        if not under_way:
            return
        for pipe in [pipe for pipe in under_way if pipe in wait(list(under_way))]:
            yield under_way.pop(pipe), _result(pipe)
            free.append(pipe)


def _repeat(pipes: list[Connection], task: Task) -> list[Any]:
    for pipe in pipes:
        pipe.send(task)
    return [_result(pipe) for pipe in pipes]


def _result(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError("a process that verified the audit log has died") from None
