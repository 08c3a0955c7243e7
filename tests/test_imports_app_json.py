"""Release commands from Dokku's app.json."""

import pytest

from releasectl.imports.formats import FORMATS
from releasectl.imports.found import ImportFailed
from support.imports import file_text, lines_of, notes_of

APP_JSON = FORMATS["app-json"]


def test_the_predeploy_task() -> None:
    """It is for a shell; what runs at another time is named, and what is different here."""
    found = APP_JSON.read(file_text("app.json"))
    place, line = "scripts.dokku.predeploy", "grunt database-create && grunt migrate"
    assert lines_of(found) == [(place, "Pre-deploy command", line)]
    assert notes_of(found) == [
        (place, "&&: /bin/sh reads that here; Dokku runs no shell for an image that has an ENTRYPOINT"),
        (place, "Dokku keeps what it changes in the image's files; a release's container is discarded"),
        ("scripts.postdeploy", "not taken: it runs once, after an application's first deployment"),
        ("scripts.dokku.postdeploy", "not taken: it runs when the new version is live"),
    ]
    assert found.others == ("name", "repository", "formation")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"expo": {"name": "shop"}}', "has no scripts.dokku.predeploy; it has expo"),
        (
            '{"scripts": {"postdeploy": "./seed"}, "name": "shop"}',
            "has no scripts.dokku.predeploy; it has scripts.postdeploy, name",
        ),
        (
            '{"scripts": {"dokku": {"predeploy": ["./a"]}}}',
            "scripts.dokku.predeploy: must be a text, not a list",
        ),
        ('{"scripts": {"dokku": {"predeploy": ""}}}', "scripts.dokku.predeploy: is empty"),
        ("[]", "must be a mapping, not a list"),
        ("{}", "is empty"),
        ('{"scripts": []}', "scripts: must be a mapping, not a list"),
        ('{"scripts": {"dokku": true}}', "scripts.dokku: must be a mapping, not true or false"),
    ],
)
def test_what_has_no_predeploy_task(text: str, message: str) -> None:
    """The key that is wrong is named: that of Heroku, and of others with that name, has none."""
    with pytest.raises(ImportFailed) as failed:
        APP_JSON.read(text)
    assert str(failed.value) == message
