"""Releases as the daemon's own modules see them, with what a test does not care about filled in."""

import uuid
from datetime import timedelta
from typing import Any

from released.model.caller import Caller
from released.model.events import ReleaseAccepted
from released.model.release import Command, ReleaseSpec
from released.model.settings import SettingsCommand

RELEASE = "01901630-0000-7000-8000-0000000000a1"
OTHER_RELEASE = "01901630-0000-7000-8000-0000000000b2"


CALLER = Caller(uid=1000, gid=100, pid=4711, groups=(24, 100), user="ci", executable="/usr/bin/agent")
"""Somebody who calls."""


def a_command(label: str = "migrate", **fields: Any) -> Command:
    """A command that runs `true` within a minute."""
    if "argv" not in fields:
        fields.setdefault("line", "true")
    return Command(label=label, timeout=fields.pop("timeout", timedelta(minutes=1)), **fields)


def a_setting(label: str = "migrate", **fields: Any) -> SettingsCommand:
    """A command in settings that runs `true`; its id is made of its label."""
    if "argv" not in fields:
        fields.setdefault("line", "true")
    defaults = {"command_id": str(uuid.uuid5(uuid.NAMESPACE_OID, label)), "label": label}
    return SettingsCommand(**{**defaults, **fields})


def a_spec(*lines: str, **fields: Any) -> ReleaseSpec:
    """A release for shop/live that runs these lines, labelled by their place."""
    commands = tuple(a_command(f"command {index}", line=line) for index, line in enumerate(lines))
    defaults = {"application": "shop", "environment": "live", "image": "shop:2", "commands": commands}
    return ReleaseSpec(**{**defaults, **fields})


def accepted(*lines: str, **fields: Any) -> ReleaseAccepted:
    """The first event of such a release."""
    return ReleaseAccepted(spec=a_spec(*lines, **fields))
