"""systemd/released.service under a real systemd: it starts the installed daemon, a release runs, it stops."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.docker_engine import Engine
from support.systemd import Host, booted, install_wheel

PREPARATION = """
ln -s /opt/releasephase/bin/released /opt/releasephase/bin/releasectl /usr/local/bin/
cp /opt/systemd/released.service /etc/systemd/system/
mkdir -p /etc/released /etc/systemd/system/released.service.d
cd /etc/systemd/system/released.service.d
printf '[engine]\\nurl = "unix:///engine.sock"\\n' > /etc/released/config.toml
printf '[Service]\\nEnvironment=PYTHONPATH=/opt/releasephase\\n' > test.conf
printf "ExecStartPost=/bin/sh -c '[ ! -p /run/up ] || echo up > /run/up'\\n" >> test.conf
systemctl daemon-reload
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution as its wheel installs it."""
    target = tmp_path_factory.mktemp("wheel") / "installed"
    install_wheel(target)
    return target


@pytest.fixture
def host(engine: Engine, installed: Path) -> Iterator[Host]:
    with (
        tempfile.TemporaryDirectory(prefix="rp-systemd-", dir="/tmp") as folder,
        booted(engine, installed, Path(folder)) as host,
    ):
        host.check(PREPARATION.strip().replace("\n", " && "))
        yield host


def test_unit_starts_runs_a_release_and_stops(host: Host, busybox_image: str) -> None:
    """Starting returns when the socket answers; a release runs; stopping ends it cleanly."""
    # Enabled, so that systemd keeps what it knows about the unit after its end.
    host.check("systemctl enable --now released")
    assert host.properties("released", "ActiveState", "SubState") == {
        "ActiveState": "active",
        "SubState": "running",
    }
    assert host.check("stat --format '%F' /run/released/released.sock") == "socket\n"

    output = host.check(
        f"PYTHONPATH=/opt/releasephase releasectl run shop/live {busybox_image} -c 'greeting=echo hello'"
    )
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


def test_unit_brings_a_crashed_daemon_back(host: Host) -> None:
    """A daemon that is killed is started again and answers."""
    host.check("systemctl start released")
    host.check("mkfifo /run/up && systemctl kill --signal=KILL --kill-whom=main released")
    assert host.check("timeout 60 cat /run/up") == "up\n"
    host.check("PYTHONPATH=/opt/releasephase releasectl status")
    assert host.properties("released", "NRestarts") == {"NRestarts": "1"}
