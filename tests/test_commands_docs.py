"""What docs/commands.md says of release commands is so."""

import hashlib
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiodocker
import click
import msgspec
import pytest

from releasectl import ReleaseClient
from releasectl.cli import commands
from released.engine.image import Image
from released.model.release import Secrets
from released.model.states import Source
from released.release.declaration import LABEL, Declared, declared_commands
from released.release.resolving import CommandsInvalid, declared_by_label, resolve
from releasephase.v1.command_service_pb2 import Command
from support import console
from support.app import App
from support.busybox import Layer
from support.docker_engine import Engine
from support.samples import a_command, a_spec

PAGE = Path(__file__).parent.parent.joinpath("docs/commands.md").read_text()
DEFAULT = timedelta(minutes=30)


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block(language: str) -> str:
    """The only block of a language."""
    (text,) = (text for name, text in BLOCKS if name == language)
    return str(text)


FIELDS = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*?) \|$", PAGE, re.MULTILINE))


def test_every_field_of_the_label_is_in_the_table_and_no_other() -> None:
    """Whoever adds one says what it is, and which have to be there."""
    fields = msgspec.structs.fields(Declared)
    assert list(FIELDS) == [field.name for field in fields]
    assert [name for name, without in FIELDS.items() if without == "required"] == [
        field.name for field in fields if field.required
    ]


def test_example_of_the_label_is_understood() -> None:
    """It has each field, and each of their forms."""
    objects = json.loads(block("json"))
    assert {name for each in objects for name in each} == set(FIELDS)
    stage, live = (declared_commands({LABEL: block("json")}, name, DEFAULT) for name in ("stage", "live"))
    assert [command.label for command in stage] == [each["label"] for each in objects]
    assert live == stage[:2]
    assert [command.timeout for command in stage] == [timedelta(minutes=10), timedelta(seconds=90), DEFAULT]
    assert (stage[0].rollback, stage[1].argv) == ("./manage.py migrate shop 0041", ("./warm-up", "--all"))
    assert [command.allow_failure for command in stage] == [False, True, False]


async def test_dockerfile_gives_an_image_that_label(
    docker: aiodocker.Docker, engine: Engine, busybox_image: str
) -> None:
    """Its quotes and backslashes, its `$` and its lines are what an engine takes them for."""
    context = Layer()
    context.file("Dockerfile", f"FROM {busybox_image}\n{block('dockerfile')}".encode())
    tar = context.tar()
    reference = f"releasephase-test/declaring:{hashlib.sha256(tar).hexdigest()[:12]}"
    engine.http.build_image(tar, reference)
    labels = (await docker.images.inspect(reference))["Config"]["Labels"]
    assert json.loads(labels[LABEL]) == json.loads(block("json"))


def examples() -> Iterator[list[str]]:
    for step in console.steps(PAGE):
        if step.typed.startswith("releasectl "):
            yield step.words[1:]


def context_of(words: list[str]) -> click.Context:
    """Read the words of a command line as releasectl does. Raises click.UsageError."""
    command: click.Command | None = commands
    context = None
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=command.name, parent=context)
        _, command, words = command.resolve_command(context, list(words))
    assert command
    return command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("words", list(examples()), ids=shlex.join)
def test_example_is_one_that_releasectl_takes(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verb, options and values."""
    tmp_path.joinpath("Procfile").write_text("release: ./manage.py migrate\n")
    monkeypatch.chdir(tmp_path)
    with context_of(words):
        pass


async def test_example_of_the_library_gives_a_command_more_time(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word."""
    monkeypatch.setenv("RELEASED_SOCKET", str(app.folder / "released.sock"))
    example = tmp_path / "example.py"
    example.write_text(block("python"))
    give_time = runpy.run_path(str(example))["give_time"]
    async with ReleaseClient() as client:
        await client.create_command("shop", Command(label="migrate", line="./migrate"))
        await give_time("shop", "migrate", timedelta(hours=1))
        (command,) = (await client.list_commands("shop")).commands
    assert command.timeout.ToTimedelta() == timedelta(hours=1)


def an_image(*objects: object) -> Image:
    return Image(
        image_id="", digest="", entrypoint=(), user="", working_dir="", labels={LABEL: json.dumps(objects)}
    )


RUN = {"label": "Run migrations", "command": "true"}
OTHER = {"label": "Tell the team", "command": "true"}
INVALID: list[tuple[Image, dict[str, Any]]] = [
    (an_image(RUN, {**OTHER, "timout": 3}), {}),
    (an_image({**RUN, "command": ""}, OTHER, RUN), {}),
    (an_image(RUN), {"settings": (a_command("Run migrations", source=Source.SETTINGS),)}),
    (an_image(RUN, OTHER), {"skip_labels": ("Run migration",), "skip_reason": "done"}),
]


def test_messages_of_what_is_invalid_are_the_daemons() -> None:
    """In the order in which the page has them."""
    messages = []
    for image, fields in INVALID:
        spec = a_spec(**{"image": "shop:42", "settings": (), **fields})
        with pytest.raises(CommandsInvalid) as refused:
            resolve(spec, declared_by_label(spec, image, DEFAULT), Secrets())
        messages.append(str(refused.value))
    assert "".join(f"{message}\n" for message in messages) == block("")
