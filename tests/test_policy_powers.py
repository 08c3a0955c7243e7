"""Which numbers of this host no release may have, asked of the kernel."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from released.policy.powers import powers_on_host

AS_SOMEBODY = """
import os, sys
from released.policy.powers import powers_on_host
os.setgroups([54323, 54324])
os.setgid(54322)
os.setuid(54321)
uids, gids = powers_on_host(sys.argv[1])
print(sorted(uids), sorted(gids))
"""


def socket_of(path: Path, uid: int, gid: int) -> str:
    """Make a socket that belongs to these; return it as an engine's URL."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    os.chown(path, uid, gid)
    return f"unix://{path}"


def test_daemon_s_own_user_and_groups() -> None:
    """With the supplementary ones, which it has the engine's socket by."""
    command = [sys.executable, "-c", AS_SOMEBODY, "tcp://127.0.0.1:1"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said == "[54321] [54322, 54323, 54324]\n"


def test_owner_and_group_of_the_engine_s_socket(tmp_path: Path) -> None:
    """Where a link leads to, as /var/run/docker.sock may be one; root's numbers are left to the policy."""
    url = socket_of(tmp_path / "engine.sock", 54325, 54326)
    (tmp_path / "link").symlink_to("engine.sock")
    for each in (url, f"unix://{tmp_path}/link"):
        powers = powers_on_host(each)
        assert (54325 in powers.uids, 54326 in powers.gids) == (True, True)
        assert not {0} & (powers.uids | powers.gids)


def test_engine_that_is_away(tmp_path: Path) -> None:
    """No socket, no numbers of its own: no container is made either."""
    away = powers_on_host(f"unix://{tmp_path}/engine.sock")
    assert away == powers_on_host("tcp://127.0.0.1:1")
