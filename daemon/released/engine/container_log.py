"""The engine's own log of a container: the bytes of its streams, for whoever was not attached.

The engine cuts lines at 16 KiB, gives each piece a frame, and (driver `local`, up to 20.10 at
least) drops the newline that ends a line so cut: the frames' lengths tell where it was. A line
that is not complete yet is not in the log, unless the container has ended. Seen with Docker
Engine 20.10.24, daemon/logger/copier.go and daemon/logger/local/read.go. Following a log
across its rotation repeats and leaves out lines there, so a log is only ever read as it is.
"""

from collections.abc import AsyncGenerator, Iterator
from typing import NamedTuple

import aiodocker

from released.engine.attachment import STREAMS
from released.engine.errors import EngineRefused
from released.model.states import Stream

PIECE_BYTES = 16 * 1024
"""Where the engine cuts a line."""

_HEADER_BYTES = 8
_SYSTEM_ERROR = 3
"""Where the engine says that it can't read on: moby, api/server/httputils/write_log_stream.go."""


class LoggedChunk(NamedTuple):
    """Bytes of one stream, and when the engine read the last of them, as RFC 3339 has it."""

    stream: Stream
    data: bytes
    time: str


async def read_log(client: aiodocker.Docker, container_id: str) -> AsyncGenerator[LoggedChunk, None]:
    """Yield what the log has of both streams, from its beginning. Raises EngineRefused at damage."""
    parameters = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "0"}
    decoder = LogDecoder()
    async with client._query(f"containers/{container_id}/logs", params=parameters) as response, response:
        async for data in response.content.iter_any():
            for chunk in decoder.feed(data):
                yield chunk


class LogDecoder:
    """Makes bytes of the streams from the bytes of a response, in any chunks."""

    def __init__(self) -> None:
        self._data = b""
        self._within_line = dict.fromkeys(Stream, False)
        """Whether the piece before was cut at 16 KiB, so that the line goes on."""
        self._damage = ""

    def feed(self, data: bytes) -> Iterator[LoggedChunk]:
        """Yield what is complete; neighbours of one stream are one chunk, unless they may hold a marker.

        Raises EngineRefused, in the engine's words, where it could not read its log.
        """
        parts: list[bytes] = []
        stream, time = Stream.STDOUT, ""
        for frame_stream, frame_time, piece in self._frames(data):
            # Frames with a marker stay apart, so that each has its own time.
            if parts and (frame_stream is not stream or b"\x1e" in piece or b"\x1e" in parts[-1]):
                yield LoggedChunk(stream, b"".join(parts), time)
                parts = []
            parts.append(self._restored(frame_stream, piece))
            stream, time = frame_stream, frame_time
        if parts:
            yield LoggedChunk(stream, b"".join(parts), time)
        if self._damage:
            raise EngineRefused(500, "reading the log of the container", self._damage)

    def _frames(self, data: bytes) -> Iterator[tuple[Stream, str, bytes]]:
        data = self._data + data
        start = 0
        while len(data) - start >= _HEADER_BYTES:
            body = start + _HEADER_BYTES
            end = body + int.from_bytes(data[start + 4 : body], "big")
            if end > len(data):
                break
            if data[start] == _SYSTEM_ERROR:
                self._damage = data[body:end].decode(errors="replace").strip()
                return
            # In the engine's own time zone, which may be written as Z or as an offset.
            time, _, piece = data[body:end].partition(b" ")
            yield STREAMS[data[start]], time.decode(), piece
            start = end
        self._data = data[start:]

    def _restored(self, stream: Stream, piece: bytes) -> bytes:
        """The piece with the newline that the engine dropped, if it did.

        It looks the same when a container has ended within a line that was cut: that gets one, too.
        """
        ends_line = piece.endswith(b"\n")
        dropped = self._within_line[stream] and not ends_line and len(piece) < PIECE_BYTES
        self._within_line[stream] = not ends_line and len(piece) == PIECE_BYTES
        return piece + b"\n" if dropped else piece
