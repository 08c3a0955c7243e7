"""A real Docker engine, for whoever surrounds the product: fixtures, the demo, the benchmark."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from support.engine_http import EngineHTTP

RELEASE_LABEL = "releasephase.release"


@dataclass(frozen=True)
class Engine:
    """An engine that answers: its URL for the product, a plain client for everything else."""

    url: str
    http: EngineHTTP

    @classmethod
    def at(cls, url: str) -> "Engine":
        """The engine at a URL as in DOCKER_HOST; raises OSError or EngineError when none answers there."""
        http = EngineHTTP(url)
        http.ping()
        return cls(url, http)

    def make_image(self, tar: bytes, changes: Sequence[str] = (), name: str = "busybox") -> str:
        """Import a tar once and return its reference, which is a function of the content.

        Changes are Dockerfile lines: ENTRYPOINT, CMD, ENV, USER, WORKDIR, HEALTHCHECK, LABEL, …
        """
        content = hashlib.sha256(tar)
        content.update("\n".join(changes).encode())
        reference = f"releasephase-test/{name}:{content.hexdigest()[:12]}"
        if not self.http.exists(reference):
            self.http.import_image(tar, reference, changes)
        return reference

    def run_in(self, container: str, command: str) -> tuple[int, str]:
        """Run a shell line in a container; return its exit code and its output, both streams in order."""
        config = {"Cmd": ["/bin/sh", "-c", f"{command} 2>&1"], "AttachStdout": True}
        execution = self.http.json("POST", f"/containers/{container}/exec", body=config)["Id"]
        start = json.dumps({"Detach": False, "Tty": False}).encode()
        output = self.http.request(
            "POST", f"/exec/{execution}/start", body=start, headers={"Content-Type": "application/json"}
        )
        status = self.http.json("GET", f"/exec/{execution}/json")["ExitCode"]
        return status, b"".join(_payloads(output)).decode(errors="replace")

    def tag_image(self, reference: str, name: str) -> None:
        """Let a name, written `repository:tag`, stand for an image, whatever it stood for before."""
        repository, _, tag = name.rpartition(":")
        self.http.request("POST", f"/images/{quote(reference)}/tag", {"repo": repository, "tag": tag})

    def remove_image(self, reference: str) -> None:
        """Remove an image with those layers that no other image has, so that a pull has to fetch them."""
        self.http.request("DELETE", f"/images/{quote(reference)}", {"force": "1"})

    def release_containers(self) -> set[str]:
        """What a daemon has created and not yet removed, as `name (state)`."""
        filters = f'{{"label": ["{RELEASE_LABEL}"]}}'
        found = self.http.json("GET", "/containers/json", {"all": "1", "filters": filters})
        return {f"{container['Names'][0].lstrip('/')} ({container['State']})" for container in found}

    def container_of(self, release: str) -> str:
        """The id of the one container of a release that is under way."""
        filters = json.dumps({"label": [f"{RELEASE_LABEL}={release}"]})
        (found,) = self.http.json("GET", "/containers/json", {"filters": filters})
        return str(found["Id"])


def _payloads(stream: bytes) -> Iterator[bytes]:
    """The engine's frames of output: a byte for the stream, three of zero, four of length, the payload."""
    while stream:
        end = 8 + int.from_bytes(stream[4:8], "big")
        yield stream[8:end]
        stream = stream[end:]
