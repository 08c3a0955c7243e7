"""`releasectl commands import` with the whole daemon: what a file has is in the settings, in one piece."""

from pathlib import Path

import pytest

from releasectl import ReleaseClient
from releasephase.v1.command_service_pb2 import CommandChange
from support.app import App
from support.command_line import Result, releasectl
from support.imports import FILES

SERVICES = {"render.yaml": ("--service", "mailer"), "compose.yaml": ("--service", "migrate")}


def socket_of(app: App) -> Path:
    return app.config.server.socket


async def imported(app: App, file: Path, *arguments: str) -> Result:
    return await releasectl(socket_of(app), "commands", "import", "shop", str(file), *arguments)


@pytest.mark.parametrize("file", sorted(FILES.iterdir()), ids=lambda path: path.name)
async def test_each_kind_of_file(idle: App, file: Path) -> None:
    """The daemon takes what was found in it, as one change; a second time there is nothing to do."""
    chosen = SERVICES.get(file.name, ())
    dry = await imported(idle, file, *chosen, "--dry-run")
    async with ReleaseClient(socket_of(idle)) as client:
        assert not (await client.list_commands("shop")).commands
        done = await imported(idle, file, *chosen)
        assert (done.exit_code, done.stdout) == (0, dry.stdout)
        settings = await client.list_commands("shop")
        changes = (await client.list_command_changes_page("shop")).changes
        assert [change.action for change in changes] == [CommandChange.ACTION_ADDED] * len(settings.commands)
        assert len({change.sequence for change in changes}) == 1
        again = await imported(idle, file, *chosen)
        assert (again.exit_code, await client.list_commands("shop")) == (0, settings)
        assert again.stderr.endswith("nothing was changed: shop has all of it already\n")


async def test_a_change_keeps_the_rest(idle: App, tmp_path: Path) -> None:
    """A command keeps its name, its place and what the file does not say."""
    file = tmp_path / "Procfile"
    file.write_text("release: ./migrate\n")
    await imported(idle, file)
    edit = ("commands", "edit", "shop", "Release command", "--environment", "live", "--rollback", "./undo")
    await releasectl(socket_of(idle), *edit)
    await releasectl(socket_of(idle), "commands", "add", "shop", "notify", "--line", "./notify")
    async with ReleaseClient(socket_of(idle)) as client:
        before = (await client.list_commands("shop")).commands
        file.write_text("release: ./migrate --all\n")
        result = await imported(idle, file)
        after = (await client.list_commands("shop")).commands
    assert result.stdout.decode() == (
        "changed    Release command\n           line: ./migrate -> ./migrate --all\nunchanged  notify\n"
    )
    before[0].line = "./migrate --all"
    for command in (*before, *after):
        command.etag = ""
    assert list(after) == list(before)


async def test_somebody_was_faster(idle: App) -> None:
    """What was decided by older settings is not done at all."""
    file = FILES / "heroku.yml"
    await imported(idle, file)
    result = await imported(idle, FILES / "Procfile", "--label", "other", "--if-etag", "0")
    assert result.exit_code == 1
    assert "the settings of shop were changed meanwhile, and this was not done" in result.stderr
    async with ReleaseClient(socket_of(idle)) as client:
        labels = [command.label for command in (await client.list_commands("shop")).commands]
    assert labels == ["Release command", "Release command 2"]


async def test_where_what_is_refused_stands(idle: App, tmp_path: Path) -> None:
    """Behind commands that are in the settings already, too: each by its line or key in the file."""
    await releasectl(socket_of(idle), "commands", "add", "shop", "notify", "--line", "./notify")
    file = tmp_path / "heroku.yml"
    file.write_text("release: {command: [./a, ./b]}")
    refused = await imported(idle, file, "--label", "a" * 199)
    assert refused.exit_code == 2
    assert refused.stderr == f"{file}: release.command[1]: label: must be one line of 1 to 200 characters\n"


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["import", "dry run"])
async def test_what_the_daemon_refuses(idle: App, tmp_path: Path, dry_run: tuple[str, ...]) -> None:
    """A timeout that no command may have, or too many commands; nothing is there then. Dry runs tell it."""
    file = tmp_path / "fly.toml"
    file.write_text('[deploy]\nrelease_command = "./a"\nrelease_command_timeout = "1000h"\n')
    too_long = await imported(idle, file, *dry_run)
    assert too_long.exit_code == 2
    place = f"{file}: deploy.release_command"
    assert too_long.stderr.splitlines()[-1] == f"{place}: timeout: must be more than 0 and 7 days at most"
    many = tmp_path / "heroku.yml"
    many.write_text("release: {command: [" + "./a, " * 101 + "]}")
    refused = await imported(idle, many, *dry_run)
    assert refused.exit_code == 2
    assert refused.stderr.endswith("commands: must be 100 at most, not 101\n")
    async with ReleaseClient(socket_of(idle)) as client:
        assert not (await client.list_commands("shop")).commands


async def test_a_release_runs_what_was_imported(app: App, tmp_path: Path) -> None:
    """A line with a shell and the release's variables; a program of Fly without: it sees the dollar sign."""
    procfile, fly = tmp_path / "Procfile", tmp_path / "fly.toml"
    procfile.write_text('web: ./serve\nrelease: echo "line $COLOUR" && echo done\n')
    fly.write_text("""deploy.release_command = "echo 'a b' $COLOUR '&&'"\n""")
    await imported(app, procfile)
    await imported(app, fly, "--label", "from Fly")
    outcome = await app.run(commands=[], env=[{"name": "COLOUR", "value": "red"}])
    assert outcome.state == "SUCCEEDED"
    assert [run.label for run in outcome.release.command_runs] == ["Release command", "from Fly"]
    assert outcome.output(0) == b"line red\ndone\n"
    assert outcome.output(1) == b"a b $COLOUR &&\n"
