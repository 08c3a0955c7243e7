"""The verdicts of the benchmark's scoreboard, and the file that it is written to."""

from pathlib import Path

import pytest
from bench.results import write_results
from bench.rounds import Figures, NotInstalled, NotMeasured, measure
from bench.rows import (
    Beside,
    Better,
    Beyond,
    Bound,
    Comparison,
    Row,
    Unit,
    Verdict,
    failed,
    growth,
    one_more,
)

LESS = Comparison("start: time", "us", "them", Better.LESS, 1.1)
MORE = Comparison("output: throughput", "us", "them", Better.MORE, 0.95)
BEYOND = Beyond("a line: p50", "us", "them", 0.005)
BOUND = Bound("idle: memory", "us", 60, Unit.MIB)
BESIDE = Beside("a line: p50", "us", "them")


@pytest.mark.parametrize(
    ("row", "ours", "theirs", "ratio", "verdict"),
    [
        (LESS, (1.0, 1.1, 9.0), (1.0, 1.0, 1.0), "1.100", Verdict.MET),
        (LESS, (1.0, 1.2, 1.3), (1.0, 1.0, 1.0), "1.200", Verdict.MISSED),
        (MORE, (1.0, 1.0, 1.0), (0.9, 0.95, 5.0), "0.950", Verdict.MET),
        (MORE, (1.0, 1.0, 1.0), (0.9, 0.9, 5.0), "0.900", Verdict.MISSED),
        (BEYOND, (0.004, 0.005, 0.006), (0.001, 0.001, 0.001), "limit + 4.0 ms", Verdict.MET),
        (BEYOND, (0.004, 0.007, 0.008), (0.001, 0.001, 0.001), "limit + 6.0 ms", Verdict.MISSED),
        (BOUND, (50.0, 60.0, 70.0), (), "60.0 MiB", Verdict.MET),
        (BOUND, (50.0, 61.0, 70.0), (), "61.0 MiB", Verdict.MISSED),
        (BESIDE, (0.1, 0.5, 0.9), (0.1, 0.1, 0.1), "5.000", Verdict.BESIDE),
    ],
)
def test_the_median_is_judged(
    row: Row, ours: tuple[float, ...], theirs: tuple[float, ...], ratio: str, verdict: Verdict
) -> None:
    """A row shows the ratio, the difference or the figure of the medians, and whether its target is met."""
    line = row.judge({"us": Figures(ours), "them": Figures(theirs)})
    assert (line.ratio, line.verdict, line.rounds) == (ratio, verdict, "3")


def test_worse_than_linear_growth_is_a_defect() -> None:
    """Each size is compared with the one before; what costs more than linearly is a defect."""
    sizes = {1: "one", 10: "ten", 100: "hundred", 1000: "thousand"}
    figures = {"one": 1.0, "ten": 5.0, "hundred": 52.0, "thousand": 600.0}
    lines = [
        row.judge({name: Figures((value,)) for name, value in figures.items()})
        for row in growth("releases", sizes)
    ]
    assert [line.contender for line in lines] == ["ten", "hundred", "thousand"]
    assert [line.verdict for line in lines] == [Verdict.MET, Verdict.MET, Verdict.DEFECT]


def test_one_more_that_costs_more_the_more_there_are_is_a_defect() -> None:
    """All together would cost more than linearly; a little more is noise."""
    sizes = {1: "one", 10: "ten", 100: "hundred", 1000: "thousand"}
    figures = {"one": 1.0, "ten": 1.4, "hundred": 1.2, "thousand": 1.9}
    lines = [
        row.judge({name: Figures((value,)) for name, value in figures.items()})
        for row in one_more("releases", sizes)
    ]
    assert [line.verdict for line in lines] == [Verdict.MET, Verdict.MET, Verdict.DEFECT]


SIZES = {1: "them", 2: "us"}


@pytest.mark.parametrize(
    "row", [LESS, MORE, BEYOND, BOUND, BESIDE, next(growth("all", SIZES)), next(one_more("all", SIZES))]
)
@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (NotMeasured("it ended with 1"), Verdict.NOT_MEASURED),
        (NotInstalled("no such package"), Verdict.NOT_INSTALLED),
    ],
)
def test_without_a_figure_there_is_a_row_that_says_why(
    row: Row, failure: NotMeasured, verdict: Verdict
) -> None:
    """A contender that failed, or can't be had, has a row of its own with the reason."""
    line = row.judge({"us": Figures(failure=failure), "them": Figures((1.0,))})
    assert (line.ratio, line.verdict, line.why) == ("-", verdict, str(failure))


async def test_a_contender_that_fails_is_out_and_the_others_go_on() -> None:
    """The round that warms up does not count, and who fails in any round has no figures at all."""
    ran: list[str] = []

    async def works() -> float:
        ran.append("works")
        return float(len(ran))

    async def fails() -> None:
        raise NotInstalled("gone")

    figures = await measure({"works": works, "fails": fails}, 3)
    assert figures["works"] == Figures((2.0, 3.0, 4.0))
    assert isinstance(figures["fails"].failure, NotInstalled)


def test_the_file_has_the_machine_the_table_and_the_remarks(tmp_path: Path) -> None:
    """What programs say can't break the table: each row is one line with all of its cells."""
    lines = [
        LESS.judge({"us": Figures((1.0,)), "them": Figures((1.0,))}),
        failed("output", OSError("no |pipe|\nleft")),
    ]
    write_results(tmp_path / "results.md", {"Python": "3.11.7"}, lines, ["On ext4."])
    written = (tmp_path / "results.md").read_text()
    assert "| Python | 3.11.7 |" in written
    assert "| start: time | us | them | 1.000 | 1.00 … 1.00 | 1 | ≤ 1.10 | met |" in written
    assert r"| output | - | - | - | - | - | - | NOT MEASURED: no \|pipe\| … left |" in written
    assert written.endswith("- On ext4.\n")


def test_a_whole_log_is_told_by_its_last_line() -> None:
    """Why there is no figure fits into a cell, also when the reason is a daemon's log."""
    line = failed("output", NotMeasured("the daemon ended with 1. Its log:\nstarted\nworked\nno disk\n"))
    assert line.why == "the daemon ended with 1. Its log: … no disk"
