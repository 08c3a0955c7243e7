"""The unit's socket under a real systemd: it starts the daemon, and who connects while it is away waits."""

import json
from collections.abc import Iterator

import pytest

from support.machine import Machine

# Somebody has connected, and nobody has accepted that: see unix_seq_show() in the kernel.
SOMEBODY_WAITS = "grep -qE ' 02 +[0-9]+ /run/released/released.sock$' /proc/net/unix"


@pytest.fixture
def listening(host: Machine) -> Iterator[Machine]:
    """A machine that has the socket and no daemon."""
    host.check("systemctl start released.socket")
    assert host.properties("released.service", "ActiveState") == {"ActiveState": "inactive"}
    yield host
    host.run("systemctl stop released.socket released.service")


def hold_next_start(host: Machine) -> None:
    """From now on each start says so in /run/starting, and waits for a line in /run/go."""
    host.configure(
        "released.service", "Service", "ExecStartPre=+/bin/sh -c 'echo > /run/starting; cat /run/go'"
    )
    host.check("mkfifo /run/starting /run/go")


def test_first_client_starts_the_daemon(listening: Machine, busybox_image: str) -> None:
    """Everybody may connect; the connection is served, and a release runs."""
    assert listening.check("stat --format %a /run/released/released.sock") == "666\n"
    said = listening.check(f"releasectl run shop/live {busybox_image} -c 'greeting=echo hello'")
    assert "\nhello\n" in said
    assert listening.properties("released.service", "ActiveState", "NRestarts") == {
        "ActiveState": "active",
        "NRestarts": "0",
    }


def test_socket_goes_with_its_unit(listening: Machine) -> None:
    """And the daemon with both: nobody would reach it."""
    listening.check("releasectl status; systemctl stop released.socket")
    assert listening.run("test -e /run/released/released.sock")[0] == 1
    assert listening.properties("released.service", "ActiveState") == {"ActiveState": "inactive"}


def test_stopping_the_daemon_leaves_the_socket(listening: Machine) -> None:
    """The next client starts it again, at the same socket."""
    inode = listening.check("stat --format %i /run/released/released.sock")
    listening.check("releasectl status; systemctl stop released.service; releasectl status")
    assert listening.check("stat --format %i /run/released/released.sock") == inode


def test_release_is_adopted_and_a_client_waits_while_the_unit_restarts(
    listening: Machine, busybox_image: str
) -> None:
    """The command doesn't notice; who asks meanwhile gets an answer, from the new daemon."""
    name = listening.check(
        f"releasectl run --detach shop/live {busybox_image} -c 'work=echo first; "
        "until [ -e /tmp/done ]; do sleep 0.1; done; echo last'"
    ).strip()
    listening.check(f"timeout 60 sh -c 'until releasectl logs {name} | grep -qx first; do sleep 0.1; done'")
    old = listening.properties("released.service", "MainPID")
    hold_next_start(listening)
    listening.check("systemctl --no-block restart released.service; timeout 60 cat /run/starting")
    assert listening.run(f"test -e /proc/{old['MainPID']}")[0] == 1
    listening.check("(releasectl status; echo exit code $?) > /tmp/answer 2>&1 &")
    listening.check(f'timeout 60 sh -c "until {SOMEBODY_WAITS}; do sleep 0.1; done"')
    assert listening.properties("released.service", "ActiveState") == {"ActiveState": "activating"}
    assert listening.check("cat /tmp/answer") == ""
    listening.check("timeout 60 sh -c 'echo > /run/go'")
    listening.check("timeout 60 sh -c 'until grep -q \"exit code\" /tmp/answer; do sleep 0.1; done'")
    answer = listening.check("cat /tmp/answer")
    assert answer.endswith("exit code 0\n"), answer
    assert "releases   1 of at most" in answer
    engine = listening.engine
    assert engine.run_in(engine.container_of(name), "touch /tmp/done") == (0, "")
    listening.check(f"timeout 60 releasectl watch {name}")
    assert json.loads(listening.check(f"releasectl show --json {name}"))["state"] == "STATE_SUCCEEDED"
    said = listening.check(f"releasectl logs {name}").splitlines()
    assert [line for line in said if line in ("first", "last")] == ["first", "last"]


def test_daemon_that_can_t_start_is_not_tried_for_ever(listening: Machine) -> None:
    """A waiting client has it started only so often; when the fault is mended, a start mends all."""
    config = "/etc/released/config.toml"
    # So often in a minute, but a machine that is busy may need longer for that.
    folder = "/run/systemd/system/released.socket.d"
    listening.check(
        f"mkdir {folder} && printf '[Socket]\\nTriggerLimitIntervalSec=1h\\n' > {folder}/interval.conf && "
        "systemctl daemon-reload && systemctl restart released.socket"
    )
    listening.check(f"sed -i 's/^# max_concurrent = .*/max_concurrent = 0/' {config}")
    while listening.properties("released.socket", "Result") != {"Result": "trigger-limit-hit"}:
        status, said = listening.run("timeout 60 releasectl status")
        assert status == 5, said
    assert "max_concurrent" in listening.journal()
    listening.check(
        "sed -i '/^max_concurrent/d' /etc/released/config.toml; systemctl restart released.service"
    )
    listening.check("releasectl status")


def test_another_path_in_the_configuration_is_an_error(listening: Machine) -> None:
    """Nothing is served at a path that no client looks for; the journal says what to do."""
    listening.check(
        "printf '[server]\\nsocket = \"/run/released/other.sock\"\\n' > /etc/released/config.toml"
    )
    assert listening.run("timeout 60 systemctl start released.service")[0] != 0
    assert "set ListenStream= of released.socket and [server] socket to the same path" in listening.journal()
    assert listening.run("test -S /run/released/released.sock")[0] == 0
