"""`bench/results.md`: the scoreboard with all that a reader has to know to judge it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.rows import Line
from bench.table import HEADINGS, cells

RESULTS = Path(__file__).with_name("results.md")

_HEAD = """\
# Results of the benchmark

`make bench` writes this file; nobody edits it. A ratio is the contender's median by that of what it is
compared with, in the same rounds of one run, in which they take turns: of times where less is better (≤), of
throughputs where more is (≥). "Times linear" compares the cost of a size with that of a smaller one: above
1.10 it grows faster than the size, which is a DEFECT. The least and the most in single rounds tell how much
the machine varies. A peer that can't be installed is in the table, with the reason.
"""


def write_results(
    file: Path, machine: Mapping[str, str], lines: Iterable[Line], remarks: Sequence[str]
) -> None:
    """Write the table with the machine, the versions and the remarks."""
    parts = [
        _HEAD,
        _table(("measured on", ""), machine.items()),
        _table(HEADINGS, map(cells, lines)),
        "".join(f"- {remark}\n" for remark in remarks),
    ]
    file.write_text("\n".join(part for part in parts if part))


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    """One line, in which nothing ends the cell; what programs say may have several."""
    return " ".join(text.split()).replace("|", "\\|")
