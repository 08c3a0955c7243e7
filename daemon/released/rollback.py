"""The release that undoes what another one did. Pure: the record of that one in, what is to run out."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from released.audit.records import ReleaseRecord
from released.model.command_form import LONGEST_LABEL
from released.model.events import CommandFinished
from released.model.release import Command, ReleaseSpec, Secrets
from released.model.states import CommandState, OnBusy, PullPolicy


class Values(NamedTuple):
    """The variables of a rollback, sent again, and credentials."""

    secrets: Secrets
    names: tuple[str, ...]
    digests: tuple[str, ...]
    secret_names: tuple[str, ...]

    def put_into(self, spec: ReleaseSpec) -> ReleaseSpec:
        """Return a rollback that has these; who asked for the release did not ask for it."""
        return msgspec.structs.replace(
            spec,
            environment_names=self.names,
            environment_digests=self.digests,
            secret_names=self.secret_names,
            requested_by="",
        )


def rollback_spec(record: ReleaseRecord, seen: Iterable[CommandFinished] = ()) -> ReleaseSpec | None:
    """Return the release that rolls one back; None if nothing of it is to be undone, or that was begun.

    `seen` are ends of its commands that are not in the record yet. What did not run in this very release
    is none of its business, and a rollback is never rolled back.
    """
    commands = tuple(_undoing(record, {each.command_index: each.state for each in seen}))
    if record.spec.rollback_of or record.rollback or not commands:
        return None
    return msgspec.structs.replace(
        record.spec,
        commands=commands,
        settings=None,
        skip_labels=(),
        skip_reason="",
        pull_policy=PullPolicy.NEVER,
        on_busy=OnBusy.QUEUE,
        request_id="",
        image_id=record.image_id,
        retry_of="",
        rollback_of=record.release_id,
        likeness=None,
    )


def in_groups(rollback: ReleaseSpec, groups: Iterable[str]) -> ReleaseSpec:
    """Return a rollback that is in the lock groups of its release, and in those that its target is in now."""
    return msgspec.structs.replace(
        rollback, lock_groups=tuple(dict.fromkeys((*rollback.lock_groups, *groups)))
    )


def _undoing(record: ReleaseRecord, seen: dict[int, CommandState]) -> Iterator[Command]:
    """Yield the rollbacks of the commands that succeeded, that of the last one first."""
    for command, run in reversed(list(zip(record.spec.commands, record.commands, strict=True))):
        if command.rollback and seen.get(run.index, run.state) is CommandState.SUCCEEDED:
            yield Command(
                label=f"Roll back: {command.label}"[:LONGEST_LABEL],
                line=command.rollback,
                timeout=command.timeout,
                source=command.source,
            )
