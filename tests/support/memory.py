"""How much memory a process holds, as the kernel counts it: proc(5)."""

from pathlib import Path

KIB = 1024


def resident_bytes(pid: int) -> int:
    """What it holds now."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most that it has held since its start, or since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak be what it holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.removesuffix("kB")) * KIB
    raise ValueError(f"process {pid} has no {field}")
