"""Tiny images made of a static busybox: a few hundred commands, a POSIX shell, 2 MB, no registry."""

import io
import stat
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from support import debian

_PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
_GROUP = "root:x:0:\napp:x:1000:\n"


@cache
def shell_image() -> bytes:
    """A tar with busybox, every applet as a link, a writable /tmp, and the users root and app (1000)."""
    binary = busybox()
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    image = Layer()
    image.folder("tmp", 0o1777)
    image.folder("home/app", 0o755, owner=1000)
    for folder in ("bin", "etc", "proc", "root", "sys", "dev"):
        image.folder(folder, 0o755)
    image.file("etc/passwd", _PASSWD.encode())
    image.file("etc/group", _GROUP.encode())
    image.file("bin/busybox", binary.read_bytes(), 0o755)
    for applet in sorted(set(applets) - {"busybox"}):
        image.link(f"bin/{applet}", "busybox")
    return image.tar()


@cache
def shell_less_image() -> bytes:
    """A tar without any shell: one static binary that can only be `true`, `false` or `cat`, as its name says.

    busybox looks at the name that it was called by. Without the names `sh` and `busybox` there is no way to a
    shell.
    """
    image = Layer()
    image.folder("bin", 0o755)
    image.file("bin/true", busybox().read_bytes(), 0o755)
    image.link("bin/false", "true")
    image.link("bin/cat", "true")
    return image.tar()


@cache
def dash_image() -> bytes:
    """The shell image with /bin/sh being Debian's dash, for what the two shells do differently."""
    image = Layer(shell_image(), without={"bin/sh"})
    dash = debian.unpacked("dash")
    (shell,) = {path.resolve() for name in ("bin/dash", "usr/bin/dash") if (path := dash / name).exists()}
    image.file("bin/dash", shell.read_bytes(), 0o755)
    image.link("bin/sh", "dash")
    for library in libraries_of(shell):
        image.file(str(library).lstrip("/"), library.resolve().read_bytes(), 0o755)
    return image.tar()


def busybox() -> Path:
    package = debian.unpacked("busybox-static")
    return next(path for name in ("bin/busybox", "usr/bin/busybox") if (path := package / name).exists())


def libraries_of(program: Path) -> list[Path]:
    """The shared libraries and the loader of a program from the Debian release that this machine has."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return sorted({Path(word) for word in listed.split() if word.startswith("/")})


class Layer:
    """A tar for `docker import`, the same bytes for the same content."""

    def __init__(self, base: bytes | None = None, without: frozenset[str] | set[str] = frozenset()) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")  # noqa: SIM115 - closed by tar()
        if base is not None:
            self._copy(base, without)

    def folder(self, name: str, mode: int, owner: int = 0) -> None:
        self._add(name, tarfile.DIRTYPE, mode, owner=owner)

    def file(self, name: str, content: bytes, mode: int = 0o644, owner: int = 0) -> None:
        self._add(name, tarfile.REGTYPE, mode, content, owner=owner)

    def link(self, name: str, target: str) -> None:
        self._add(name, tarfile.SYMTYPE, stat.S_IRWXU, target=target)

    def tar(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()

    def _copy(self, base: bytes, without: frozenset[str] | set[str]) -> None:
        with tarfile.open(fileobj=io.BytesIO(base)) as source:
            for entry in source:
                if entry.name not in without:
                    self._tar.addfile(entry, source.extractfile(entry) if entry.isreg() else None)

    def _add(
        self, name: str, kind: bytes, mode: int, content: bytes = b"", target: str = "", owner: int = 0
    ) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname, entry.size = kind, mode, target, len(content)
        entry.uid = entry.gid = owner
        self._tar.addfile(entry, io.BytesIO(content))
