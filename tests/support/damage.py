"""Damage to a database's file, such as a bad disk does."""

import sqlite3
from contextlib import closing
from pathlib import Path


def page_of(database: Path, table: str) -> int:
    """The number of a table's first page, counted from 1."""
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    return int(page)


def destroy_page(database: Path, page: int) -> None:
    """Overwrite a page with what is no page."""
    with closing(sqlite3.connect(database)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def page_within(database: Path, content: bytes) -> int:
    """The number of the first page that has nothing but a part of these bytes, which do not compress."""
    with closing(sqlite3.connect(database)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data = database.read_bytes()
    # SQLite's own bytes are at the beginning and at the end of a page.
    return next(
        page
        for page in range(1, len(data) // size + 1)
        if data[(page - 1) * size + 16 : page * size - 16] in content
    )
