"""What the unit keeps the daemon from, measured and tried under a real systemd."""

import json
import re
from pathlib import Path

import pytest

from support.machine import Machine

UNIT = "/usr/local/lib/systemd/system/released.service"
DOCUMENTATION = Path(__file__).parent.parent.joinpath("docs/systemd.md").read_text()

EXPOSURE = 0.6
"""What systemd 252, of Debian 12, says of the unit; below 2 is its best class."""

# Each a line of Python that raises OSError if it may not be done. They are tried as root, so that none fails
# for the user; but not in root's group, which sees all processes.
ATTEMPTS = {
    "write below /": "open('/probe', 'w')",
    "write below /usr": "open('/usr/probe', 'w')",
    "write below /etc": "open('/etc/probe', 'w')",
    "write below /home": "open('/home/probe', 'w')",
    "see another's process": "os.stat(f'/proc/{OTHER}/status')",
    "see the host's /tmp": "os.stat('/tmp/probe-of-the-host')",
    "use the network": "socket.socket(socket.AF_INET)",
    "use netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "be in the host's network": "os.stat('/proc/self/ns/net').st_ino == HOST_NETWORK or fail()",
    "make memory both writable and executable": "mmap.mmap(-1, 4096, prot=7)",
    "become another user": "os.setuid(65534)",
    "have any capability": "int(status('CapBnd'), 16) or fail()",
    "gain privileges by a program": "status('NoNewPrivs') == '0' or fail()",
    "make a namespace": "call('unshare', 0x08000000)",
    "mount": "call('mount', b'none', b'/mnt', b'tmpfs', 0, None)",
    "make a set-user-ID file": "os.chmod(PRIVATE, 0o4755)",
    "take another personality": "call('personality', 0x0008)",
    "be scheduled otherwise": "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
}

PROBE = r"""
import ctypes, json, mmap, os, socket, sys, tempfile
PRIVATE = tempfile.mkstemp(dir='/var/lib/probe')[1]
HOST_NETWORK, OTHER = map(int, sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def fail():
    raise OSError

def status(name):
    return next(line.split()[1] for line in open('/proc/self/status') if line.startswith(name))

def can(attempt):
    child = os.fork()
    if not child:
        try:
            exec(attempt)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0

print(json.dumps({name: can(attempt) for name, attempt in json.load(sys.stdin).items()}))
"""


def test_exposure_is_what_the_documentation_says(host: Machine) -> None:
    """At most 1.0 is "OK"; a directive that is lost, or takes no effect any more, changes the number."""
    host.check("systemd-analyze security --threshold=10 released.service")
    said = host.check("systemd-analyze security --no-pager released.service")
    assert re.findall(r"Overall exposure level for released.service: ([\d.]+)", said) == [str(EXPOSURE)]
    assert f"exposure level of **{EXPOSURE}**" in DOCUMENTATION


def test_each_directive_that_is_missing_is_explained(host: Machine) -> None:
    """Whatever counts against the unit is in the documentation, and nothing else is."""
    said = host.check("systemd-analyze security --no-pager --json=short released.service")
    missing = {
        check["json_field"] for check in json.loads(said) if check["exposure"] and float(check["exposure"])
    }
    assert set(re.findall(r"^\| `(\w+)` \|", DOCUMENTATION, re.MULTILINE)) == missing


def test_units_are_sound(host: Machine) -> None:
    """systemd finds nothing in them that it does not know."""
    assert host.check(f"systemd-analyze verify {UNIT} released.socket") == ""


def test_daemon_is_an_ordinary_user_of_group_docker(host: Machine) -> None:
    """It has no capability, and cannot get one."""
    host.check("systemctl start released.service")
    pid = host.properties("released.service", "MainPID")["MainPID"]
    status = dict(line.split(":", 1) for line in host.check(f"cat /proc/{pid}/status").splitlines())
    uid, gid, docker = host.check("id -u released; id -g released; getent group docker | cut -d: -f3").split()
    assert uid != "0"
    assert status["Uid"].split() == [uid] * 4
    assert set(status["Groups"].split()) == {gid, docker}
    assert {status[name].strip() for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")


def drop_in(directive: str) -> list[str]:
    """The settings of the documentation's example that has this directive."""
    examples = re.findall(r"```ini\n(.*?)```", DOCUMENTATION, re.DOTALL)
    (example,) = (example for example in examples if directive in example)
    section, *settings = example.split("\n")
    assert section.strip() == "[Service]"
    return [line.strip() for line in settings if line.strip()]


def test_engine_in_the_network_is_reached_with_the_documented_drop_in(
    host: Machine, busybox_image: str
) -> None:
    """And not without it."""
    host.configure("docker.socket", "Socket", "ListenStream=127.0.0.1:2375")
    url = 'url = "tcp://127.0.0.1:2375"'
    host.check(f"sed -i 's|^# url = .*|{url}|' /etc/released/config.toml")
    host.check("systemctl restart docker.socket; systemctl start released.service")
    run = f"releasectl run shop/live {busybox_image} -c 'greeting=echo hello'"
    assert host.run(run)[0] != 0
    host.configure("released.service", "Service", *drop_in("PrivateNetwork="))
    host.check("systemctl restart released.service")
    assert "\nhello\n" in host.check(run)


def test_audit_log_may_lie_elsewhere_with_the_documented_drop_in(host: Machine) -> None:
    """And not without it."""
    host.check("mkdir /srv/released; chown released: /srv/released")
    path = 'path = "/srv/released/audit.db"'
    host.check(f"sed -i 's|^# path = .*|{path}|' /etc/released/config.toml")
    assert host.run("timeout 60 systemctl start released.service")[0] != 0
    assert "Read-only file system" in host.journal()
    host.configure("released.service", "Service", *drop_in("ReadWritePaths="))
    host.check("systemctl restart released.service; releasectl status; test -s /srv/released/audit.db")


@pytest.mark.parametrize("hardened", [True, False])
def test_what_the_unit_forbids_can_t_be_done(host: Machine, hardened: bool) -> None:
    """Not even by root in the same unit, who without its directives could do all of it."""
    network = host.check("stat --dereference --format %i /proc/self/ns/net").strip()
    host.check("systemctl start released.service")
    other = host.properties("released.service", "MainPID")["MainPID"]
    unit = host.check(f"cat {UNIT}")
    directives = unit[unit.index("\nUMask=") : unit.index("[Install]")] if hardened else ""
    host.write("/usr/local/bin/probe", PROBE)
    host.write("/usr/local/lib/attempts.json", json.dumps(ATTEMPTS))
    host.write(
        "/etc/systemd/system/probe.service",
        "[Service]\nType=oneshot\nUser=root\nGroup=nogroup\nStateDirectory=probe\n"
        "StandardInput=file:/usr/local/lib/attempts.json\nStandardOutput=file:/run/probe-said\n"
        f"ExecStart=/usr/bin/python3 /usr/local/bin/probe {network} {other}\n{directives}",
    )
    host.check("touch /tmp/probe-of-the-host; systemctl daemon-reload; systemctl start probe.service")
    assert json.loads(host.check("cat /run/probe-said")) == dict.fromkeys(ATTEMPTS, not hardened)
