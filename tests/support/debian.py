"""Debian packages as test material.

A package is *unpacked* under the build folder, not installed: no service starts on the developer's machine,
nothing that is installed there is replaced, and a fresh machine goes through the same steps as an old one.
Only the engine itself is *installed*, because it can't run from a folder.
"""

import fcntl
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build"

# Parallel runs, or the machine's own timers, may hold apt's lock for a while.
_APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3")


class SetupError(Exception):
    """The machine lacks something; the message says what, and what to do."""


def install(*packages: str) -> None:
    """Install packages with their dependencies; only as root on Debian."""
    if not is_root_on_debian():
        raise SetupError(f"needs {' '.join(packages)}: install them, or run this as root on Debian")
    run([*_APT, "update"])
    run([*_APT, "install", "--yes", "--no-install-recommends", *packages])


def require(programs: Mapping[str, str]) -> None:
    """See that programs can be run; the mapping says which package has each."""
    packages = [package for program, package in programs.items() if not which(program)]
    if packages:
        print(f"installing {' '.join(packages)}", file=sys.stderr)
        install(*packages)


def which(program: str) -> str | None:
    """Where a program is, also when the caller's PATH lacks the folders of the administrator."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def unpacked(package: str) -> Path:
    """The folder with the files of one package (without its dependencies), fetched once per build folder."""
    return made_once(BUILD / "debian" / package, partial(_unpack, package))


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills, once for each build folder; what an aborted run left is made anew."""
    with locked(folder.parent):
        if not folder.is_dir():
            unfinished = folder.with_name(f"{folder.name}.new")
            run(["rm", "-rf", str(unfinished)])
            unfinished.mkdir(parents=True)
            make(unfinished)
            unfinished.rename(folder)
    return folder


def _unpack(package: str, fetched: Path) -> None:
    try:
        run([*_APT, "download", package], cwd=fetched)
    except SetupError:
        # A new machine has no package lists yet, an old one may have lists of versions that are gone.
        run([*_APT, "update"])
        run([*_APT, "download", package], cwd=fetched)
    (archive,) = fetched.glob("*.deb")
    run(["dpkg-deb", "--extract", str(archive), str(fetched)])
    archive.unlink()


def is_root_on_debian() -> bool:
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder of the build folder against other processes that would make the same thing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def mirror() -> tuple[str, str]:
    """The suite of this machine and the mirror that its own apt uses for it."""
    listed = run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)"])
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "sid")
    for line in listed.splitlines():
        origin, component, suite, uri = line.split(" ", 3)
        if (origin, component, suite) == ("Debian", "main", release):
            return suite, uri
    raise SetupError(f"apt has no archive of Debian {release}: run `apt-get update`, or see to /etc/apt")


def apt_proxy() -> Mapping[str, str]:
    """The proxy that apt is told to use, in the form that debootstrap's downloads understand."""
    assignment = run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"])
    return {"http_proxy": shlex.split(assignment)[0].partition("=")[2]} if assignment.strip() else {}


def run(command: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program of Debian's to its end and return its output; its failure is a SetupError."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"} | dict(env or {})
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise SetupError(f"needs the program {command[0]}, which Debian and its relatives have") from None
    if done.returncode != 0:
        raise SetupError(f"{shlex.join(command)} failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout
