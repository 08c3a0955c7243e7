"""How output is stored: as it came, or compressed where that pays."""

import threading

import zstandard

AS_IT_CAME = ""
ZSTD = "zstd"

SHORTEST = 512
"""Bytes. Of shorter output, SQLite's page hardly gets any smaller."""

LARGEST_SHARE = 0.9
"""What is left of the output at most: less of a gain is not worth the time of each reader."""

LARGEST = 16 * 1024 * 1024
"""Bytes that one event's output can have: what claims more was not written by this daemon."""

LEVEL = 1
"""Text shrinks nearly as much as by the default of 3, in half the time."""


class _Decompressor(threading.local):
    """One for each thread: making one takes half as long as using it."""

    def __init__(self) -> None:
        self.decompress = zstandard.ZstdDecompressor().decompress


_decompressor = _Decompressor()


def pack(output: bytes) -> tuple[str, bytes]:
    """Return an encoding and the output in it."""
    if len(output) >= SHORTEST:
        compressed = zstandard.ZstdCompressor(level=LEVEL).compress(output)
        if len(compressed) <= len(output) * LARGEST_SHARE:
            return ZSTD, compressed
    return AS_IT_CAME, output


def unpack(encoding: str, data: bytes) -> bytes:
    """Return the output that is stored so. Raises ValueError for what `pack` has not made."""
    if encoding == AS_IT_CAME:
        return data
    if encoding != ZSTD:
        raise ValueError(f"the encoding {encoding!r} is not known")
    try:
        # It takes as much memory as the data claims to need.
        if not 0 <= zstandard.frame_content_size(data) <= LARGEST:
            raise ValueError("it claims to be larger than any output")
        return _decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(f"it can't be decompressed: {error}") from error
