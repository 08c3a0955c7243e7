"""Where a test may make the daemon die, so that what it finds afterwards can be tried out.

With `RELEASED_CRASH_AT=<point>` or `<point>:<n>` in its environment, the daemon kills itself,
as `kill -9` would, the first or the n-th time it passes that point. Without it, passing a
point does nothing.
"""

import os
import signal
from enum import StrEnum

VARIABLE = "RELEASED_CRASH_AT"


class CrashPoint(StrEnum):
    """The moments between which something may be lost, in the order of a release, and of pruning."""

    BEFORE_ACCEPT = "before_accept"
    AFTER_ACCEPT = "after_accept"
    IMAGE_RESOLVED = "image_resolved"
    PROCFILE_CONTAINER_CREATED = "procfile_container_created"
    CONTAINER_CREATED = "container_created"
    CONTAINER_RECORDED = "container_recorded"
    CONTAINER_STARTED = "container_started"
    CONTAINER_READY = "container_ready"
    COMMAND_RECORDED = "command_recorded"
    COMMAND_LET_GO = "command_let_go"
    OUTPUT_STORED = "output_stored"
    COMMAND_ENDED = "command_ended"
    RESULT_STORED = "result_stored"
    STOP_RECORDED = "stop_recorded"
    STOP_SIGNALLED = "stop_signalled"
    STOP_KILLED = "stop_killed"
    BEFORE_REMOVAL = "before_removal"
    AFTER_REMOVAL = "after_removal"
    ROLLBACK_READY = "rollback_ready"
    END_STORED = "end_stored"
    OUTCOME_STORED = "outcome_stored"
    SETTINGS_STORED = "settings_stored"
    PRUNING_RECORDED = "pruning_recorded"
    PRUNING_SLICE = "pruning_slice"
    PRUNING_VACUUMED = "pruning_vacuumed"


def _do_nothing(point: CrashPoint) -> None:
    pass


class _Armed:
    """Dies at the n-th passing of its point."""

    def __init__(self, setting: str) -> None:
        name, _, count = setting.partition(":")
        self._point = CrashPoint(name)
        self._left = int(count or "1")
        if self._left < 1:
            raise ValueError(f"{VARIABLE}: there is no passing {count} of {name}, the first is 1")

    def __call__(self, point: CrashPoint) -> None:
        if point is self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


crash_point = _Armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _do_nothing
"""Call it with the point that is being passed."""
