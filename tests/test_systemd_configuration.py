"""The configuration of the installed unit: who may call it, and reloading."""

import pytest

from support.machine import Machine

RULES = """
[access]
deploy = [{ group = "shop-deploy", targets = ["shop/*"] }]
"""


@pytest.fixture
def serving(host: Machine) -> Machine:
    """A machine on which the unit runs, and with two users of its own."""
    host.check("groupadd shop-deploy")
    host.check("useradd --groups released agent; useradd --groups shop-deploy shop; useradd stranger")
    host.check("systemctl enable --now released")
    return host


def as_user(host: Machine, user: str, command: str) -> tuple[int, str]:
    return host.run(f"runuser --user {user} -- {command}")


def test_members_of_group_released_may_deploy(serving: Machine, busybox_image: str) -> None:
    """An agent needs no more, in particular not the engine's socket; the daemon knows whom it serves."""
    status, output = as_user(
        serving, "agent", f"releasectl run shop/live {busybox_image} -c 'greet=echo hello'"
    )
    assert (status, "\nhello\n" in output) == (0, True), output
    uid = serving.check("id --user agent").strip()
    shown = serving.check(
        'releasectl history --json | grep -o \'"name": *"[^"]*\' | head -n 1 | cut -d \'"\' -f 4'
    )
    assert f"agent (uid {uid})" in serving.check(f"releasectl show {shown.strip()}")
    status, output = as_user(serving, "stranger", "releasectl status")
    assert (status, "needs the role read, and has nothing" in output) == (4, True), output
    assert as_user(serving, "agent", "cat /run/docker.sock")[0] != 0
    assert as_user(serving, "agent", "ls /var/lib/released")[0] != 0


def test_reloading_changes_who_may_do_what(serving: Machine, busybox_image: str) -> None:
    """Without a restart; a file that can't be used changes nothing."""
    started = serving.properties("released", "ExecMainStartTimestampMonotonic")
    run = f"releasectl run shop/live {busybox_image} -c 'greet=echo hello'"
    assert as_user(serving, "shop", run)[0] == 4
    reload(serving, RULES, "the configuration was read again; changed: [access] deploy")
    assert as_user(serving, "shop", run)[0] == 0
    assert as_user(serving, "agent", run)[0] == 4
    reload(
        serving,
        RULES.replace("shop-deploy", "nosuchgroup"),
        "line 3: [access] deploy[0].group: there is no group",
    )
    assert as_user(serving, "shop", run)[0] == 0
    assert "there is no group" in serving.check("releasectl status")
    assert serving.properties("released", "ExecMainStartTimestampMonotonic") == started


def reload(host: Machine, text: str, said: str) -> None:
    """Replace the configuration and have it read again, until the journal says so."""
    host.write("/etc/released/config.toml", text)
    host.check("systemctl reload released")
    following = "journalctl --follow --unit released --lines=all"
    host.check(f"timeout 60 sh -c \"{following} | grep --max-count=1 --fixed-strings '{said}'\"")
