"""The names of the formats and of their files. The command line asks for them without loading a parser."""

from __future__ import annotations

from .found import ImportFailed

FILE_NAMES = {
    "procfile": ("Procfile",),
    "heroku": ("heroku.yml",),
    "fly": ("fly.toml",),
    "render": ("render.yaml", "render.yml"),
    "railway-json": ("railway.json",),
    "railway-toml": ("railway.toml",),
    "app-json": ("app.json",),
    "compose": ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"),
}
"""By which names each format is recognised; with a part of their own as well, such as `fly.live.toml`."""

SAY_WHAT_IT_IS = f"say with --format what it is: {', '.join(FILE_NAMES)}"


def recognise(file_name: str) -> str:
    """Return the format of a file with that name, without its folder.

    Raises:
        ImportFailed: no format has such files.
    """
    for name, file_names in FILE_NAMES.items():
        if any(_is_like(file_name, each) for each in file_names):
            return name
    known = ", ".join(file_names[0] for file_names in FILE_NAMES.values())
    raise ImportFailed(f"its name is none of {known}: {SAY_WHAT_IT_IS}")


def _is_like(file_name: str, known: str) -> bool:
    """Whether it is that name, or that with something between its dots, or behind it if it has none."""
    stem, dot, ending = known.partition(".")
    return file_name == known or (file_name.startswith(f"{stem}.") and file_name.endswith(dot + ending))
