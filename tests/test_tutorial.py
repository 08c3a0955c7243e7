"""The tutorial's application by itself, on the real engine, before any release runs it."""

import sqlite3
from pathlib import Path

import aiodocker
import pytest

ENVIRONMENT = ["DATABASE=/data/shop.sqlite3", f"SECRET_KEY={'0123456789abcdefghij' * 3}"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder on the host where the database lies; the application in the image is not root."""
    tmp_path.chmod(0o777)
    return tmp_path


async def manage(docker: aiodocker.Docker, image: str, data: Path, *arguments: str) -> tuple[int, str]:
    """Run `manage.py` in a container and return its exit code and what it wrote."""
    container = await docker.containers.create(
        {
            "Image": image,
            "Cmd": ["python3", "manage.py", *arguments],
            "Env": ENVIRONMENT,
            "HostConfig": {"Binds": [f"{data}:/data"]},
        }
    )
    try:
        await container.start()
        status = (await container.wait())["StatusCode"]
        return status, "".join(await container.log(stdout=True, stderr=True))
    finally:
        await container.delete(force=True)


def dump(data: Path) -> str:
    """The database as SQL, schema and rows."""
    with sqlite3.connect(data / "shop.sqlite3") as connection:
        lines = list(connection.iterdump())
    connection.close()
    return "\n".join(lines)


async def test_commands_of_a_release_succeed(docker: aiodocker.Docker, django_image: str, data: Path) -> None:
    """Migrations, the deployment check without a warning, and a data fix that a second run leaves alone."""
    status, output = await manage(docker, django_image, data, "migrate")
    assert (status, output.count("... OK")) == (0, 2), output
    status, output = await manage(docker, django_image, data, "check", "--deploy", "--fail-level", "WARNING")
    assert (status, output) == (0, "System check identified no issues (0 silenced).\n")
    status, output = await manage(docker, django_image, data, "makemigrations", "--check", "--dry-run")
    assert (status, output) == (0, "No changes detected\n")
    status, output = await manage(docker, django_image, data, "fix_media_headers")
    assert status == 0
    assert "[1/3] pictures/mug.jpg: application/octet-stream -> image/jpeg" in output
    assert output.endswith("3 of 3 pictures fixed.\n")
    assert await manage(docker, django_image, data, "fix_media_headers") == (0, "0 of 3 pictures fixed.\n")


async def test_broken_migration_leaves_the_database_alone(
    docker: aiodocker.Docker, django_image: str, broken_django_image: str, data: Path
) -> None:
    """It changes a table and two rows, then fails with a traceback, and nothing of it stays."""
    status, output = await manage(docker, django_image, data, "migrate")
    assert status == 0, output
    before = dump(data)
    assert "Teapot, No. 102" in before
    status, output = await manage(docker, broken_django_image, data, "migrate")
    assert status == 1
    assert "Mug is number 101" in output
    assert "Teapot is number 102" in output
    assert "ValueError: product 3 ('Tray') has no number in its name" in output
    assert dump(data) == before
