"""Verifies an audit log without a daemon: `python -m released.audit.verification FILE`."""

import os
import sqlite3
import stat
import sys
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from released.audit.verification.checks import NotALog
from released.audit.verification.export import verify_export
from released.audit.verification.findings import Report
from released.audit.verification.log_file import verify_database
from released.model.receipt import Receipt

FAILED, NOT_FOUND, NO_ACCESS = 1, 3, 4
"""Exit codes, as releasectl's."""

HEADER = b"SQLite format 3\0"
"""What a database begins with (sqlite.org/fileformat.html)."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--receipt", "receipts", metavar="S:D", multiple=True, help="A receipt from elsewhere. Repeatable."
)
@click.option("--live", is_flag=True, help="A daemon has FILE open.")
def main(file: Path, receipts: tuple[str, ...], *, live: bool) -> None:
    """Verify FILE, an audit log or an export of one, and write what was found as JSON.

    Nothing is changed. Exit code 0: nothing is wrong with it; 1 with JSON: it is not. Without JSON it was not
    verified: 1, 2 for wrong usage, 3 if there is no such file, 4 if it may not be read.
    """
    try:
        report = _verify(file, [_receipt(text) for text in receipts], is_live=live)
    except FileNotFoundError:
        _fail(f"there is no file {file}", NOT_FOUND)
    except PermissionError:
        _fail(f"{file} may not be read", NO_ACCESS)
    except (NotALog, OSError, sqlite3.Error, RuntimeError) as error:
        _fail(f"{file} can't be verified: {error}", FAILED)
    sys.stdout.buffer.write(msgspec.json.encode(report))
    sys.stdout.flush()
    sys.exit(FAILED if report.problems else 0)


def _verify(file: Path, receipts: list[Receipt], *, is_live: bool) -> Report:
    # Whatever else there is to do, releases above all, comes first.
    with suppress(OSError):
        os.nice(19)
    if not stat.S_ISREG(file.stat().st_mode):
        # What comes through a pipe can't be read twice, and nothing at all would be a sound log.
        raise NotALog("it is no regular file")
    with file.open("rb") as opened:
        beginning = opened.read(len(HEADER))
    if not beginning:
        raise NotALog("it is empty: neither a database nor an export")
    if not is_live and beginning.startswith(b"{"):
        return verify_export(file, receipts)
    return verify_database(file, receipts, len(os.sched_getaffinity(0)), is_live=is_live)


def _receipt(text: str) -> Receipt:
    try:
        return Receipt.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--receipt") from None


def _fail(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
