"""Output as it is stored: compressed where that pays, and the same bytes for every reader."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from released.audit.compression import AS_IT_CAME, LARGEST, SHORTEST, ZSTD, pack, unpack
from released.model.events import CommandOutput
from released.model.states import Stream
from support import audit_log
from support.samples import RELEASE, accepted

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
TEXT = b"".join(b"Applying shop.%04d_migration... OK\n" % number for number in range(100))


@given(st.binary(max_size=2000), st.integers(1, 100))
def test_every_output_comes_back(part: bytes, times: int) -> None:
    """Whatever it is."""
    assert unpack(*pack(part * times)) == part * times


def test_text_is_compressed() -> None:
    """To a small part of what it was."""
    encoding, data = pack(TEXT)
    assert encoding == ZSTD
    assert len(data) < len(TEXT) / 4


@pytest.mark.parametrize(
    "output", [b"", TEXT[: SHORTEST - 1], os.urandom(100_000)], ids=["nothing", "short", "random"]
)
def test_what_would_not_get_smaller_stays_as_it_came(output: bytes) -> None:
    """Neither a line nor what is compressed already."""
    assert pack(output) == (AS_IT_CAME, output)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        pytest.param(ZSTD, b"", id="nothing"),
        pytest.param(ZSTD, TEXT, id="not compressed"),
        pytest.param(ZSTD, pack(TEXT)[1][:-5], id="cut off"),
        pytest.param(ZSTD, zstandard.ZstdCompressor().compress(bytes(LARGEST + 1)), id="too large"),
        pytest.param(
            ZSTD, zstandard.ZstdCompressor(write_content_size=False).compress(TEXT), id="of unknown size"
        ),
        pytest.param("gzip", TEXT, id="another encoding"),
    ],
)
def test_what_was_not_packed_is_refused(encoding: str, data: bytes) -> None:
    """With one kind of error."""
    with pytest.raises(ValueError, match=r"it can't be decompressed|is not known|claims to be larger"):
        unpack(encoding, data)


async def test_readers_get_what_was_written(tmp_path: Path) -> None:
    """Watchers, and who takes a release up again; how much there is counts as it came."""
    path = tmp_path / "audit.db"
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, accepted("true"))
        await audit.append_output(RELEASE, [(OUTPUT, TEXT), (OUTPUT, b"short")])
        events = await audit_log.events_of(audit, RELEASE)
        stored = await audit.query.output_after(RELEASE, 0, Stream.STDOUT, 0)
        assert [event.output for event in events[1:]] == [TEXT, b"short"]
        assert [output.data for output in stored] == [TEXT, b"short"]
        assert await audit.query.stored_bytes(RELEASE) == {0: len(TEXT) + 5}
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT encoding, length(data) < 1000 FROM outputs").fetchall()
    assert kept == [(ZSTD, 1), (AS_IT_CAME, 1)]
