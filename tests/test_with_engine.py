"""scripts/with-engine: passes on results and signals, says what to do, and leaves nothing behind."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import debian
from support.docker_engine import Engine
from support.engine_http import EngineHTTP

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
WITH_ENGINE = SCRIPTS / "with-engine"

PRIVATE_ENGINE = f"""
import signal, sys
from pathlib import Path
sys.path[:0] = [{str(SCRIPTS)!r}, {str(SCRIPTS.parent / "tests")!r}]
from private_engine import private_engine
with private_engine(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""

needs_root_on_debian = pytest.mark.skipif(
    not debian.is_root_on_debian(), reason="only root on Debian starts an engine of its own"
)


def with_engine(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WITH_ENGINE, *command], env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("code", [0, 7])
def test_command_gets_the_engine_and_its_exit_code_is_passed_on(engine: Engine, code: int) -> None:
    """An engine that DOCKER_HOST names is used as it is."""
    done = with_engine("sh", "-c", f"echo $DOCKER_HOST; exit {code}", DOCKER_HOST=engine.url)
    assert (done.returncode, done.stdout, done.stderr) == (code, f"{engine.url}\n", "")


def test_command_that_ends_by_a_signal(engine: Engine) -> None:
    """As a shell says it: 128 and the number of the signal."""
    assert with_engine("sh", "-c", "kill -9 $$", DOCKER_HOST=engine.url).returncode == 137


def test_command_that_does_not_exist(engine: Engine) -> None:
    done = with_engine("no-such-command", DOCKER_HOST=engine.url)
    assert (done.returncode, done.stderr) == (
        127,
        "with-engine: no-such-command: No such file or directory\n",
    )


def test_signal_reaches_the_command(engine: Engine) -> None:
    """The command decides what a SIGTERM means, and its exit code is still passed on."""
    waiting = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(
        [WITH_ENGINE, "sh", "-c", waiting],
        env=os.environ | {"DOCKER_HOST": engine.url},
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.terminate()
        assert running.wait(60) == 9


def test_engine_that_does_not_answer(tmp_path: Path) -> None:
    """The message names the engine, the reason and the way out; the command is not run."""
    done = with_engine("echo", "run", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert (done.returncode, done.stdout) == (69, "")
    assert "none.sock, but [Errno 2] No such file or directory. Start that engine, or unset" in done.stderr


def private_engine(folder: Path) -> subprocess.Popen[str]:
    """A process that holds a private engine until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", PRIVATE_ENGINE, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def url_of(holder: subprocess.Popen[str]) -> str:
    assert holder.stdout is not None
    return holder.stdout.readline().strip()


def runtime_of(url: str) -> Path:
    return Path(url.removeprefix("unix://")).parent


@needs_root_on_debian
def test_private_engine_leaves_only_its_data(tmp_path: Path) -> None:
    """Two at once have data of their own; afterwards their sockets' folders and mounts are gone."""
    with private_engine(tmp_path) as one, private_engine(tmp_path) as other:
        urls = {url_of(one), url_of(other)}
        for url in urls:
            EngineHTTP(url).ping()
        one.communicate()
        other.communicate()
    assert (one.returncode, other.returncode) == (0, 0)
    assert len(urls) == 2
    assert not [url for url in urls if runtime_of(url).exists()]
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


@needs_root_on_debian
def test_private_engine_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    """The engine notices that nobody is left to stop it, and the next run removes what it could not."""
    with private_engine(tmp_path) as killed:
        runtime = runtime_of(url_of(killed))
        daemon = os.pidfd_open(int((runtime / "pid").read_text()))
        killed.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([daemon], [], [], 60)
    os.close(daemon)
    assert ended
    with private_engine(tmp_path) as following:
        following.communicate()
    assert not runtime.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
