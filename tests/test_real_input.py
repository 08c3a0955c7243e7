"""What the field runs: a Django application's migrations, deployment check and data fix, as releases."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, running_daemon
from support.django import TUTORIAL
from support.docker_engine import Engine

SECRET_KEY = "0123456789abcdefghij" * 3
COMMANDS = {
    "database migrations": "python3 manage.py migrate",
    "deployment check": "python3 manage.py check --deploy --fail-level WARNING",
    "media headers": "python3 manage.py fix_media_headers",
}


@pytest.fixture
def daemon(engine: Engine) -> Iterator[Daemon]:
    with running_daemon(engine.url) as daemon:
        yield daemon


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder on the host where the database lies; the application in the image is not root."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def deploy(daemon: Daemon, image: str, data: Path) -> tuple[int, str]:
    """Run the release phase as a deploy agent does; return the exit code and the deployment log."""
    commands = [argument for label, line in COMMANDS.items() for argument in ("-c", f"{label}={line}")]
    environment = ("--env", "DATABASE=/data/shop.sqlite3", "--secret", f"SECRET_KEY={SECRET_KEY}")
    done = daemon.releasectl("run", "shop/live", image, *commands, *environment, "--volume", f"{data}:/data")
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
    assert "Running database migrations...\n" in log
    assert "Applying catalogue.0002_first_products... OK" in log
    assert "System check identified no issues (0 silenced).\n" in log
    assert "3 of 3 pictures fixed.\n" in log
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


def test_tutorial_has_the_commands_that_are_tested() -> None:
    """Who follows the tutorial types what is run here."""
    tutorial = (TUTORIAL / "README.md").read_text()
    for label, line in COMMANDS.items():
        assert f"-c '{label}={line}'" in tutorial
