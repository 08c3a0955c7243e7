"""Installing a peer below the build folder, once: never into the project's environment, nor the machine's.

Versions are exact, so that two tables can be compared. All of it raises SetupError with what went wrong.
"""

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from support import debian

_FOLDER = debian.BUILD / "bench" / "peers"

_DEPENDENCIES = (
    "apt-cache",
    "depends",
    "--recurse",
    "--important",
    "--no-conflicts",
    "--no-breaks",
    "--no-replaces",
)


def python_of(*requirements: str) -> Path:
    """The interpreter of a virtual environment that has these packages of PyPI, as `name==version`."""
    return debian.made_once(_folder_of(requirements), partial(_make_venv, requirements)) / "bin/python"


def node_program(name: str, version: str) -> Path:
    """The program of a package of npm."""
    package = f"{name}@{version}"
    folder = debian.made_once(_folder_of((package,)), partial(_make_prefix, package))
    return folder / "node_modules/.bin" / name


def debian_python(package: str) -> tuple[Path, Mapping[str, str]]:
    """A package of Debian's unpacked, and the environment in which its Python modules are found."""
    listed = debian.run([*_DEPENDENCIES, package]).split()
    needed = sorted({name for name in listed if name.startswith("python3-")})
    paths = [debian.unpacked(name) / "usr/lib/python3/dist-packages" for name in (package, *needed)]
    return debian.unpacked(package), os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}


def debian_programs(*packages: str) -> Mapping[str, str]:
    """The variables with which the programs and the libraries of these packages are found."""
    files = [debian.unpacked(package) / "usr" for package in packages]
    libraries = [str(library) for folder in files for library in folder.glob("lib/*-linux-gnu")]
    programs = [str(folder / "bin") for folder in files]
    return {
        "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
    }


def _folder_of(packages: tuple[str, ...]) -> Path:
    return _FOLDER / "+".join(packages)


def _make_venv(requirements: tuple[str, ...], folder: Path) -> None:
    debian.run([sys.executable, "-m", "venv", str(folder)])
    pip = (str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    debian.run([*pip, *requirements])


def _make_prefix(package: str, folder: Path) -> None:
    debian.run(["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", package])
