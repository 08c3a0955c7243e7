"""Runs a verb against the daemon and turns whatever happens into an exit code."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any

from .client import ReleaseClient
from .exceptions import ReleasephaseError
from .exit_codes import ExitCode, of_error
from .option_names import violation_text
from .views import say

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

_NONE: Mapping[str, str] = MappingProxyType({})

Verb = Callable[[ReleaseClient], Awaitable[ExitCode]]


def run_verb(verb: Verb, options: Mapping[str, str] = _NONE) -> ExitCode:
    """Run a verb with a connection to the daemon and return the exit code.

    Args:
        verb: What to do.
        options: What a person calls the fields of its request; see :mod:`releasectl.option_names`.
    """
    return run_alone(lambda: _connected(verb), options)


def run_alone(
    verb: Callable[[], Coroutine[Any, Any, ExitCode]], options: Mapping[str, str] = _NONE
) -> ExitCode:
    """Run a verb that needs no daemon, or finds it by itself, and return the exit code."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character is no reason to stop watching.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        return asyncio.run(_interruptible(verb()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return ExitCode.BROKEN_PIPE
    except OSError as error:
        _drop_output()
        say(f"releasectl: {_what_happened(error)}")
        return ExitCode.FAILED
    except ReleasephaseError as error:
        if isinstance(error.__cause__, OSError):
            _drop_output()
        _explain(error, options)
        return of_error(error)


def _what_happened(error: OSError) -> str:
    """The system's words, and where it was: what has no name can only be written if it is stdout."""
    where = error.filename or ("standard output" if error.errno in _NO_ROOM else "")
    words = error.strerror or str(error)
    return f"{os.fsdecode(where)}: {words}" if where else words


async def _interruptible(verb: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    # asyncio.run cancels its task on SIGINT; SIGTERM shall do the same.
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await verb


async def _connected(verb: Verb) -> ExitCode:
    async with ReleaseClient() as client:
        return await verb(client)


def _open_closed_streams() -> None:
    # `>&-` leaves no stream at all.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _drop_output() -> None:
    # What is still buffered can't be written: keep the interpreter from trying it again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: ReleasephaseError, options: Mapping[str, str]) -> None:
    if error.violations:
        for violation in error.violations:
            say(violation_text(violation, options))
    else:
        say(f"releasectl: {error}")
