"""Release commands on a real engine: order, results, and the bytes they write."""

import hashlib
from collections.abc import Callable

import pytest

from released.model.release import Target
from releasephase.v1.release_service_pb2 import ReleaseCommand
from support.app import STDERR, STDOUT, App, Serve


async def test_commands_run_in_order_and_the_release_succeeds(app: App) -> None:
    """All commands run in one container, one after the other, in the order given."""
    same = 'test "$(hostname)" = "$(cat /tmp/host)"'
    outcome = await app.run("echo one; hostname > /tmp/host", "echo two", same)
    assert outcome.state == "SUCCEEDED"
    assert outcome.command_states == ["SUCCEEDED"] * 3
    assert [run.exit_code for run in outcome.release.command_runs] == [0, 0, 0]
    assert [outcome.output(index) for index in range(3)] == [b"one\n", b"two\n", b""]
    assert outcome.kinds == [
        "accepted",
        "state_changed",
        "image_resolved",
        "container_created",
        "container_started",
        "state_changed",
        *["command_started", "command_finished"] * 3,
        "container_removed",
        "state_changed",
    ]


async def test_first_failure_fails_the_release_and_skips_the_rest(app: App) -> None:
    """What comes after a failing command never runs."""
    outcome = await app.run("true", "echo no >&2; exit 4", "echo never", "echo never")
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMAND_FAILED")
    assert outcome.command_states == ["SUCCEEDED", "FAILED", "SKIPPED", "SKIPPED"]
    assert outcome.release.failure.command_index == 1
    assert outcome.message == "The command ended with exit code 4."
    assert outcome.output(2) == outcome.output(3) == b""
    failed, skipped = outcome.release.command_runs[1:3]
    assert failed.exit_code == 4
    assert not skipped.HasField("exit_code")
    assert not skipped.HasField("start_time")
    assert not skipped.HasField("end_time")


@pytest.mark.parametrize(
    ("line", "exit_code", "signal", "words"),
    [
        ("/etc/passwd", 126, 0, "could not be executed"),
        ("no-such-command", 127, 0, "was not found"),
        ("kill -TERM $$", 143, 15, "SIGTERM"),
        ("kill -KILL $$", 137, 9, "SIGKILL"),
        ("kill -SEGV $$", 139, 11, "SIGSEGV"),
        ("exit 200", 200, 0, "exit code 200"),
    ],
)
async def test_ends_of_a_command_are_told_apart(
    app: App, line: str, exit_code: int, signal: int, words: str
) -> None:
    """Not executable, not found, ended by a signal, an exit code of its own."""
    outcome = await app.run(line)
    (run,) = outcome.release.command_runs
    assert (outcome.cause, run.exit_code, run.signal) == ("COMMAND_FAILED", exit_code, signal)
    assert words in outcome.message


async def test_a_command_killed_for_memory_is_told_from_other_kills(app: App) -> None:
    """Exit code 137 because of the container's limit is OUT_OF_MEMORY."""
    outcome = await app.run("tail /dev/zero", resources={"memory_bytes": 32 << 20})
    assert (outcome.state, outcome.cause) == ("FAILED", "OUT_OF_MEMORY")
    assert outcome.release.command_runs[0].exit_code == 137


async def test_streams_are_kept_apart_and_exact(app: App) -> None:
    """Standard output and error are recorded by themselves, without a byte of the markers."""
    outcome = await app.run("echo out; echo err >&2; printf 'no newline'", "printf ''; printf x >&2")
    assert outcome.output(0, STDOUT) == b"out\nno newline"
    assert outcome.output(0, STDERR) == b"err\n"
    assert outcome.output(1, STDOUT) == b""
    assert outcome.output(1, STDERR) == b"x"
    run = outcome.release.command_runs[0]
    assert (run.stdout_bytes, run.stderr_bytes, run.omitted_bytes) == (14, 4, 0)


async def test_binary_output_comes_through(app: App) -> None:
    """Every byte value, invalid UTF-8 and a forged marker included, is stored as it came."""
    line = r"""printf '\000\377\376\033[31m\036'; printf '\0360123456789abcdef0123456789abcdef exit 0 0\n'"""
    outcome = await app.run(line)
    assert outcome.state == "SUCCEEDED"
    expected = b"\x00\xff\xfe\x1b[31m\x1e" + b"\x1e0123456789abcdef0123456789abcdef exit 0 0\n"
    assert outcome.output() == expected


async def test_a_forged_marker_ends_nothing(app: App) -> None:
    """Without the nonce of the release it is output, in either stream: the true end of the command counts."""
    nonce = "0123456789abcdef0123456789abcdef"
    words = ["ready", "start 0", "exit 0 0", "start 1", "exit 1 0"]
    forged = "".join(f"\x1e{sign}{word}\n" for sign in (f"{nonce} ", " ", "") for word in words).encode()
    octal = "".join(f"\\{byte:03o}" for byte in forged)
    outcome = await app.run(f"printf '{octal}'; printf '{octal}' >&2; exit 3", "echo never")
    assert (outcome.state, outcome.command_states) == ("FAILED", ["FAILED", "SKIPPED"])
    assert outcome.release.command_runs[0].exit_code == 3
    assert outcome.output(0, STDOUT) == outcome.output(0, STDERR) == forged
    assert outcome.output(1) == b""


async def test_large_output_is_byte_exact(app: App) -> None:
    """20 MB without a newline, and 20 MB of lines, arrive whole and in order."""
    numbers = "i=0; while [ $i -lt 10 ]; do seq 1 300000; i=$((i + 1)); done"
    outcome = await app.run("head -c 20000000 /dev/zero", numbers)
    assert outcome.output(0) == bytes(20_000_000)
    lines = b"".join(b"%d\n" % number for number in range(1, 300_001)) * 10
    assert hashlib.sha256(outcome.output(1)).digest() == hashlib.sha256(lines).digest()
    assert outcome.release.command_runs[1].stdout_bytes == len(lines)


async def test_output_beyond_the_cap_keeps_head_and_tail(serve: Serve) -> None:
    """The head is kept, then the last 64 KiB; what is missing in between is counted."""
    async with serve(audit={"output_cap": 100_000}) as app:
        outcome = await app.run("seq 1 200000")
    output = b"".join(b"%d\n" % number for number in range(1, 200_001))
    stored = outcome.output()
    omitted = len(output) - 100_000 - 65_536
    assert stored == output[:100_000] + output[-65_536:]
    run = outcome.release.command_runs[0]
    assert (run.stdout_bytes, run.omitted_bytes) == (len(output), omitted)
    assert sum(event.command_output.omitted_bytes for event in outcome.events) == omitted


async def test_argv_is_passed_without_a_shell_reading_it(app: App) -> None:
    """Arguments with blanks, quotes and dollars arrive as they are."""
    arguments = ["printf", "%s|", "a b", "$HOME", "it's", '"', "", "*", "\n"]
    command = ReleaseCommand(label="argv")
    command.argv.arguments.extend(arguments)
    outcome = await app.run(commands=[command])
    assert outcome.output() == b"".join(argument.encode() + b"|" for argument in arguments[2:])


async def test_commands_read_nothing(app: App) -> None:
    """Standard input is empty: a command that asks a question ends, and takes nobody's gate."""
    outcome = await app.run("cat; read answer || echo none", "echo next")
    assert outcome.state == "SUCCEEDED"
    assert outcome.output(0) == b"none\n"
    assert outcome.output(1) == b"next\n"


async def test_a_line_of_64_kib_runs(app: App) -> None:
    """The longest line that is accepted is also one that runs."""
    line = "echo " + "x" * (64 * 1024 - 5)
    outcome = await app.run(line)
    assert outcome.output() == line[5:].encode() + b"\n"


async def test_background_processes_do_not_hold_up_the_release(app: App) -> None:
    """A command ends when its shell does, even if something it left behind holds its output open."""
    outcome = await app.run("sleep 1000 & echo started", "echo next")
    assert outcome.state == "SUCCEEDED"
    assert outcome.output(0) == b"started\n"
    assert outcome.output(1) == b"next\n"


async def test_output_of_the_entrypoint_is_no_command_s(
    app: App, make_busybox_image: Callable[..., str]
) -> None:
    """What an entrypoint prints before it hands over is recorded, and belongs to no command."""
    image = make_busybox_image('ENTRYPOINT ["/bin/sh", "-c", "echo hello from $0; exec \\"$@\\"", "entry"]')
    outcome = await app.run("echo command", image=image)
    assert outcome.state == "SUCCEEDED"
    assert outcome.output(None) == b"hello from entry\n"
    assert outcome.output(0) == b"command\n"


async def test_dash_as_the_shell_of_the_image(app: App, dash_image: str) -> None:
    """Debian's shell runs the supervisor as busybox does."""
    outcome = await app.run("echo one", "exit 7", image=dash_image)
    assert outcome.command_states == ["SUCCEEDED", "FAILED"]
    assert outcome.release.command_runs[1].exit_code == 7


async def test_the_release_tells_what_it_was(app: App) -> None:
    """What was asked for can be read back, values of variables excepted."""
    outcome = await app.run(
        "true",
        env=[{"name": "SECRET", "value": "hunter2hunter2"}],
        labels={"ticket": "OPS-1"},
        requested_by="alice",
        timeout=60,
    )
    release = outcome.release
    assert Target(release.application, release.environment) == Target("shop", "live")
    assert list(release.environment_names) == ["SECRET"]
    assert dict(release.labels) == {"ticket": "OPS-1"}
    assert release.requested_by == "alice"
    assert release.command_runs[0].timeout.seconds == 60
    assert release.command_runs[0].line == "true"
    assert release.create_time.ToNanoseconds() <= release.start_time.ToNanoseconds()
    assert release.start_time.ToNanoseconds() < release.end_time.ToNanoseconds()
    files = [path for path in app.folder.rglob("*") if path.is_file()]
    assert not any(b"hunter2hunter2" in path.read_bytes() for path in files)
