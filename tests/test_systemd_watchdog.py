"""systemd's watchdog: an event loop that is blocked is ended, and the daemon started again."""

import json
from collections.abc import Iterator

import pytest

from support.machine import Machine

WATCHDOG_SECONDS = 4
LINES = 300

# Until the daemon has fed the watchdog for longer than it would have lived without, or has been restarted.
OUTLIVED = f"""
set -e
value() {{ systemctl show --value --property="$1" released; }}
started=$(value ExecMainStartTimestampMonotonic)
until [ "$(value WatchdogTimestampMonotonic)" -gt $((started + {2 * WATCHDOG_SECONDS} * 1000000)) ]; do
    [ "$(value ExecMainStartTimestampMonotonic)" = "$started" ]
    sleep 0.1
done
"""


# The daemon, with a way to block its event loop and nothing else: signal handlers run in the loop's thread.
BLOCKABLE = """
import signal
import time

from released.__main__ import main

signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600))
main()
"""


@pytest.fixture
def watched(host: Machine) -> Iterator[Machine]:
    """A machine whose daemon runs under a short watchdog."""
    python = "/usr/local/lib/releasephase/current/bin/python"
    host.write("/srv/blockable.py", BLOCKABLE)
    host.configure(
        "released.service",
        "Service",
        f"WatchdogSec={WATCHDOG_SECONDS}",
        "ExecStart=",
        f"ExecStart={python} /srv/blockable.py",
    )
    host.check("systemctl start released")
    host.notice_starts("released")
    yield host
    host.run("systemctl stop released")


def block_until_restarted(host: Machine) -> None:
    """Let the daemon's event loop turn no more; its other threads go on."""
    host.check("systemctl kill --signal=USR1 --kill-whom=main released")
    host.await_start()


def test_daemon_feeds_the_watchdog(watched: Machine) -> None:
    """It lives longer than the watchdog's time, idle as it is."""
    watched.check(f"timeout 60 sh -c '{OUTLIVED}'")
    assert watched.properties("released", "NRestarts") == {"NRestarts": "0"}


def test_blocked_daemon_is_restarted(watched: Machine, busybox_image: str) -> None:
    """It serves again, its last words say where it was, and no core dump holds its memory."""
    block_until_restarted(watched)
    assert watched.properties("released", "NRestarts", "ActiveState") == {
        "NRestarts": "1",
        "ActiveState": "active",
    }
    journal = watched.check("journalctl --no-pager --unit=released")
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal
    assert "code=killed, status=6/ABRT" in journal
    assert "hello" in watched.check(f"releasectl run shop/live {busybox_image} -c 'greeting=echo hello'")


def test_release_goes_on_while_the_daemon_is_restarted(watched: Machine, busybox_image: str) -> None:
    """It is adopted: it succeeds, and its output is exactly what its command wrote."""
    count = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i + 1)); sleep 0.02; done; echo $i lines"
    name = watched.check(f"releasectl run --detach shop/live {busybox_image} -c 'count={count}'").strip()
    watched.check(f"timeout 60 releasectl logs -f {name} | grep -m 1 'line 9'")
    block_until_restarted(watched)
    watched.check(f"timeout 120 releasectl watch {name}")
    assert json.loads(watched.check(f"releasectl show --json {name}"))["state"] == "STATE_SUCCEEDED"
    lines = watched.check(f"releasectl logs {name}").splitlines()
    written = [f"line {number}" for number in range(LINES)] + [f"{LINES} lines"]
    assert [line for line in lines if line.startswith("line ") or line.endswith(" lines")] == written
