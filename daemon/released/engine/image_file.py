"""Reading a file of an image: from a container that is created for that, never started, and removed."""

import io
import tarfile
from posixpath import basename
from typing import Any

import aiodocker

LARGEST_BYTES = 1024 * 1024
"""Of a file; with what the archive has around it, somewhat more is read."""

_ARCHIVE_BYTES = LARGEST_BYTES + 64 * 1024


class NotReadable(Exception):
    """There is something at the path, and it is no file that can be read; the text says why."""


async def read_file(client: aiodocker.Docker, container_id: str, path: str) -> bytes | None:
    """Return what a file of a container has, None if there is none. Raises NotReadable.

    `GET /containers/{id}/archive`, Docker Engine API 1.41: a tar archive with the file alone, or with all
    that is in a folder.
    """
    parameters = {"path": path}
    try:
        async with (
            client._query(f"containers/{container_id}/archive", params=parameters) as response,
            response,
        ):
            archive = await _at_most(response.content)
    except aiodocker.DockerError as error:
        if error.status == 404:
            return None
        raise
    return _only_file(archive, path)


async def _at_most(content: Any) -> bytes:
    """Read no more than is looked at: what else comes, closing the connection spares us."""
    data = bytearray()
    while len(data) < _ARCHIVE_BYTES and (chunk := await content.readany()):
        data += chunk
    return bytes(data)


def _only_file(archive: bytes, path: str) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r|") as tar:
            return _content(tar, tar.next(), basename(path))
    except tarfile.TarError as error:
        raise _not_whole(basename(path), error) from error


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo | None, name: str) -> bytes:
    if member is None:
        raise _not_whole(name, "it is empty")
    if not member.isfile():
        raise NotReadable(f"{name} is no regular file")
    if member.size > LARGEST_BYTES:
        raise NotReadable(f"{name} has more than {LARGEST_BYTES} bytes")
    file = tar.extractfile(member)
    return file.read() if file else b""


def _not_whole(name: str, why: object) -> NotReadable:
    return NotReadable(f"the engine's archive with {name} is cut or damaged ({why}): try again")
