"""Debian root file systems as images, made by debootstrap from the mirror that this machine's own apt uses.

Making one takes under a minute. The tar stays in the build folder and the image in the engine, both named
after the recipe.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from support import debian
from support.engine import Engine

_VARIANT = "minbase"
# Left out of the image: what a later `apt-get update` would fetch again.
_LEFT_OUT = ("./var/cache/apt/archives", "./var/lib/apt/lists", "./dev", "./proc", "./sys", "./usr/share/doc")


def debian_image(engine: Engine, name: str, packages: tuple[str, ...]) -> str:
    """The reference of an image with a minimal Debian and the packages, made now if need be."""
    suite, mirror = debian.mirror()
    recipe = hashlib.sha256(repr((suite, _VARIANT, packages, _LEFT_OUT)).encode()).hexdigest()[:12]
    reference = f"releasephase-test/{name}:{recipe}"
    if not engine.http.exists(reference):
        with _tar(f"{name}-{recipe}", suite, mirror, packages).open("rb") as tar:
            engine.http.import_image(tar, reference)
    return reference


def _tar(name: str, suite: str, mirror: str, packages: tuple[str, ...]) -> Path:
    folder = debian.BUILD / "rootfs"
    made = folder / f"{name}.tar"
    with debian.locked(folder):
        if not made.exists():
            _make(made, suite, mirror, packages)
    return made


def _make(made: Path, suite: str, mirror: str, packages: tuple[str, ...]) -> None:
    if not debian.is_root_on_debian():
        raise debian.SetupError("making a Debian image needs debootstrap: run this as root on Debian")
    debian.require({"wget": "wget", "gpgv": "gpgv"})
    tool = debian.unpacked("debootstrap")
    downloads = made.parent / "downloads"
    downloads.mkdir(exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=f"{made.stem}-", dir=made.parent))
    try:
        command = [
            *(str(tool / "usr/sbin/debootstrap"), f"--variant={_VARIANT}", f"--cache-dir={downloads}"),
            *(f"--include={','.join(packages)}", suite, str(root), mirror),
        ]
        environment = {"DEBOOTSTRAP_DIR": str(tool / "usr/share/debootstrap"), **debian.apt_proxy()}
        debian.run(command, env=environment)
        unfinished = made.with_suffix(".new")
        excluded = [f"--exclude={folder}/*" for folder in _LEFT_OUT]
        debian.run(["tar", "--numeric-owner", *excluded, "-C", str(root), "-cf", str(unfinished), "."])
        unfinished.rename(made)
    finally:
        shutil.rmtree(root)
