"""Which commands a release runs whose request named none: its image's, then its application's settings'."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from released.engine.image import Image
from released.model.command_form import MOST_COMMANDS, refuse_total
from released.model.release import Command, ReleaseSpec, Secrets, passed_over
from released.model.states import Source
from released.release.declaration import LABEL, Malformed, declared_commands
from released.release.masking.search import SecretSearch
from released.release.procfile import NAME, procfile_commands

MOST_NAMES = 10
"""How many labels an error has."""


class CommandsInvalid(ValueError):
    """What a release is to run can't be told; the text says why."""


def declared_by_label(spec: ReleaseSpec, image: Image, default_timeout: timedelta) -> tuple[Command, ...]:
    """Return what the label of a release's image declares. Raises CommandsInvalid."""
    try:
        return declared_commands(image.labels, spec.environment, default_timeout)
    except Malformed as error:
        raise CommandsInvalid(f"the label {LABEL} of the image {spec.image} is malformed: {error}") from None


def may_be_in_procfile(spec: ReleaseSpec, image: Image) -> bool:
    """Whether nothing else declares commands: then those of the image's Procfile count, if they are to."""
    return not spec.has_settings and LABEL not in image.labels


def declared_by_procfile(
    spec: ReleaseSpec, content: bytes, default_timeout: timedelta
) -> tuple[Command, ...]:
    """Return what a Procfile of a release's image declares. Raises CommandsInvalid."""
    try:
        return procfile_commands(content, default_timeout)
    except Malformed as error:
        raise CommandsInvalid(f"the {NAME} of the image {spec.image} is malformed: {error}") from None


def resolve(spec: ReleaseSpec, declared: Sequence[Command], secrets: Secrets) -> tuple[Command, ...]:
    """Return what a release runs whose image declares these commands.

    `secrets` are what it has of values: commands must fit beside them, and have none of them in plain.
    Raises CommandsInvalid.
    """
    commands = (*declared, *(spec.settings or ()))
    # First: the others quote what they find.
    for trouble in _plain_secrets(spec, commands, secrets):
        raise CommandsInvalid(trouble)
    for trouble in _contradictions(spec, declared, commands, secrets.environment_bytes):
        raise CommandsInvalid(trouble)
    return passed_over(commands, spec.skip_labels, spec.skip_reason)


def _plain_secrets(spec: ReleaseSpec, commands: Iterable[Command], secrets: Secrets) -> Iterator[str]:
    """Say which commands have a secret value in them, as of those in a request (service.plain_secrets)."""
    search = SecretSearch.of(secrets, spec.secret_names)
    for command in commands:
        where = (
            f"in the settings of {spec.application}"
            if command.source is Source.SETTINGS
            else f"declared by the image {spec.image}"
        )
        if name := search.name_in(command.label):
            yield f"the label of a command that is {where} contains the secret value of {name}: change it"
        lines = command.argv or () if command.line is None else (command.line,)
        for name in filter(None, map(search.name_in, (*lines, command.rollback))):
            instead = (
                f'refer to it as "${name}" in a shell line' if name in secrets.environment else "change it"
            )
            yield f"{command.label!r} is {where} and contains the secret value of {name}: {instead}"


def _contradictions(
    spec: ReleaseSpec, declared: Sequence[Command], commands: Sequence[Command], environment_bytes: int
) -> Iterator[str]:
    in_settings = {command.label for command in spec.settings or ()}
    for command in declared:
        if command.label in in_settings:
            yield (
                f"{command.label!r} is declared by the image {spec.image} and in the settings of "
                f"{spec.application}: remove or disable it there, or give one of them another label"
            )
    if len(commands) > MOST_COMMANDS:
        yield f"image and settings have {len(commands)} commands, and {MOST_COMMANDS} are the most"
    if refusal := refuse_total((command.shell_line for command in commands), environment_bytes):
        yield f"the commands of image and settings {refusal}"
    if refusal := refuse_total((command.rollback for command in commands), environment_bytes):
        yield f"the rollbacks of image and settings {refusal}"
    labels = [command.label for command in commands]
    for label in spec.skip_labels:
        if label not in labels:
            yield f"{label!r} is to be skipped, and there is no such command: there are {_named(labels)}"


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MOST_NAMES} more" if len(labels) > MOST_NAMES else ""
    return (", ".join(map(repr, labels[:MOST_NAMES])) or "none") + more
