"""The parts of the benchmark, each in a module of its own with its contenders, its rows and its checks."""

from collections.abc import Callable

from bench.part import Measured, Setting
from bench.scenarios import (
    accepting,
    audit,
    commands,
    fifty_running,
    growing_history,
    growing_queue,
    idle,
    line_way,
    output,
    targets,
    timing_out,
    watchers,
)

PARTS: dict[str, Callable[[Setting], Measured]] = {
    "commands": commands.measure_part,
    "targets": targets.measure_part,
    "output": output.measure_part,
    "line": line_way.measure_part,
    "watchers": watchers.measure_part,
    "accepting": accepting.measure_part,
    "timeout": timing_out.measure_part,
    "idle": idle.measure_part,
    "fifty": fifty_running.measure_part,
    "queue": growing_queue.measure_part,
    "history": growing_history.measure_part,
    "audit": audit.measure_part,
}
