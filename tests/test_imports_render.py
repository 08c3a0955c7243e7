"""Release commands from a render.yaml."""

import pytest

from releasectl.imports.formats import FORMATS
from releasectl.imports.found import ImportFailed
from support.imports import file_text, lines_of, notes_of

RENDER = FORMATS["render"]


def test_the_command_of_a_service() -> None:
    """It is for a shell; those of other services are named."""
    found = RENDER.read(file_text("render.yaml"), "mailer")
    place = "services[1].preDeployCommand"
    assert lines_of(found) == [(place, "Pre-deploy command", './warm-up "$CACHE_URL"')]
    assert notes_of(found) == [
        ("services[0].preDeployCommand", "not taken: `--service shop` takes it"),
        (
            "projects[0].environments[0].services[0].preDeployCommand",
            "not taken: `--service staging/shop` takes it",
        ),
    ]
    assert found.others == ("databases", "services[2]", "services[1].type", "services[1].runtime")


def test_what_runs_once() -> None:
    """A hook of the first deployment is no release command."""
    found = RENDER.read(file_text("render.yaml"), "shop")
    assert lines_of(found)[0][2] == "./manage.py migrate"
    assert notes_of(found)[0] == (
        "services[0].initialDeployHook",
        "not taken: there is no first release that differs from the others",
    )


def test_a_service_of_an_environment() -> None:
    """Two environments may have services of one name, so both are said."""
    found = RENDER.read(file_text("render.yaml"), "staging/shop")
    assert lines_of(found)[0][2] == "./manage.py migrate --plan"


def test_the_only_one_is_taken() -> None:
    """There is nothing to choose."""
    found = RENDER.read("services: [{name: a, type: web}, {name: b, preDeployCommand: ./b}]")
    assert lines_of(found) == [("services[1].preDeployCommand", "Pre-deploy command", "./b")]


def test_what_is_in_no_project() -> None:
    """Services that belong to none are below `ungrouped`."""
    found = RENDER.read("ungrouped: {services: [{name: b, preDeployCommand: ./b}]}")
    assert lines_of(found)[0][0] == "ungrouped.services[0].preDeployCommand"


@pytest.mark.parametrize(
    ("text", "service", "message"),
    [
        (
            "services: [{name: a}, {name: b}]",
            "",
            "has no service with a preDeployCommand; it has the services a, b",
        ),
        ("databases: [{name: a}]", "", "has no services; it has databases"),
        (
            "services: [{name: a, preDeployCommand: ./a}, {name: b, preDeployCommand: ./b}]",
            "",
            "has several services with a preDeployCommand: choose a, b with --service",
        ),
        ("services: [{name: a, preDeployCommand: ./a}]", "c", "has no service 'c'; it has a"),
        (
            "services: [{name: a, preDeployCommand: ./a}, {name: b}]",
            "b",
            "services[1].preDeployCommand: there is none; services with one: a",
        ),
        ("services: [{preDeployCommand: ./a}]", "", "services[0].name: must be a text, not empty"),
        (
            "services: [{name: a, preDeployCommand: ./a}, {name: a}]",
            "",
            "services[1]: a: is the name of services[0] already",
        ),
        (
            "services: [{name: a, preDeployCommand: [./a]}]",
            "",
            "services[0].preDeployCommand: must be a text, not a list",
        ),
        ("services: [{name: a, preDeployCommand: ''}]", "", "services[0].preDeployCommand: is empty"),
        ("services: {a: {}}", "", "services: must be a list, not a mapping"),
        ("services: [a]", "", "services[0]: must be a mapping, not a text"),
    ],
)
def test_what_is_no_blueprint(text: str, service: str, message: str) -> None:
    """The key that is wrong is named, and what there is to choose from."""
    with pytest.raises(ImportFailed) as failed:
        RENDER.read(text, service)
    assert str(failed.value) == message
