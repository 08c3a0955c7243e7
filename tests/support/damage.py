"""Damage to a database's file, such as a bad disk does."""

import sqlite3
from collections.abc import Iterable
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


def page_with(database: Path, contents: Iterable[bytes]) -> int:
    """The number of the first page that has some of these bytes, and more behind them on another page."""
    with closing(sqlite3.connect(database)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data, contents = database.read_bytes(), tuple(contents)
    for page in range(1, len(data) // size + 1):
        held = data[(page - 1) * size : page * size]
        # An overflow page begins with the number of the next one, 0 for none.
        if any(held[:4]) and any(each in held for each in contents):
            return page
    raise AssertionError("no page has any of these bytes")
