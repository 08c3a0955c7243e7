"""Credentials for registries from a file of the operator's, in the form of Docker's config.json.

Read at each pull, so that whoever replaces the file need not tell the daemon.
"""

import base64
import binascii
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from released.errors import ConfigError
from released.model.caller import is_trusted
from released.model.image_reference import qualified
from released.model.release import RegistryAuth

CREDENTIAL = "registry-config"
"""The name of the file among systemd's credentials, `LoadCredential=` in systemd.exec(5)."""

LARGEST_FILE = 1024 * 1024

DOCKER_HUB = "docker.io"
_NAMES_OF_DOCKER_HUB = frozenset({"docker.io", "index.docker.io"})


class _Entry(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _Content(msgspec.Struct, frozen=True):
    auths: dict[str, _Entry] = {}
    creds_store: str = msgspec.field(default="", name="credsStore")
    cred_helpers: dict[str, str] = msgspec.field(default_factory=dict, name="credHelpers")


class RegistryCredentials:
    """The file with credentials, if there is one. systemd guards its own; any other one is checked."""

    def __init__(self, path: Path | None, is_guarded: bool = False) -> None:
        self._path = path
        self._is_guarded = is_guarded

    @classmethod
    def at(cls, path: Path | None, environment: Mapping[str, str] = os.environ) -> "RegistryCredentials":
        """Return the file at `path`; None: systemd's credential of this name, or no file."""
        if path is None and (folder := environment.get("CREDENTIALS_DIRECTORY")):
            return cls(Path(folder, CREDENTIAL), is_guarded=True)
        return cls(path)

    def read(self) -> dict[str, RegistryAuth | str]:
        """Return for each registry its credentials, or the name of a helper that would know them.

        Raises ConfigError, which never has anything of what is in the file.
        """
        if self._path is None:
            return {}
        try:
            content = msgspec.json.decode(self._bytes(self._path), type=_Content)
        except OSError as error:
            if self._is_guarded and isinstance(error, FileNotFoundError):
                return {}  # the unit has other credentials
            raise ConfigError(f"{self._what} can't be read: {error.strerror}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._what} can't be used: {error}") from None
        found = {_host(name): self._known(name, entry, content) for name, entry in content.auths.items()}
        return found | {_host(name): helper for name, helper in content.cred_helpers.items()}

    @property
    def _what(self) -> str:
        return f"the file of registry credentials, {self._path},"

    def auth_for(self, reference: str) -> RegistryAuth | None:
        """Return the credentials for an image's registry, None if there are none. Raises ConfigError."""
        registry = qualified(reference).partition("/")[0]
        found = self.read().get(_host(registry))
        if isinstance(found, str):
            raise ConfigError(
                f"{self._what} leaves {registry} to the credential helper {found!r}, "
                "and helpers are not run: put an `auth` there, or send registry_auth with the request"
            )
        return found

    def _known(self, name: str, entry: _Entry, content: _Content) -> RegistryAuth | str:
        if entry.identitytoken:
            return RegistryAuth(identity_token=entry.identitytoken)
        username, password = entry.username, entry.password
        if entry.auth:
            try:
                username, _, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                username = password = ""
            password = password.strip("\0")
        if username and password:
            return RegistryAuth(username, password)
        if not entry.auth and content.creds_store:
            return content.creds_store
        raise ConfigError(f"{self._what} has none for {name}: `auth` must be the base64 of USER:PASSWORD")

    def _bytes(self, path: Path) -> bytes:
        # A pipe is not waited for. Looked at when it is open: nobody swaps it in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
                raise ConfigError(f"{self._what} must be a file of {LARGEST_FILE} bytes at most")
            if not self._is_guarded:
                self._check_access(status)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def _check_access(self, status: os.stat_result) -> None:
        """Raise ConfigError if others than root and the daemon's user may read the file, or change it.

        The daemon's group is among the others: by default its members are those who may deploy.
        """
        if not is_trusted(status.st_uid):
            raise self._open_to_others(f"belongs to uid {status.st_uid}")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise self._open_to_others(f"has mode {stat.S_IMODE(status.st_mode):04o}")

    def _open_to_others(self, state: str) -> ConfigError:
        user = own_user()
        return ConfigError(
            f"{self._what} {state}: others than root and {user}, who reads it here, may read or change it: "
            f"chown {user} {self._path}; chmod 400 {self._path}, or use LoadCredential="
        )


def own_user() -> str:
    """Who runs this, the daemon or a check of its configuration."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except (KeyError, OSError):
        return str(os.geteuid())


def _host(name: str) -> str:
    """The registry that a key of `auths` stands for: a host and port, or a URL.

    Docker CLI, cli/config/credentials and registry.ResolveAuthConfig.
    """
    host = name.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return DOCKER_HUB if host in _NAMES_OF_DOCKER_HUB else host
