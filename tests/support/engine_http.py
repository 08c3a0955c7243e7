"""The Docker Engine API over plain HTTP, synchronous, standard library only.

The product talks to the engine with aiodocker. What surrounds it (scripts, session fixtures) uses this
instead: it works before a virtual environment exists, and a fault in the one cannot hide in the other.
"""

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

DOCKERS_OWN_SOCKET = "unix:///var/run/docker.sock"

Params = Mapping[str, str | Sequence[str]]
Body = bytes | BinaryIO | None


class EngineError(Exception):
    """The engine answered with an error, or reported one in a stream of progress."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class EngineHTTP:
    """One engine, named as DOCKER_HOST names it (`unix://`, `tcp://`); a connection for each request."""

    def __init__(self, url: str, timeout: float = 120) -> None:
        self.url = url
        self._timeout = timeout

    def ping(self) -> None:
        """Raise OSError when nobody listens, EngineError when it is no engine that answers."""
        if self.request("GET", "/_ping") != b"OK":
            raise EngineError(f"what listens at {self.url} is not a Docker engine")

    def request(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the body of the answer; a status of 400 or more is an EngineError in the engine's words."""
        connection = self._connection()
        try:
            target = f"{path}?{urlencode(params, doseq=True)}" if params else path
            connection.request(method, target, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise EngineError(f"{method} {path}: {_message_of(answer)}", response.status)
        return answer

    def json(self, method: str, path: str, params: Params | None = None, body: Any = None) -> Any:
        """Send and return JSON; None when the answer is empty."""
        payload = None if body is None else json.dumps(body).encode()
        answer = self.request(method, path, params, payload, {"Content-Type": "application/json"})
        return json.loads(answer) if answer.strip() else None

    def follow(self, path: str, params: Params) -> Iterator[bytes]:
        """Yield all of a growing answer (a followed log) so far, each time that it has grown."""
        connection = self._connection()
        try:
            connection.request("GET", f"{path}?{urlencode(params, doseq=True)}")
            response = connection.getresponse()
            seen = b""
            while more := response.read1():
                seen += more
                yield seen
        finally:
            connection.close()

    def exists(self, image: str) -> bool:
        try:
            self.request("GET", f"/images/{quote(image)}/json")
        except EngineError as error:
            if error.status == 404:
                return False
            raise
        return True

    def import_image(self, tar: bytes | BinaryIO, reference: str, changes: Sequence[str] = ()) -> None:
        """What `docker import --change … - REFERENCE` does."""
        repository, _, tag = reference.rpartition(":")
        params = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": list(changes)}
        self._progress("POST", "/images/create", params, tar, {"Content-Type": "application/x-tar"})

    def build_image(self, context: bytes, reference: str) -> None:
        """What `docker build -t REFERENCE - < CONTEXT` does; the context is a tar with a Dockerfile."""
        params = {"t": reference, "rm": "1", "forcerm": "1"}
        self._progress("POST", "/build", params, context, {"Content-Type": "application/x-tar"})

    def push_image(self, reference: str, registry_auth: str) -> str:
        """Push and return the manifest's digest. `registry_auth` is the value for X-Registry-Auth."""
        name, _, tag = reference.rpartition(":")
        path = f"/images/{quote(name)}/push"
        for line in self._progress("POST", path, {"tag": tag}, None, {"X-Registry-Auth": registry_auth}):
            if digest := (line.get("aux") or {}).get("Digest"):
                return str(digest)
        raise EngineError(f"the engine did not say under which digest it pushed {reference}")

    def _progress(
        self, method: str, path: str, params: Params, body: Body, headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """The lines of an answer that reports progress; an error comes as a line, long after the status."""
        lines = list(_json_lines(self.request(method, path, params, body, headers)))
        for line in lines:
            if "error" in line:
                raise EngineError(f"{method} {path}: {line['error']}")
        return lines

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return _UnixConnection(parts.path, self._timeout)
        if parts.scheme in ("tcp", "http") and parts.hostname and not os.environ.get("DOCKER_TLS_VERIFY"):
            return http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=self._timeout)
        raise EngineError(
            f"DOCKER_HOST is {self.url!r}: only unix:// and tcp:// without TLS are supported here"
        )


def _json_lines(answer: bytes) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in answer.splitlines() if line.strip())


def _message_of(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace").strip()
