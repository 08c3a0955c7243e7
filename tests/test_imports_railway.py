"""Release commands from a railway.json or a railway.toml."""

import pytest

from releasectl.imports.formats import FORMATS
from releasectl.imports.found import ImportFailed
from support.imports import file_text, lines_of, notes_of

JSON, TOML = FORMATS["railway-json"], FORMATS["railway-toml"]


def test_a_list_of_one_in_json() -> None:
    """It is one line for a shell; what an environment has instead of it is named."""
    found = JSON.read(file_text("railway.json"))
    place, line = "deploy.preDeployCommand[0]", "npm run db:migrate && npm run seed"
    assert lines_of(found) == [(place, "Pre-deploy command", line)]
    assert notes_of(found) == [
        (
            place,
            "&&: /bin/sh reads that here; Railway does not say whether it runs a shell for an image:"
            " for its start command it runs none",
        ),
        ("deploy.preDeployTimeoutSeconds", "not taken"),
        (
            "environments.staging.deploy.preDeployCommand",
            "not taken: it replaces the command in that environment",
        ),
    ]
    assert found.others == ("$schema", "build", "environments", "deploy.startCommand")


def test_a_line_in_toml() -> None:
    """The same keys, in another notation."""
    found = TOML.read(file_text("railway.toml"))
    assert lines_of(found) == [("deploy.preDeployCommand", "Pre-deploy command", "alembic upgrade head")]
    assert (found.notes, found.others) == ((), ("build", "deploy.healthcheckPath"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"build": {}}', "has no deploy.preDeployCommand; it has build"),
        ('{"deploy": {"preDeployCommand": null}}', "has no deploy.preDeployCommand; it has nothing"),
        ('{"deploy": {"preDeployCommand": []}}', "has no deploy.preDeployCommand; it has nothing"),
        (
            '{"environments": {"pr": {"deploy": {"preDeployCommand": "./a"}}}}',
            "has no deploy.preDeployCommand; it has environments.pr.deploy.preDeployCommand, environments",
        ),
        (
            '{"deploy": {"preDeployCommand": ["alembic", "upgrade", "head"]}}',
            "deploy.preDeployCommand: has 3 elements, and Railway runs one line only:"
            " write it as one text, with && between several commands",
        ),
        ('{"deploy": {"preDeployCommand": [7]}}', "deploy.preDeployCommand[0]: must be a text, not a number"),
        ('{"deploy": {"preDeployCommand": {}}}', "deploy.preDeployCommand: must be a text, not a mapping"),
        ('{"deploy": {"preDeployCommand": " "}}', "deploy.preDeployCommand: is empty"),
        ('{"deploy": {"preDeployCommand": "a\\u0000"}}', "deploy.preDeployCommand: has a NUL character"),
        (
            '{"deploy": {"preDeployCommand": "\\ud800"}}',
            "deploy.preDeployCommand: has half of a surrogate pair, which is no character",
        ),
        ('{"deploy": {}, "deploy": {}}', "deploy: is there twice in one object"),
        (
            '{"deploy": \n  {,}}',
            "line 2, column 4: is not JSON: Expecting property name enclosed in double quotes",
        ),
        ("[]", "must be a mapping, not a list"),
        ("[1]", "must be a mapping, not a list"),
    ],
)
def test_what_is_no_railway_json(text: str, message: str) -> None:
    """The key or the line that is wrong is named."""
    with pytest.raises(ImportFailed) as failed:
        JSON.read(text)
    assert str(failed.value) == message
