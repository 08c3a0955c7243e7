"""Which of a release's values are secret: what is masked in its output, and may stand nowhere else."""

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from urllib.parse import unquote

from released.model.release import RegistryAuth, Secrets

LEAST_BYTES = 8
"""A shorter value is not looked for: it would be found everywhere."""

_URL_PASSWORD = re.compile(r"://[^\s:/?#@]*:([^\s/?#]+)@")
"""RFC 3986, 3.2.1. Up to the last @, since many passwords are written without being encoded."""

_WORD = "(?:[a-z]{1,16}|[A-Z]{1,16}|[A-Z][a-z]{1,15}|[0-9]{1,5})"
_WORDS = re.compile(rf"[./:,_-]*(?:{_WORD}(?:[./:,_-]+{_WORD})*[./:,_-]*)?")


def is_secret_name(name: str, patterns: Iterable[str]) -> bool:
    """Whether a variable's name matches one of the patterns, such as `*TOKEN*`, in any case."""
    return any(fnmatchcase(name.upper(), pattern.upper()) for pattern in patterns)


def is_plain(value: str) -> bool:
    """Whether a value is made of words and short numbers alone, and so is no key that was generated.

    Such as `production`, `shop.settings.live`, `Europe/Berlin` and `redis://cache:6379/0`; in a URL, user
    and password do not count, since the password is secret by itself.
    """
    return _WORDS.fullmatch(_URL_PASSWORD.sub("://", value)) is not None


def secret_values(secrets: Secrets, secret_names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what is secret, each with the name of its variable or field: passwords in URLs, too."""
    names = frozenset(secret_names)
    for name, value in secrets.environment.items():
        if name in names:
            yield name, value
        for password in _URL_PASSWORD.findall(value):
            yield name, password
            yield name, unquote(password)
    if secrets.registry_auth:
        yield from auth_values(secrets.registry_auth)


def auth_values(auth: RegistryAuth) -> Iterator[tuple[str, str]]:
    """Yield what is secret of credentials for a registry."""
    yield "registry_auth.password", auth.password
    yield "registry_auth.identity_token", auth.identity_token


def secret_lines(value: str) -> Iterator[str]:
    """Yield those lines of a value that are looked for; space around them may get lost in output."""
    for line in re.split(r"[\r\n]+", value):
        if len((stripped := line.strip()).encode()) >= LEAST_BYTES:
            yield stripped
