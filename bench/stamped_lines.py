"""Lines that tell when they were written: what writes them, and what tells how long each took to arrive.

bash writes them, since it has the time in microseconds without starting a process: EPOCHREALTIME is what
gettimeofday(2) says, and whoever reads the lines asks the same clock of the same kernel.
"""

import time
from statistics import quantiles

from bench.rounds import NotMeasured
from support import busybox, debian
from support.docker_engine import Engine

LINES = 1000
PER_SECOND = 100
_SLOWEST_PACE = 1.1
"""Up to so many times as long as it should the writing may take."""

_SCRIPT = f"""
mkfifo /tmp/silence && exec 9<>/tmp/silence
read -r -t 1 -u 9
begin=${{EPOCHREALTIME/[.,]/}}
for ((line = 0; line < {LINES}; line++)); do
    pause=$((begin + line * {1_000_000 // PER_SECOND} - ${{EPOCHREALTIME/[.,]/}}))
    if ((pause > 0)); then
        printf -v seconds '%d.%06d' $((pause / 1000000)) $((pause % 1000000))
        read -r -t "$seconds" -u 9
    fi
    printf '%s applied shop.0042_prices to %d rows\\n' "$EPOCHREALTIME" "$line"
done
exit 0
"""

WRITER = ("/bin/bash", "-c", _SCRIPT)
"""The first line comes after a second: by then everybody listens."""


def bash_image(engine: Engine) -> str:
    """Return an image with bash, and a shell like all the others."""
    image = busybox.Layer(busybox.shell_image(), without={"bin/bash"})
    package = debian.unpacked("bash")
    bash = next(path for name in ("bin/bash", "usr/bin/bash") if (path := package / name).exists())
    image.file("bin/bash", bash.read_bytes(), 0o755)
    for library in busybox.libraries_of(bash):
        image.file(str(library).lstrip("/"), library.resolve().read_bytes(), 0o755)
    return engine.make_image(image.tar(), name="bash")


class Arrivals:
    """The lines of one container, in the pieces in which they came."""

    def __init__(self) -> None:
        self._begun = b""
        self._written: list[float] = []
        self._delays: list[float] = []

    def take(self, piece: bytes) -> None:
        """Take in what has just arrived."""
        now = time.time()
        *lines, self._begun = (self._begun + piece).split(b"\n")
        for line in lines:
            written = float(line.split(b" ", 1)[0])
            self._written.append(written)
            self._delays.append(now - written)

    def percentiles(self) -> tuple[float, float]:
        """Return the median and p99 of how long a line took, in seconds; all have to be there, in order."""
        if len(self._delays) != LINES or self._begun or self._written != sorted(self._written):
            raise NotMeasured(f"{len(self._delays)} of {LINES} lines arrived, or not in order")
        took = self._written[-1] - self._written[0]
        if took > _SLOWEST_PACE * LINES / PER_SECOND:
            raise NotMeasured(f"{LINES} lines took {took:.1f} s to be written: not {PER_SECOND} in a second")
        cuts = quantiles(self._delays, n=100)
        return cuts[49], cuts[98]
