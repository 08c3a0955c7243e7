"""Fixtures: the tutorial's Django application as an image, whole and with a broken migration."""

import hashlib
from pathlib import Path

import pytest

from support.busybox import Layer
from support.engine import Engine
from support.rootfs import debian_image

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial"
BROKEN_MIGRATION = TUTORIAL / "broken" / "0003_product_number.py"

# What the tutorial's Dockerfile has as its first stage, which needs a registry and Debian's archive.
_FIRST_STAGE_ENDS = "\nFROM base\n"


@pytest.fixture(scope="session")
def django_image(engine: Engine) -> str:
    """The tutorial's application as it is first deployed."""
    return _build(engine, _application())


@pytest.fixture(scope="session")
def broken_django_image(engine: Engine) -> str:
    """Its next version, whose migration fails after it has changed tables and rows in its transaction."""
    return _build(
        engine, _application() | {f"catalogue/migrations/{BROKEN_MIGRATION.name}": BROKEN_MIGRATION}
    )


def _application() -> dict[str, Path]:
    """The files by their path in the build context."""
    found = {str(path.relative_to(TUTORIAL)): path for path in sorted(TUTORIAL.rglob("*.py"))}
    return {name: path for name, path in found.items() if path != BROKEN_MIGRATION}


def _build(engine: Engine, files: dict[str, Path]) -> str:
    """Run the Dockerfile's last stage word for word, on a Debian of our own making."""
    base = debian_image(engine, "debian-django", ("python3-django",))
    _, last_stage = (TUTORIAL / "Dockerfile").read_text().split(_FIRST_STAGE_ENDS)
    context = Layer()
    context.file("Dockerfile", f"FROM {base}\n{last_stage}".encode())
    for name, path in files.items():
        context.file(name, path.read_bytes(), path.stat().st_mode & 0o777)
    tar = context.tar()
    reference = f"releasephase-test/shop:{hashlib.sha256(tar).hexdigest()[:12]}"
    if not engine.http.exists(reference):
        engine.http.build_image(tar, reference)
    return reference
