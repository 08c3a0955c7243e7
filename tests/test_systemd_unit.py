"""The unit under a real systemd, as `make install` leaves it: it starts, a release runs, it stops."""

import pytest

from support.docker_engine import Engine
from support.machine import Machine


def test_unit_starts_runs_a_release_and_stops(host: Machine, busybox_image: str) -> None:
    """Starting returns when the socket answers; a release runs; stopping ends it cleanly."""
    # Enabled, so that systemd keeps what it knows about the unit after its end.
    host.check("systemctl enable --now released")
    assert host.properties("released", "ActiveState", "SubState") == {
        "ActiveState": "active",
        "SubState": "running",
    }
    assert host.check("stat --format '%F' /run/released/released.sock") == "socket\n"

    output = host.check(f"releasectl run shop/live {busybox_image} -c 'greeting=echo hello'")
    assert "Running greeting..." in output
    assert "\nhello\n" in output

    host.check("systemctl stop released")
    ended = host.properties("released", "ActiveState", "Result", "ExecMainCode", "ExecMainStatus")
    assert ended == {
        "ActiveState": "inactive",
        "Result": "success",
        "ExecMainCode": "1",
        "ExecMainStatus": "0",
    }
    assert "audit.db" in host.check("ls /var/lib/released")


def test_unit_stays_stopped_after_a_drain(host: Machine) -> None:
    """An operator wanted it to: no client starts it again, until somebody starts the unit."""
    host.check("systemctl enable --now released")
    host.check("releasectl drain")
    # A unit that is to be started again would be activating.
    for unit in ("released.service", "released.socket"):
        ended = f"systemctl is-active {unit} | grep -qxE 'inactive|activating|failed'"
        host.check(f'timeout 60 sh -c "until {ended}; do sleep 0.1; done"')
    status, said = host.run("releasectl status")
    assert (status, "no daemon found" in said) == (5, True), said
    assert host.properties("released", "ActiveState", "Result", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "inactive",
        "Result": "success",
        "ExecMainStatus": "0",
        "NRestarts": "0",
    }
    host.check("systemctl start released; releasectl status")


def test_stopping_takes_no_5_seconds_and_leaves_containers_alone(
    host: Machine, engine: Engine, busybox_image: str
) -> None:
    """systemd gives it no more here, and would say so; what runs in the engine runs on."""
    host.configure("released.service", "Service", "TimeoutStopSec=5")
    host.check("systemctl enable --now released")
    name = host.check(
        f"releasectl run --detach shop/live {busybox_image} -c 'up=while echo up; do sleep 0.1; done'"
    ).strip()
    host.check(f"timeout 60 releasectl logs -f {name} | grep -m 1 -x up")
    before = engine.release_containers()
    host.check("systemctl stop released")
    assert host.properties("released", "Result", "ExecMainCode", "ExecMainStatus") == {
        "Result": "success",
        "ExecMainCode": "1",
        "ExecMainStatus": "0",
    }
    (left,) = engine.release_containers() & before
    assert left.endswith("(running)")
    host.check("systemctl start released")
    host.run(f"releasectl cancel {name}")
    host.run(f"releasectl watch {name}")


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        ("echo no database > /var/lib/released/audit.db", "65"),
        ("echo nonsense > /etc/released/config.toml", "2"),
    ],
)
def test_unit_that_can_not_start_is_not_tried_for_ever(host: Machine, damage: str, status: str) -> None:
    """Neither a damaged log nor a bad configuration gets better by that."""
    host.check(f"systemctl enable --now released; systemctl stop released; {damage}")
    assert host.run("systemctl start released")[0] != 0
    assert host.properties("released", "ActiveState", "Result", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": status,
        "NRestarts": "0",
    }


def test_unit_brings_a_crashed_daemon_back(host: Machine) -> None:
    """A daemon that is killed is started again and answers."""
    host.check("systemctl start released")
    host.notice_starts("released")
    host.check("systemctl kill --signal=KILL --kill-whom=main released")
    host.await_start()
    host.check("releasectl status")
    assert host.properties("released", "NRestarts") == {"NRestarts": "1"}
