"""What callers were refused, in the audit log: each in its turn, and many of the same kind together.

Whoever may do nothing may still ask as often as it likes, and must not fill the disk by that.
"""

import asyncio
import logging
from dataclasses import dataclass

import msgspec

from released.audit.log import AuditLog
from released.model.caller import Caller
from released.model.events import AccessDenied

logger = logging.getLogger(__name__)

INTERVAL = 60.0
"""Seconds in which further refusals of the same kind are counted, and recorded as one."""


MOST_KINDS = 100
"""So many kinds are told apart in an interval: one person may have many users, subuid(5)."""

Kind = tuple[int, str, str]
"""The user, the method, and the kind of refusal."""

OTHERS: Kind = (-1, "", "")
"""All that come when there are as many kinds: they are recorded as one, by the latest."""


@dataclass(slots=True)
class _Repeated:
    """What came after a refusal that was recorded."""

    timer: asyncio.TimerHandle
    latest: AccessDenied | None = None


class Denials:
    """Records refusals."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._repeated: dict[Kind, _Repeated] = {}

    def record(self, caller: Caller, method: str, kind: str, reason: str, target: str = "") -> None:
        """Record the first refusal of a user, a method and a kind at once, the next ones by and by."""
        denied = AccessDenied(caller=caller, method=method, reason=reason, target=target)
        key = (caller.uid, method, kind)
        if len(self._repeated) >= MOST_KINDS and key not in self._repeated:
            key = OTHERS
        if (repeated := self._repeated.get(key)) is None:
            self._append(denied)
            self._wait(key)
        else:
            times = repeated.latest.times + 1 if repeated.latest else 1
            repeated.latest = msgspec.structs.replace(denied, times=times)

    def close(self) -> None:
        """Record what has been counted. May be called twice."""
        for key in list(self._repeated):
            self._end(key)

    def _wait(self, key: Kind) -> None:
        timer = asyncio.get_running_loop().call_later(INTERVAL, self._end_interval, key)
        self._repeated[key] = _Repeated(timer)

    def _end_interval(self, key: Kind) -> None:
        if self._end(key):
            self._wait(key)

    def _end(self, key: Kind) -> bool:
        """Record what has been counted, and return whether that was anything."""
        repeated = self._repeated.pop(key)
        repeated.timer.cancel()
        if repeated.latest:
            self._append(repeated.latest)
        return repeated.latest is not None

    def _append(self, denied: AccessDenied) -> None:
        times = f" ({denied.times} times)" if denied.times > 1 else ""
        logger.warning("%s was refused%s: %s", denied.method, times, denied.reason)
        self._audit.append_own(denied)
