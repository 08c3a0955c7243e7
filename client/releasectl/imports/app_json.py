"""app.json: Dokku's ``scripts.dokku.predeploy``.

https://dokku.com/docs/advanced-usage/deployment-tasks/ : a line that runs in the new image before it goes
live; what it changes in the image's files is kept. ``scripts.dokku.postdeploy`` runs when the new version is
live. ``scripts.postdeploy`` runs once, after the first deployment, in Dokku as in Heroku, whose app.json has
no task that runs before (https://devcenter.heroku.com/articles/app-json-schema); its
``scripts.pr-predestroy`` runs when a review app goes. Dokku runs no shell if the image has an ENTRYPOINT
other than tini (constructScript in dokku/dokku, plugins/app-json/functions.go).
"""

from __future__ import annotations

from .documents import read_json
from .fields import listed
from .found import Found, ImportFailed, Note, shell_lines
from .shell import line_notes

_COMMAND = "predeploy"
_NO_SHELL = "Dokku runs no shell for an image that has an ENTRYPOINT"
_RELATED = {
    "scripts.dokku.postdeploy": "not taken: it runs when the new version is live",
    "scripts.postdeploy": "not taken: it runs once, after an application's first deployment",
    "scripts.pr-predestroy": "not taken: it runs when a review app goes",
}


def read(text: str) -> Found:
    """Return ``scripts.dokku.predeploy``."""
    document = read_json(text)
    scripts = document.get("scripts")
    dokku = scripts.get("dokku")
    command = dokku.get(_COMMAND)
    others, related = document.others("scripts"), (*scripts.others("dokku"), *dokku.others(_COMMAND))
    if command.value is None:
        raise ImportFailed(f"has no {command.place}; it has {listed((*related, *others))}")
    kept = Note(
        command.place,
        "Dokku keeps what it changes in the image's files; a release's container is discarded",
    )
    return Found(
        commands=shell_lines("Pre-deploy command", [(command.place, command.line())]),
        notes=(
            *line_notes(command.place, command.line(), _NO_SHELL),
            kept,
            *(Note(place, _RELATED.get(place, "not taken")) for place in related),
        ),
        others=others,
    )
