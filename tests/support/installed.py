"""The product, installed by `make install` on a machine with systemd that then becomes an image."""

import hashlib
import io
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from support import debian
from support.docker_engine import Engine
from support.machine import Machine, booted
from support.rootfs import debian_image

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = ("make", "python3", "python3-venv", "systemd")

# The engine as Debian installs it: a socket of group docker where everybody looks for it. The group has to
# be the machine's own, so what listens there passes everything on to the test's engine.
_ENGINE = r"""
cd /etc/systemd/system
printf '[Socket]\nListenStream=/run/docker.sock\nSocketMode=0660\nSocketGroup=docker\n' > docker.socket
printf '[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd /engine.sock\n' > docker.service
printf '[Install]\nWantedBy=sockets.target\n' >> docker.socket
systemctl enable --now docker.socket
"""

SOURCE = "/root/source"
"""A copy of this source tree on the machine."""

NO_NETWORK = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"
"""For `make install`: what it fetches is at hand."""

_NOT_SOURCE = {".git", ".venv", "build", "dist"}


@pytest.fixture(scope="session")
def wheels(engine: Engine) -> Path:
    """What `make install` fetches, for the machine's Python: it has no network."""
    base = debian_image(engine, "debian-systemd", PACKAGES)
    python = _python_of(engine, base)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    required = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    constraints = ROOT / "constraints.txt"
    recipe = hashlib.sha256(repr((python, required, constraints.read_text())).encode()).hexdigest()[:12]

    def download(folder: Path) -> None:
        options = ["--quiet", "--only-binary", ":all:", "--python-version", python, "--dest", str(folder)]
        debian.run([sys.executable, "-m", "pip", "download", *options, "-c", str(constraints), *required])

    return debian.made_once(debian.BUILD / "wheels" / recipe, download)


def _python_of(engine: Engine, image: str) -> str:
    """The version of an image's Python, such as 3.11."""
    command = ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    http = engine.http
    container = http.json("POST", "/containers/create", body={"Image": image, "Cmd": command, "Tty": True})[
        "Id"
    ]
    try:
        http.request("POST", f"/containers/{container}/start")
        http.request("POST", f"/containers/{container}/wait")
        return http.request("GET", f"/containers/{container}/logs", {"stdout": "1"}).decode().strip()
    finally:
        http.request("DELETE", f"/containers/{container}", {"force": "1"})


@pytest.fixture(scope="session")
def installed(engine: Engine, wheels: Path) -> Iterator[str]:
    """An image of a machine on which `make install` has run, and nothing was enabled or started."""
    base = debian_image(engine, "debian-systemd", PACKAGES)
    reference = f"releasephase-test/installed:{uuid4().hex[:12]}"
    with (
        tempfile.TemporaryDirectory(prefix="rp-systemd-", dir="/tmp") as folder,
        booted(engine, base, Path(folder), [f"{wheels}:/wheels:ro"]) as machine,
    ):
        machine.unpack(_source(), "/root")
        said = machine.check(f"cd {SOURCE}; {NO_NETWORK} make install")
        assert said.rstrip().endswith("systemctl enable --now released.socket released.service"), said
        machine.check(_ENGINE)
        repository, _, tag = reference.partition(":")
        params = {"container": machine.container, "repo": repository, "tag": tag}
        engine.http.json("POST", "/commit", params, body={})
    yield reference
    engine.remove_image(reference)


def _source() -> bytes:
    """A tar of this source tree, without what is made in it."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(member.name).parts
        return None if (parts[1:2] and parts[1] in _NOT_SOURCE) or parts[-1] == "__pycache__" else member

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(ROOT, arcname=Path(SOURCE).name, filter=wanted)
    return packed.getvalue()


@pytest.fixture
def host(engine: Engine, installed: str, wheels: Path) -> Iterator[Machine]:
    """A machine on which the product is installed and the engine is the test's."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-systemd-", dir="/tmp") as folder,
        booted(engine, installed, Path(folder), [f"{wheels}:/wheels:ro"]) as machine,
    ):
        yield machine
