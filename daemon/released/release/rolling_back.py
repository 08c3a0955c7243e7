"""What the end of a release has to know of its rollback: what accepts it, or why there is none."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from released.model.events import CommandFinished, NewEvent

NO_ROOM = "the disk of the audit log has room for the ends of releases only"

VALUES_LOST = (
    "the values of its variables are gone, as the host was restarted, or the daemon was, whose runtime "
    "folder was emptied or is not on a tmpfs, while the release was under way"
)


class Prepared(NamedTuple):
    """The rollback of a release, ready to be accepted if there is one."""

    accepting: Sequence[NewEvent] = ()
    """What accepts it; none: there is nothing to undo, or it can't be undone by itself."""
    remark: str = ""
    """What to say if it is not accepted, though there is something to undo: why, and what to do."""


RollBack = Callable[[Sequence[CommandFinished]], AbstractAsyncContextManager[Prepared]]
"""Prepares the rollback of a release. It gets what is seen of commands and not stored yet. The block records
what accepts the rollback; if it raises, nothing was stored and all is as before."""


def not_rolled_back(release_id: str, why: str, first: str, *, has_variables: bool) -> str:
    """Say that a release that has failed is not rolled back, and how to have that done by hand.

    `first` is what has to be done before; empty for nothing.
    """
    again = ", with all variables of the release again (`--env`, `--secret`)" if has_variables else ""
    return (
        f"It was not rolled back: {why}. To undo what it did, {first}report the deployment as abandoned "
        f"before the next release runs: `releasectl outcome releases/{release_id} abandoned "
        f"--run-rollback`{again}."
    )


def nothing_undone(rollback_id: str) -> str:
    """Say of a rollback whose values were lost while it waited how to have it run all the same."""
    return (
        "Nothing was undone. To undo it, and before the next release runs: "
        f"`releasectl retry releases/{rollback_id}`, with all variables again (`--env`, `--secret`)."
    )
