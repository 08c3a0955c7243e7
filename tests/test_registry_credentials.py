"""Credentials for registries from a file such as Docker's config.json."""

import base64
import json
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest

from released.config.registry_credentials import RegistryCredentials
from released.errors import ConfigError
from released.model.release import RegistryAuth
from support.daemon import BIN, write_config

PASSWORD = "correct horse"
LOGIN = {"auth": base64.b64encode(f"ci:{PASSWORD}".encode()).decode()}
AUTH = RegistryAuth("ci", PASSWORD)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.touch(0o600)
    return file


def credentials(file: Path, content: object) -> RegistryCredentials:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    found = RegistryCredentials.at(file, {})
    found.read()
    return found


def refusal(file: Path, content: object) -> str:
    """What is wrong with the file; the message names it, and has nothing of what is in it."""
    with pytest.raises(ConfigError) as refused:
        credentials(file, content)
    assert str(file) in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert LOGIN["auth"] not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("key", "reference"),
    [
        ("registry.example:5000", "registry.example:5000/shop:1"),
        ("https://registry.example/v1/", "registry.example/team/shop"),
        ("http://localhost", "localhost/shop"),
        ("https://index.docker.io/v1/", "shop:1"),
        ("https://index.docker.io/v1/", "team/shop"),
        ("docker.io", "docker.io/team/shop@sha256:" + 64 * "0"),
        ("docker.io", "index.docker.io/team/shop"),
    ],
)
def test_registry_is_found_as_docker_does(file: Path, key: str, reference: str) -> None:
    """By host and port; Docker Hub has several names, and is meant where no registry is named."""
    assert credentials(file, {"auths": {key: LOGIN}}).auth_for(reference) == AUTH


@pytest.mark.parametrize("reference", ["registry.example/shop", "registry.example:5001/shop", "shop"])
def test_other_registries_get_no_credentials(file: Path, reference: str) -> None:
    """Neither those on another port, nor Docker Hub."""
    assert credentials(file, {"auths": {"registry.example:5000": LOGIN}}).auth_for(reference) is None


@pytest.mark.parametrize(
    ("entry", "auth"),
    [
        ({"username": "ci", "password": PASSWORD}, AUTH),
        ({"identitytoken": "token", "auth": "Y2k6"}, RegistryAuth(identity_token="token")),
        ({"auth": base64.b64encode(f"ci:{PASSWORD}\0\0".encode()).decode(), "email": "x"}, AUTH),
        ({"auth": base64.b64encode(b"ci:a:b").decode()}, RegistryAuth("ci", "a:b")),
    ],
)
def test_credentials_in_all_their_forms(file: Path, entry: dict[str, str], auth: RegistryAuth) -> None:
    """As Docker reads them: a login in base64 or in plain, or an identity token."""
    content = {"auths": {"r.example": entry}, "HttpHeaders": {"User-Agent": "x"}}
    assert credentials(file, content).auth_for("r.example/x") == auth


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        b"\xff".decode("latin-1"),
        {"auths": {"r.example": {"auth": 1}}},
        {"auths": {"r.example": {"auth": LOGIN["auth"][:-2] + "!"}}},
        {"auths": {"r.example": {"auth": base64.b64encode(PASSWORD.encode()).decode()}}},
        {"auths": {"r.example": {}}},
        {"auths": []},
    ],
)
def test_malformed_file_is_refused(file: Path, content: object) -> None:
    """At once, when the daemon starts, and not at the first pull that needs it."""
    refusal(file, content)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o640, 0o610, 0o666])
def test_file_that_others_may_read_or_change_is_refused(file: Path, mode: int) -> None:
    """Also others of the daemon's own group, who may deploy; what to do is said."""
    file.chmod(mode)
    user = pwd.getpwuid(os.geteuid()).pw_name
    message = refusal(file, {})
    assert f"mode {mode:04o}: others than root and {user}, who reads it here, may" in message
    assert message.endswith(f"chown {user} {file}; chmod 400 {file}, or use LoadCredential=")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_file_of_somebody_else_is_refused(file: Path) -> None:
    """Whoever owns it could change it; whose group it has does not matter, since no group may read it."""
    os.chown(file, 4711, -1)
    assert "belongs to uid 4711: others than root and " in refusal(file, {})
    os.chown(file, 0, 4711)
    assert credentials(file, {}).auth_for("x") is None


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """So is what is no file."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            RegistryCredentials.at(path, {}).read()


def test_pipe_is_refused(tmp_path: Path) -> None:
    """Nobody waits for its writer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ConfigError, match="must be a file"):
        RegistryCredentials.at(pipe, {}).read()


def test_systemd_hands_over_credentials(tmp_path: Path) -> None:
    """LoadCredential=registry-config:…; systemd sees to it that nobody else reads them, with an ACL."""
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert RegistryCredentials.at(None, environment).auth_for("r.example/x") is None
    (tmp_path / "registry-config").symlink_to("registry-config")
    with pytest.raises(ConfigError, match="symbolic links"):
        RegistryCredentials.at(None, environment).read()
    (tmp_path / "registry-config").unlink()
    file = tmp_path / "registry-config"
    file.write_text(json.dumps({"auths": {"r.example": LOGIN}}))
    file.chmod(0o440)
    assert RegistryCredentials.at(None, environment).auth_for("r.example/x") == AUTH


@pytest.mark.parametrize(
    "content",
    [
        {"credHelpers": {"r.example": "ecr-login"}},
        {"auths": {"r.example": {}}, "credsStore": "ecr-login"},
    ],
)
def test_credential_helpers_are_not_run(file: Path, content: Any) -> None:
    """A pull from a registry that needs one says so; others are none of its business."""
    found = credentials(file, content)
    assert found.auth_for("other.example/x") is None
    with pytest.raises(ConfigError, match="'ecr-login', and helpers are not run"):
        found.auth_for("r.example/x")


def test_file_is_read_again(file: Path) -> None:
    """Credentials get rotated; a file that became unusable is found out at the next pull."""
    found = credentials(file, {"auths": {"r.example": {"username": "old", "password": "old"}}})
    file.write_text(json.dumps({"auths": {"r.example": LOGIN}}))
    assert found.auth_for("r.example/x") == AUTH
    file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        found.auth_for("r.example/x")


def test_without_a_file_there_are_no_credentials() -> None:
    """Nothing is read."""
    assert RegistryCredentials.at(None, {}).auth_for("shop") is None


def test_daemon_does_not_start_with_a_file_that_it_can_t_use(tmp_path: Path, file: Path) -> None:
    """Exit code 2, as for any other configuration that can't be used, before the socket is there."""
    file.chmod(0o644)
    config = write_config(tmp_path, "unix:///none", f'[registry]\nconfig = "{file}"\n')
    ended = subprocess.run(
        [BIN / "released", "--config", config], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    line = config.read_text().splitlines().index("[registry]") + 2
    assert f"{config}, line {line}: [registry] config: the file of" in ended.stderr
    assert f"{file}, has mode 0644" in ended.stderr
    assert not (tmp_path / "released.sock").exists()
