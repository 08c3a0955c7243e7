"""The options for what no daemon stores: values of variables, and credentials for a registry."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import IO, Any, TypedDict, TypeVar

import click

from .options import RegistryAuth
from .parsing import parse_env_file, parse_secret, parse_variable
from .reading import reads_mapping

PASSWORD_VARIABLE = "RELEASECTL_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable

Function = TypeVar("Function", bound=Callable[..., Any])


def _variable(text: str) -> dict[str, str]:
    return parse_variable(text, os.environ)


def _secret(text: str) -> dict[str, str]:
    return parse_secret(text, os.environ)


def _env_file(file: IO[bytes]) -> dict[str, str]:
    try:
        return parse_env_file(file.read(), os.environ)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None


VARIABLES = (
    click.option(
        "-e",
        "--env",
        metavar="K=V",
        multiple=True,
        callback=reads_mapping(_variable),
        help="Set an environment variable; K alone takes the value from your environment.",
    ),
    click.option(
        "--env-file",
        type=click.File("rb"),
        multiple=True,
        callback=reads_mapping(_env_file),
        help="Read environment variables from a file in docker's format.",
    ),
    click.option(
        "--secret",
        metavar="K=V",
        multiple=True,
        callback=reads_mapping(_secret),
        help="Set a secret environment variable; K alone takes the value from your environment.",
    ),
)

REGISTRY = (
    click.option("--registry-user", metavar="NAME", help="User name for the image's registry."),
    click.option(
        "--registry-password-stdin",
        is_flag=True,
        help=f"Read the registry password from stdin instead of {PASSWORD_VARIABLE}.",
    ),
)


class Given(TypedDict):
    """The options as click hands them over."""

    env: dict[str, str]
    env_file: dict[str, str]
    secret: dict[str, str]
    registry_user: str | None
    registry_password_stdin: bool


class Values(TypedDict):
    """What they say, as the client's methods take it."""

    env: dict[str, str]
    secrets: dict[str, str]
    registry_auth: RegistryAuth | None


def declare(function: Function) -> Function:
    """Declare the options on a click command."""
    for option in reversed((*VARIABLES, *REGISTRY)):
        function = option(function)
    return function


def values(given: Given) -> Values:
    """Return what the options say. Raises click.UsageError for credentials that are not complete."""
    return Values(
        env=given["env_file"] | given["env"],
        secrets=given["secret"],
        registry_auth=registry_auth(given["registry_user"], from_stdin=given["registry_password_stdin"]),
    )


def registry_auth(user: str | None, *, from_stdin: bool) -> RegistryAuth | None:
    """Return the credentials that the options name. Raises click.UsageError if there is no password."""
    if user is None:
        if from_stdin:
            raise click.UsageError("--registry-password-stdin needs --registry-user.")
        return None
    password = sys.stdin.readline().rstrip("\r\n") if from_stdin else os.environ.get(PASSWORD_VARIABLE)
    if not password:
        raise click.UsageError(
            f"--registry-user needs a password: set {PASSWORD_VARIABLE} or use --registry-password-stdin."
        )
    return RegistryAuth(user, password)
