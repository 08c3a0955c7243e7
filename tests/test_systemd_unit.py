"""systemd/released.service under a real systemd: it starts the installed daemon, a release runs, it stops."""

from support.docker_engine import Engine
from support.systemd import Host


def test_unit_starts_runs_a_release_and_stops(host: Host, busybox_image: str) -> None:
    """Starting returns when the socket answers; a release runs; stopping ends it cleanly."""
    # Enabled, so that systemd keeps what it knows about the unit after its end.
    host.check("systemctl enable --now released")
    assert host.properties("released", "ActiveState", "SubState") == {
        "ActiveState": "active",
        "SubState": "running",
    }
    assert host.check("stat --format '%F' /run/released/released.sock") == "socket\n"

    output = host.releasectl(f"run shop/live {busybox_image} -c 'greeting=echo hello'")
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
    assert host.run("test -e /run/released/released.sock")[0] == 1
    assert "audit.db" in host.check("ls /var/lib/released")


def test_unit_stays_stopped_after_a_drain(host: Host) -> None:
    """It ended by itself, and cleanly: an operator wanted it to."""
    host.check("systemctl enable --now released")
    host.check("PYTHONPATH=/opt/releasephase releasectl drain")
    # A unit that is to be started again would be activating.
    ended = "systemctl is-active released | grep -qxE 'inactive|activating|failed'"
    host.check(f'timeout 60 sh -c "until {ended}; do sleep 0.1; done"')
    assert host.properties("released", "ActiveState", "Result", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "inactive",
        "Result": "success",
        "ExecMainStatus": "0",
        "NRestarts": "0",
    }


def test_stopping_takes_no_5_seconds_and_leaves_containers_alone(
    host: Host, engine: Engine, busybox_image: str
) -> None:
    """systemd gives it no more here, and would say so; what runs in the engine runs on."""
    folder = "/etc/systemd/system/released.service.d"
    host.check(f"printf '[Service]\\nTimeoutStopSec=5\\n' > {folder}/stop.conf && systemctl daemon-reload")
    host.check("systemctl enable --now released")
    name = host.releasectl(
        f"run --detach shop/live {busybox_image} -c 'up=while echo up; do sleep 0.1; done'"
    ).strip()
    host.check(f"PYTHONPATH=/opt/releasephase timeout 60 releasectl logs -f {name} | grep -m 1 -x up")
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
    host.run(f"PYTHONPATH=/opt/releasephase releasectl cancel {name}")
    host.run(f"PYTHONPATH=/opt/releasephase releasectl watch {name}")


def test_unit_brings_a_crashed_daemon_back(host: Host) -> None:
    """A daemon that is killed is started again and answers."""
    host.check("systemctl start released")
    host.check("mkfifo /run/up && systemctl kill --signal=KILL --kill-whom=main released")
    assert host.check("timeout 60 cat /run/up") == "up\n"
    host.releasectl("status")
    assert host.properties("released", "NRestarts") == {"NRestarts": "1"}
