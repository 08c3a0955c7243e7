"""Fixtures: real image registries, Debian's docker-registry, on the engine's own loopback.

A registry runs as a container on the engine's host network. `127.0.0.1` then means the same to it and to the
engine, wherever the engine is, and the engine takes a registry on its loopback without TLS.
"""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from support import busybox, debian
from support.busybox import Layer
from support.engine import Engine
from support.engine_http import EngineHTTP

# Made with: perl -e 'print crypt("correct horse", q($2y$05$abcdefghijklmnopqrstuu))'
_HTPASSWD = """\
deployer:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2
reader:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a
"""
USERS = {"deployer": "correct horse", "reader": "secret"}

_CONFIG = """\
version: 0.1
log: {formatter: json, level: info}
storage: {filesystem: {rootdirectory: /var/lib/registry}, cache: {blobdescriptor: inmemory}}
http: {addr: "127.0.0.1:0"}
"""
_AUTH = "auth: {htpasswd: {realm: releasephase-test, path: /etc/registry/htpasswd}}\n"

# A repository's layers are listed together with its images' configurations, which are short.
_CUT = """
cd /var/lib/registry/docker/registry/v2
for blob in $(ls repositories/{name}/_layers/sha256); do
    for long in $(find blobs/sha256/*/$blob/data -size +100k); do
        truncate -s $(($(stat -c %s $long) / 2)) $long || exit
    done
done
"""

_LISTENING = re.compile(rb'"msg":"listening on ([0-9.]+:[0-9]+)"')
_REQUEST = re.compile(rb'"(GET|HEAD|PUT|POST|PATCH|DELETE) (\S+) HTTP/[0-9.]+" ([0-9]{3}) ')


@dataclass(frozen=True)
class Request:
    """One line of the registry's access log."""

    method: str
    path: str
    status: int


@dataclass(frozen=True)
class Registry:
    """A registry that serves at `address`; with `user`, only to those who know a password of USERS."""

    address: str
    user: str | None
    container: str
    engine: Engine

    @property
    def http(self) -> EngineHTTP:
        return self.engine.http

    def reference(self, name: str, tag: str = "1") -> str:
        return f"{self.address}/{name}:{tag}"

    def push(self, image: str, reference: str) -> str:
        """Push an image that the engine has, forget that name locally, and return the registry's digest."""
        name, _, tag = reference.rpartition(":")
        self.http.request("POST", f"/images/{quote(image)}/tag", {"repo": name, "tag": tag})
        digest = self.http.push_image(reference, self._auth())
        self.forget(reference)
        return digest

    def forget(self, reference: str) -> None:
        """Take a name from the engine: the next use has to pull. Layers that have another name stay."""
        self.http.request("DELETE", f"/images/{quote(reference)}", {"noprune": "1"})

    def cut_layers(self, name: str) -> None:
        """Let every transfer of a repository's layers break off in the middle.

        The registry remembers how long they are, and its disk has only half of each.
        """
        status, said = self.engine.run_in(self.container, f"({_CUT.format(name=name)})")
        assert status == 0, said

    def requests(self) -> list[Request]:
        """Everything the registry was asked so far, in order."""
        log = _log(self.http, self.container)
        return [Request(m[1].decode(), m[2].decode(), int(m[3])) for m in _REQUEST.finditer(log)]

    def manifest_requests(self, name: str) -> list[Request]:
        """Requests for a repository's manifests: every pull begins with one, even if all layers are there."""
        return [request for request in self.requests() if request.path.startswith(f"/v2/{name}/manifests/")]

    def _auth(self) -> str:
        """The header X-Registry-Auth must be there even when there is nothing to say."""
        login = {"username": self.user, "password": USERS[self.user]} if self.user else {}
        return base64.urlsafe_b64encode(json.dumps(login).encode()).decode()


@pytest.fixture(scope="session")
def registry(engine: Engine) -> Iterator[Registry]:
    """A registry that is open to everyone."""
    with _serving(engine, None) as serving:
        yield serving


@pytest.fixture(scope="session")
def private_registry(engine: Engine) -> Iterator[Registry]:
    """A registry that asks for a user and a password (basic authentication); `push` is done as `deployer`."""
    with _serving(engine, "deployer") as serving:
        yield serving


@pytest.fixture
def hanging_registry(engine: Engine) -> Iterator[Registry]:
    """A registry whose process is frozen: the kernel takes connections for it, and nobody answers."""
    with _serving(engine, None) as serving:
        engine.http.request("POST", f"/containers/{serving.container}/pause")
        yield serving
        engine.http.request("POST", f"/containers/{serving.container}/unpause")


@contextmanager
def _serving(engine: Engine, user: str | None) -> Iterator[Registry]:
    http = engine.http
    config = {
        "Image": engine.make_image(_image(), name="registry"),
        "Cmd": ["/usr/bin/docker-registry", "serve", f"/etc/registry/{'private' if user else 'open'}.yml"],
        "HostConfig": {"NetworkMode": "host", "LogConfig": {"Type": "json-file"}},
    }
    container = http.json("POST", "/containers/create", body=config)["Id"]
    try:
        http.request("POST", f"/containers/{container}/start")
        yield Registry(_address(http, container), user, container, engine)
    finally:
        http.request("DELETE", f"/containers/{container}", {"force": "1", "v": "1"})


def _image() -> bytes:
    program = debian.unpacked("docker-registry") / "usr/bin/docker-registry"
    image = Layer(busybox.shell_image())
    image.file("usr/bin/docker-registry", program.read_bytes(), 0o755)
    for library in busybox.libraries_of(program):
        image.file(str(library).lstrip("/"), library.resolve().read_bytes(), 0o755)
    image.file("etc/registry/open.yml", _CONFIG.encode())
    image.file("etc/registry/private.yml", (_CONFIG + _AUTH).encode())
    image.file("etc/registry/htpasswd", _HTPASSWD.encode())
    return image.tar()


def _address(http: EngineHTTP, container: str) -> str:
    """Follow the log until the registry says where it listens; the kernel chose the port."""
    for log in http.follow(f"/containers/{container}/logs", {"stdout": "1", "stderr": "1", "follow": "1"}):
        if found := _LISTENING.search(log):
            return found[1].decode()
    raise debian.SetupError(f"the registry ended at once:\n{_log(http, container).decode(errors='replace')}")


def _log(http: EngineHTTP, container: str) -> bytes:
    return http.request("GET", f"/containers/{container}/logs", {"stdout": "1", "stderr": "1"})
