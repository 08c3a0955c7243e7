"""A file of an image, in the archive that the engine makes of it."""

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from released.engine.connection import close_client, open_client
from released.engine.image_file import NotReadable, _only_file, read_file
from support.properties import deterministic

CONTENT = b"release: ./migrate\n" * 100


def archive_of(content: bytes = CONTENT, form: int = tarfile.PAX_FORMAT) -> bytes:
    """As the engine sends it; the name makes further headers necessary in either form."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        info = tarfile.TarInfo("Procfile" + "x" * 120)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def read(archive: bytes) -> bytes:
    return _only_file(archive, "/app/Procfile")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_archive_that_is_whole(form: int) -> None:
    """And one that ends behind the file, without what ends an archive."""
    assert read(archive_of(form=form)) == CONTENT
    assert read(archive_of(form=form).rstrip(b"\0")) == CONTENT


@pytest.mark.parametrize(
    "archive", [b"", bytes(1024), b"x", b"<html>" * 1000, archive_of()[:100], archive_of()[:-9000]]
)
def test_archive_that_is_none_is_told(archive: bytes) -> None:
    """It is cut, empty, or something else."""
    with pytest.raises(NotReadable, match="the engine's archive with Procfile is cut or damaged"):
        read(archive)


@deterministic
@given(
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.integers(0, 4000), st.binary(max_size=12)
)
@example(tarfile.PAX_FORMAT, 512, b"x")
def test_archive_that_is_damaged_anywhere_is_told_or_read(form: int, at: int, damage: bytes) -> None:
    """Nothing else comes of it; without damage it is cut there."""
    archive = archive_of(form=form)
    archive = archive[:at] + damage + archive[at + len(damage) :] if damage else archive[:at]
    try:
        content = read(archive)
    except NotReadable:
        return
    assert damage or content == CONTENT


@pytest.fixture
async def engine_url(tmp_path: Path) -> AsyncIterator[str]:
    """An engine whose archives are empty: a real one sends none."""

    async def empty(request: web.Request) -> web.Response:
        return web.Response(content_type="application/x-tar")

    async def version(request: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.41"})

    app = web.Application()
    app.router.add_get("/version", version)
    app.router.add_get("/v1.41/containers/c0ffee/archive", empty)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "engine.sock")).start()
    yield f"unix://{tmp_path}/engine.sock"
    await runner.cleanup()


async def test_answer_that_is_empty_is_told(engine_url: str) -> None:
    """It is no lost connection."""
    client = open_client(engine_url)
    try:
        with pytest.raises(NotReadable, match="cut or damaged"):
            await read_file(client, "c0ffee", "/app/Procfile")
    finally:
        await close_client(client)
