"""`make install`, `make uninstall`, an upgrade and a reboot, on a machine with a real systemd."""

import json

import pytest

from support.installed import NO_NETWORK, SOURCE
from support.machine import Machine

LIB = "/usr/local/lib/releasephase"

INSTALLED = """\
/etc/released/config.toml root:released 640
/etc/released root:released 750
/usr/local/bin/releasectl
/usr/local/bin/released
/usr/local/lib/systemd/system/released.service root:root 644
/usr/local/lib/systemd/system/released.socket root:root 644
/usr/local/lib/sysusers.d/released.conf root:root 644
/usr/local/lib/tmpfiles.d/released.conf root:root 644
/usr/local/share/doc/releasephase/LICENSE root:root 644
"""


def start_waiting_release(host: Machine, image: str) -> str:
    """Start a release whose command has begun, and ends when somebody makes /tmp/done in its container."""
    line = "echo first; until [ -e /tmp/done ]; do sleep 0.1; done; echo last"
    name = host.check(f"releasectl run --detach shop/live {image} -c 'work={line}'").strip()
    host.check(f"timeout 60 sh -c 'until releasectl logs {name} | grep -qx first; do sleep 0.1; done'")
    return name


def state(host: Machine, name: str) -> str:
    return str(json.loads(host.check(f"releasectl show --json {name}"))["state"])


def install(host: Machine, variables: str = "") -> str:
    return host.check(f"cd {SOURCE}; {NO_NETWORK} make install {variables}")


def test_files_are_in_place(host: Machine) -> None:
    """Root's, where systemd and users look for them; programs are links into an environment of their own."""
    for line in INSTALLED.splitlines():
        path, *owner_and_mode = line.split(" ", 1)
        if owner_and_mode:
            assert host.check(f"stat --format '%U:%G %a' {path}").strip() == owner_and_mode[0], path
        else:
            assert host.check(f"readlink -f {path}").startswith(f"{LIB}/0.1.0-"), path
    assert host.check(f"find {LIB} -not -user root -o -perm /022 -not -type l") == ""


def test_environment_is_compiled_and_has_no_trace_of_where_it_was_made(host: Machine) -> None:
    """The daemon may not write there, so what is not compiled by now is compiled at each start."""
    assert host.run(f"grep -r --files-with-matches {SOURCE} {LIB}") == (1, "")
    compiled = host.check(f"find {LIB}/current/lib/ -name 'cli.*.pyc' -path '*/released/*'")
    assert compiled.count("\n") == 1
    host.check("systemctl start released.service")
    assert host.check(f"find {LIB} -newer /run/released/released.sock.lock") == ""


def test_upgrade_leaves_the_running_daemon_alone(host: Machine, busybox_image: str) -> None:
    """Until it is restarted; then the new one is there, and adopts what the old one had under way."""
    host.check("systemctl enable --now released.service")
    name = start_waiting_release(host, busybox_image)
    before = host.check(f"readlink {LIB}/current").strip()
    host.check("echo '# ours' >> /etc/released/config.toml")
    host.check(f"mkdir {LIB}/0.0.9-of-long-ago")
    host.check(f"sed -i 's/0\\.1\\.0/0.1.1/' {SOURCE}/pyproject.toml {SOURCE}/daemon/released/__init__.py")
    assert "systemctl restart released" in install(host)
    after = host.check(f"readlink {LIB}/current").strip()
    assert after.startswith("0.1.1-")
    assert set(host.check(f"ls -A {LIB}").split()) == {"current", before, after}
    assert "released   0.1.0" in host.check("releasectl status")
    host.check("systemctl restart released.service")
    assert "released   0.1.1" in host.check("releasectl status")
    assert host.engine.run_in(host.engine.container_of(name), "touch /tmp/done") == (0, "")
    host.check(f"timeout 60 releasectl watch {name}")
    assert state(host, name) == "STATE_SUCCEEDED"
    assert host.check("tail -n 1 /etc/released/config.toml") == "# ours\n"


def test_installing_the_same_again_repairs_it(host: Machine) -> None:
    """And changes nothing else."""
    before = host.check(f"readlink {LIB}/current; ls -A {LIB}")
    host.check(
        f"rm {LIB}/current/bin/released /usr/local/bin/released; rm -r {LIB}/current/lib/python3*/*/released"
    )
    install(host)
    assert host.check(f"readlink {LIB}/current; ls -A {LIB}") == before
    host.check("systemctl start released.service; releasectl status")


def test_reboot_keeps_the_state_and_brings_the_daemon_back(host: Machine, busybox_image: str) -> None:
    """What the host took with it is FAILED, what was done stays done, and new releases run."""
    host.check("systemctl enable --now released.service")
    done = json.loads(host.check(f"releasectl run --json shop/live {busybox_image} -c 'a=true' | tail -n 1"))
    interrupted = start_waiting_release(host, busybox_image)
    container = host.engine.container_of(interrupted)
    host.shut_down()
    host.engine.http.request("DELETE", f"/containers/{container}", {"force": "1"})
    host.boot()
    host.run(f"timeout 60 releasectl watch {interrupted}")
    assert state(host, interrupted) == "STATE_FAILED"
    assert "STATE_SUCCEEDED" in json.dumps(done)
    assert len(json.loads(host.check("releasectl history --json"))["releases"]) == 2
    assert host.properties("released.service", "ActiveState") == {"ActiveState": "active"}
    host.check(f"releasectl run shop/live {busybox_image} -c 'a=true'")


def test_uninstalling_leaves_the_state_and_nothing_else(host: Machine, busybox_image: str) -> None:
    """A later installation finds its history."""
    host.check("systemctl enable --now released.service")
    host.check(f"releasectl run shop/live {busybox_image} -c 'a=true'")
    host.check("echo '# ours' >> /etc/released/config.toml")
    host.check(f"cd {SOURCE}; make uninstall")
    assert host.run("systemctl cat released.service")[0] != 0
    found = host.run("find /etc /opt /srv /usr /var -name 'releas*'")[1].split()
    assert found == ["/etc/released", "/var/lib/released"]
    assert "audit.db" in host.check("ls /var/lib/released")
    assert host.check("ls /etc/released") == "config.toml\n"
    assert host.run("id released")[0] == 0


def test_uninstalling_takes_an_unchanged_configuration_along(host: Machine) -> None:
    """And may be done twice."""
    host.check(f"cd {SOURCE}; make uninstall; make uninstall")
    assert host.run("find /etc /opt /srv /usr /var -name 'releas*'") == (0, "")


def test_staged_installation_is_for_its_final_place(host: Machine) -> None:
    """It is what a package would have: copied to /, it works. The running system is left alone."""
    host.check(f"cd {SOURCE}; make uninstall")
    said = install(host, "DESTDIR=/root/stage PREFIX=/usr")
    assert "Installed in /root/stage/usr." in said
    assert host.run("systemctl cat released.service")[0] != 0
    assert host.run(f"grep -r -l -e {SOURCE} -e /root/stage /root/stage") == (1, "")
    host.check("cp -a /root/stage/. /; systemd-sysusers; systemd-tmpfiles --create; systemctl daemon-reload")
    host.check("systemctl start released.service; /usr/bin/releasectl status")
    assert "/usr/bin/released" in host.check("systemctl show --property=ExecStart released.service")
    host.check(f"cd {SOURCE}; make uninstall DESTDIR=/root/stage PREFIX=/usr")
    assert host.check("find /root/stage -not -type d") == ""


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ("PREFIX=usr", "PREFIX is 'usr': it has to be an absolute path"),
        ("DESTDIR=stage", "DESTDIR is 'stage': it has to be an absolute path"),
        ("PYTHON=/root/python3.10", "/root/python3.10 is no Python 3.11 or newer"),
        ("PYTHON=/root/bare", "/root/bare has no venv module: install it (on Debian: apt install python3-"),
        ("PYTHON=/root/private", "/root/private lies where the daemon's user may not go"),
        ("PYTHON=/missing", "/missing is no Python 3.11 or newer"),
    ],
)
def test_what_can_t_be_is_said_before_anything_is_changed(
    host: Machine, variables: str, message: str
) -> None:
    """With what to do about it."""
    host.check("cp /usr/bin/python3 /root/private; chmod 700 /root/private")
    host.write("/root/python3.10", "#!/bin/sh\nexit 1\n")
    without_venv = "import sys; sys.modules['venv'] = None; exec(sys.argv[1])"
    host.write("/root/bare", f'#!/bin/sh\nexec python3 -c "{without_venv}" "$2"\n')
    host.check("chmod +x /root/python3.10 /root/bare")
    before = host.check(f"ls -lA {LIB}")
    status, said = host.run(f"cd {SOURCE}; make install {variables}")
    assert (status, message in said) == (2, True), said
    assert host.check(f"ls -lA {LIB}") == before


def test_only_root_installs(host: Machine) -> None:
    """Others are told so, and of DESTDIR."""
    host.check(f"cp -r {SOURCE} /var/tmp/source; chmod -R go+rX /var/tmp/source")
    status, said = host.run("setpriv --reuid=65534 --clear-groups make --directory=/var/tmp/source install")
    assert status == 2
    assert "only root can do this; or stage the files with DESTDIR=/some/folder" in said
