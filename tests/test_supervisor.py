"""The release container's supervisor: the real script under each shell that an image may have."""

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from released.release.markers import Exited, Here, Marker, Ready, Started
from support import busybox
from support.samples import a_command, a_spec
from support.supervised import NONCE, Ended, run, supervisor

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a PID namespace")

_WATCH = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("watching", flush=True)
while signal.sigwait({signal.SIGTERM}):
    print("witnessed", flush=True)
"""

WITNESS = f"{sys.executable} -c {shlex.quote(_WATCH)}"
"""A process that says when it gets SIGTERM, and misses none."""


@pytest.fixture(params=["dash", "busybox", "bash"])
def shell(request: pytest.FixtureRequest) -> Path:
    """What stands in the place of /bin/sh; bash is POSIX's shell when it is called so."""
    if request.param == "busybox":
        return busybox.busybox()
    found = shutil.which(request.param)
    assert found, f"{request.param} is not installed"
    return Path(found)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe: reading from it waits until somebody writes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    return pipe


def wait_for(pipe: Path) -> str:
    """A command that says so and then waits until somebody writes to a named pipe."""
    # Opened for both, since a signal would interrupt an open that waits for a writer.
    return f"exec 9<>{pipe}; echo waiting; read -r end <&9"


def release(pipe: Path) -> None:
    """Let whoever reads from the pipe go on."""
    pipe.write_text("\n")


def markers(*statuses: int) -> list[bytes | Marker]:
    """The markers of commands that end so, in order."""
    found: list[bytes | Marker] = [Ready()]
    for index, status in enumerate(statuses):
        found += [Started(index), Exited(index, status)]
    return found


async def test_commands_run_in_order_each_between_its_markers(shell: Path) -> None:
    """On both streams, so that each says by itself where a command's output ends."""
    ended = await run(shell, "echo one; echo err >&2", "printf two", "true")
    assert ended == Ended(
        stdout=[
            Ready(),
            Started(0),
            b"one\n",
            Exited(0, 0),
            Started(1),
            b"two",
            Exited(1, 0),
            Started(2),
            Exited(2, 0),
        ],
        stderr=[
            Ready(),
            Started(0),
            b"err\n",
            Exited(0, 0),
            Started(1),
            Exited(1, 0),
            Started(2),
            Exited(2, 0),
        ],
        exit_code=0,
    )


async def test_first_failure_is_the_end(shell: Path) -> None:
    """Later commands do not run, open gate or not, and its status is the container's."""
    ended = await run(shell, "true", "exit 3", "echo never")
    assert ended == Ended(markers(0, 3), markers(0, 3), 3)


async def test_failure_that_is_allowed_is_not_the_end(shell: Path) -> None:
    """The next command waits for its gate as ever; behind the last one, all is well."""
    spec = a_spec(
        commands=(
            a_command(line="exit 3", allow_failure=True),
            a_command(line="echo stopped", allow_failure=True),
            a_command(line="no-such-program", allow_failure=True),
        )
    )
    async with supervisor(shell, spec=spec) as running:
        await running.write(b"go 0\ngo 1\ngo 2\n")
        ended = await running.end()
    assert [item for item in ended.stdout if item != b"stopped\n"] == markers(3, 0, 127)
    assert ended.exit_code == 0


async def test_failure_behind_a_signal_is_the_end(shell: Path, pipe: Path) -> None:
    """Whoever is told to stop goes on with nothing, also if that command may fail."""
    commands = (
        a_command(line=f"trap 'exit 3' TERM; {wait_for(pipe)}", allow_failure=True),
        a_command(line="echo never"),
    )
    async with supervisor(shell, spec=a_spec(commands=commands)) as running:
        await running.write(b"go 0\ngo 1\n")
        await running.until(b"waiting\n")
        running.terminate()
        ended = await running.end_by_itself()
    assert ended.stdout[-1] == Exited(0, 3, stopped=True)
    assert ended.exit_code == 3


async def test_what_is_to_be_skipped_needs_no_gate(shell: Path) -> None:
    """Whatever it is: the next one's gate is the next that is opened, and has its own number."""
    skipped = a_command(line="echo never", skip_reason="not today")
    spec = a_spec(commands=(skipped, a_command(line="echo one"), skipped, skipped))
    async with supervisor(shell, spec=spec) as running:
        await running.write(b"go 0\ngo 1\n")
        ended = await running.end()
    assert ended.stdout == [Ready(), Started(1), b"one\n", Exited(1, 0)]
    assert ended.exit_code == 0


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("exit 1", 1),
        ("exit 255", 255),
        ("/etc", 126),
        ("no-such-program", 127),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("false || exit 7", 7),
        ("true | false", 1),
    ],
)
async def test_exit_status_is_the_commands_own(shell: Path, line: str, status: int) -> None:
    """In the marker and as the container's exit code; a signal's is 128 and its number."""
    ended = await run(shell, f"{line} 2>/dev/null")
    assert ended == Ended(markers(status), markers(status), status)


async def test_nothing_runs_before_its_gate_is_open(shell: Path) -> None:
    """A closed standard input never opens one."""
    assert await run(shell, "echo never", gates=b"") == Ended([Ready()], [Ready()], 1)


async def test_closed_input_between_commands_ends_it(shell: Path) -> None:
    """After the command that was let go."""
    ended = await run(shell, "true", "echo never", gates=b"go 0\n")
    assert ended == Ended(markers(0), markers(0), 1)


@pytest.mark.parametrize(
    "gate", [b"go 1\n", b"go 00\n", b"go\n", b"GO 0\n", b"\n", b"go 0x\n", b"go 0;\n", b"go 0"]
)
async def test_any_other_line_opens_nothing(shell: Path, gate: bytes) -> None:
    """A line without an end is none, either."""
    assert await run(shell, "echo never", gates=gate) == Ended([Ready()], [Ready()], 1)


async def test_stale_and_repeated_gates_run_nothing_twice(shell: Path) -> None:
    """After a crash, the daemon may open a gate again."""
    gates = b"go 0\n" * 3 + b"go 2\ngo 1\ngo 0\ngo 1\n" + b"go 2\n" * 2
    ended = await run(shell, "echo a", "echo b", "echo c", gates=gates)
    assert [item for item in ended.stdout if isinstance(item, bytes)] == [b"a\n", b"b\n", b"c\n"]
    assert (ended.stderr, ended.exit_code) == (markers(0, 0, 0), 0)


async def test_gate_may_be_opened_late(shell: Path) -> None:
    """The next command waits for it, however long the daemon takes to record the one before."""
    async with supervisor(shell, "echo a", "echo b") as running:
        await running.until(b"ready\n")
        await running.write(b"go 0\n")
        await running.until(b"exit 0 0\n")
        await running.write(b"go 1\n")
        assert (await running.end()).exit_code == 0


async def test_command_gets_no_input(shell: Path) -> None:
    """It can't take away the gates of the others."""
    ended = await run(shell, "cat; read -r line; echo $?", "echo next")
    assert [item for item in ended.stdout if isinstance(item, bytes)] == [b"1\n", b"next\n"]


async def test_any_bytes_come_through_on_both_streams(shell: Path, tmp_path: Path) -> None:
    """NUL, invalid UTF-8, what markers begin with, and markers with another nonce."""
    data = bytes(range(256)) * 1000 + b"\x1e" + NONCE[::-1].encode() + b" exit 0 0\n\x1e"
    (tmp_path / "data").write_bytes(data)
    ended = await run(shell, f"cat {tmp_path}/data & cat {tmp_path}/data >&2; wait")
    for stream in (ended.stdout, ended.stderr):
        assert b"".join(item for item in stream if isinstance(item, bytes)) == data
        assert [item for item in stream if not isinstance(item, bytes)] == markers(0)


@pytest.mark.parametrize(
    "line",
    [
        "printf '%s\\n' \"it's $(printf '%s' 'a b')\"",
        "for i in 1 2\ndo\n  echo $i\ndone\n",
        "# only a comment",
    ],
)
async def test_line_is_read_by_the_shell_as_it_is(shell: Path, line: str) -> None:
    """Quotes, newlines and all."""
    expected = {"p": [b"it's a b\n"], "f": [b"1\n2\n"], "#": []}[line[0]]
    ended = await run(shell, line)
    assert [item for item in ended.stdout if isinstance(item, bytes)] == expected
    assert ended.exit_code == 0


async def test_longest_lines(shell: Path) -> None:
    """64 KiB each, and a mebibyte of them: what a request may have."""
    words = ["x" * (64 * 1024 - len("echo "))] * 16
    ended = await run(shell, *(f"echo {word}" for word in words))
    assert [item.decode().strip() for item in ended.stdout if isinstance(item, bytes)] == words
    assert ended.exit_code == 0


async def test_nonce_is_not_in_the_environment_of_commands(shell: Path) -> None:
    """Nor in their arguments."""
    ended = await run(shell, 'env; set; echo "$0 $*"; tr "\\0" "\\n" </proc/self/cmdline')
    output = b"".join(item for item in ended.stdout if isinstance(item, bytes))
    assert b"PATH=" in output
    assert NONCE.encode() not in output


async def test_process_left_behind_does_not_hold_up_the_result(shell: Path) -> None:
    """Though it holds the streams open; it ends with the container."""
    async with supervisor(shell, "sleep 1000 & echo left", "echo next") as running:
        await running.write(b"go 0\ngo 1\n")
        await running.until(b"exit 1 0\n")
        ended = await running.end()
    assert (ended.stderr, ended.exit_code) == (markers(0, 0), 0)


async def test_output_of_a_process_left_behind_is_in_no_command(shell: Path, pipe: Path) -> None:
    """It comes between two commands' markers, or in the next one's output."""
    async with supervisor(shell, f"({wait_for(pipe)}; echo late) & true", "true") as running:
        await running.write(b"go 0\n")
        await running.until(b"waiting\n")
        await running.until(b"exit 0 0\n")
        release(pipe)
        await running.until(b"late\n")
        await running.write(b"go 1\n")
        ended = await running.end()
    assert ended.stdout[-2:] == [Started(1), Exited(1, 0)]
    late = ended.stdout[-3]
    assert isinstance(late, bytes)
    assert late.endswith(b"late\n")


async def test_sigterm_ends_a_command_that_does_nothing_about_it(shell: Path) -> None:
    """The supervisor lives on to report it, on both streams."""
    async with supervisor(shell, "echo waiting; exec sleep 1000") as running:
        await running.write(b"go 0\n")
        await running.until(b"waiting\n")
        running.terminate()
        ended = await running.end()
    end = Exited(0, 143, stopped=True)
    assert ended == Ended([Ready(), Started(0), b"waiting\n", end], [Ready(), Started(0), end], 143)


async def test_sigterm_reaches_every_process_of_a_command(shell: Path) -> None:
    """Not only its first one: each says so, and then all have ended."""
    child = "trap 'echo child; exit' TERM; echo ready; while :; do sleep 1000 & wait; done"
    line = f"trap 'wait; echo parent; exit 9' TERM; sh -c {shlex.quote(child)} & while :; do wait; done"
    async with supervisor(shell, line) as running:
        await running.write(b"go 0\n")
        await running.until(b"start 0\nready\n")
        running.terminate()
        ended = await running.end()
    assert ended.exit_code == 9
    assert ended.stdout == [Ready(), Started(0), b"ready\nchild\nparent\n", Exited(0, 9, stopped=True)]


@pytest.mark.parametrize("status", [0, 7])
async def test_command_that_cleans_up_on_sigterm_has_its_own_status(
    shell: Path, pipe: Path, status: int
) -> None:
    """Also if it is success."""
    line = f"trap 'echo cleaned; exit {status}' TERM; {wait_for(pipe)}"
    async with supervisor(shell, line) as running:
        await running.write(b"go 0\n")
        await running.until(b"waiting\n")
        running.terminate()
        await running.until(b"cleaned\n")
        ended = await running.end()
    end = Exited(0, status, stopped=True)
    assert ended.stdout[-1] == end
    assert ended.stderr == [Ready(), Started(0), end]


async def test_command_that_ignores_sigterm_goes_on_and_has_its_own_status(shell: Path, pipe: Path) -> None:
    """Somebody has to send SIGKILL. Others get SIGTERM once: many programs quit the hard way at a second."""
    line = f"{WITNESS} & trap '' TERM; {wait_for(pipe)}; exit 5"
    async with supervisor(shell, line) as running:
        await running.write(b"go 0\n")
        await running.until(b"waiting\n")
        await running.until(b"watching\n")
        running.terminate()
        await running.until(b"witnessed\n")
        running.terminate()
        release(pipe)
        ended = await running.end()
    assert ended.stdout[-1] == Exited(0, 5, stopped=True)
    assert b"".join(item for item in ended.stdout if isinstance(item, bytes)).count(b"witnessed\n") == 1
    assert ended.exit_code == 5


async def test_status_is_a_status_when_a_command_ends_together_with_sigterm(shell: Path, pipe: Path) -> None:
    """Its own; bash may lose it, and then it is that of the signal. The marker is one in any case."""
    async with supervisor(shell, f"trap '' TERM; {wait_for(pipe)}; exit 5") as running:
        await running.write(b"go 0\n")
        await running.until(b"waiting\n")
        running.terminate()
        release(pipe)
        ended = await running.end()
    statuses = (5, 143) if shell.name == "bash" else (5,)
    # The command may have ended before the signal has come this far.
    possible = [Exited(0, 5), *(Exited(0, status, stopped=True) for status in statuses)]
    assert ended.stdout[-1] in possible


async def test_sigterm_at_a_gate_ends_the_supervisor(shell: Path) -> None:
    """Whoever sends it wants the container to end: with it goes what was left behind."""
    async with supervisor(shell, f"{WITNESS} & true", "echo never") as running:
        await running.write(b"go 0\n")
        await running.until(b"watching\n")
        await running.until(b"exit 0 0\n")
        running.terminate()
        ended = await running.end_by_itself()
    assert Started(1) not in ended.stdout
    assert ended.exit_code == 143


async def test_sigterm_before_the_first_gate_leaves_it_closed(shell: Path) -> None:
    """A signal opens nothing."""
    async with supervisor(shell, "echo never") as running:
        await running.until(b"ready\n")
        running.terminate()
        assert await running.end_by_itself() == Ended([Ready()], [Ready()], 143)


async def test_sigurg_does_not_hide_a_command_that_is_not_found(shell: Path, pipe: Path) -> None:
    """Its status, 127, is also what the shell says when there is nothing left to wait for."""
    async with supervisor(shell, f"{wait_for(pipe)}; /nowhere") as running:
        await running.write(b"go 0\n")
        await running.until(b"waiting\n")
        running.ask()
        await running.until(b"here 0\n")
        release(pipe)
        ended = await running.end()
    assert ended.stdout[-1] == Exited(0, 127)
    assert ended.exit_code == 127


async def test_sigurg_is_answered_at_once_wherever_the_supervisor_is(shell: Path, pipe: Path) -> None:
    """At a gate and while a command runs, on both streams; neither gate nor command notices."""
    async with supervisor(shell, f"{wait_for(pipe)}; exit 6") as running:
        await running.until(b"ready\n")
        running.ask()
        await running.until(b"here 0\n")
        await running.write(b"go 0\n")
        await running.until(b"waiting\n")
        running.ask()
        await running.until(b"here 1\n")
        release(pipe)
        ended = await running.end()
    expected = [Ready(), Here(0), Started(0), Here(1), Exited(0, 6)]
    # It may be asked between the two halves of a marker: each stream has its own order.
    assert set(ended.stderr) == set(expected)
    assert [item for item in ended.stdout if not isinstance(item, bytes)] == expected
    assert ended.exit_code == 6
