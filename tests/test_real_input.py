"""What the field runs: a Django application's migrations, deployment check and data fix, as releases."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.console import steps
from support.daemon import Daemon, running_daemon
from support.django import TUTORIAL
from support.docker_engine import Engine

SECRET_KEY = "0123456789abcdefghij" * 3
PAGE = (TUTORIAL / "README.md").read_text()
README = TUTORIAL.parents[1].joinpath("README.md").read_text()
STEPS = [step for step in steps(PAGE) if step.typed.startswith("releasectl ")]
(RUN,) = (step for step in STEPS if step.words[1] == "run")


@pytest.fixture
def daemon(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that has the settings of the tutorial, as they are typed there."""
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    with running_daemon(engine.url) as daemon:
        for step in STEPS[: STEPS.index(RUN)]:
            done = daemon.releasectl(*step.words[1:])
            assert (done.returncode, done.stdout) == (0, ""), done.stderr
        yield daemon


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder on the host where the database lies; the application in the image is not root."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def deploy(daemon: Daemon, image: str, data: Path) -> tuple[int, str]:
    """Run the release phase as the tutorial does; return the exit code and the deployment log."""
    here = {"shop:1": image, "shop-data:/data": f"{data}:/data"}
    done = daemon.releasectl(*(here.get(word, word) for word in RUN.words[1:]))
    return done.returncode, done.stdout


def dump(data: Path) -> list[str]:
    """The database as SQL, schema and rows."""
    connection = sqlite3.connect(data / "shop.sqlite3")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_first_deployment_succeeds_and_a_broken_second_one_changes_nothing(
    daemon: Daemon, django_image: str, broken_django_image: str, data: Path
) -> None:
    """The broken release fails, its log shows the traceback, the database is as the first release left it."""
    status, log = deploy(daemon, django_image, data)
    assert status == 0, log
    assert log == RUN.answer + "\n"
    left = dump(data)
    assert any("image/jpeg" in line for line in left)

    status, log = deploy(daemon, broken_django_image, data)
    assert status == 1, log
    assert "Teapot is number 102" in log
    assert "Traceback (most recent call last):" in log
    assert "ValueError: product 3 ('Tray') has no number in its name" in log
    assert "Database migrations failed." in log
    assert "Running deployment check..." not in log
    assert dump(data) == left


def test_secret_is_nowhere_in_the_audit_log(daemon: Daemon, django_image: str, data: Path) -> None:
    """The application had its secret key, and no byte of it was stored."""
    status, log = deploy(daemon, django_image, data)
    assert status == 0, log
    stored = b"".join(path.read_bytes() for path in daemon.folder.glob("audit.db*"))
    assert b"database migrations" in stored
    assert SECRET_KEY.encode() not in stored


def test_readme_has_the_steps_of_the_tutorial() -> None:
    """Who follows either types what is run here, and the log that the README begins is the tutorial's."""
    tutorial = [step.typed for step in steps(PAGE)]
    first = tutorial[: tutorial.index(RUN.typed) + 1]
    readme = {step.typed: step.answer for step in steps(README)}
    assert [typed for typed in readme if typed in first] == first
    assert RUN.answer.startswith(readme[RUN.typed].removesuffix("…\n"))
