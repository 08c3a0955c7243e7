"""The formats, and what reads each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import app_json, compose, fly, heroku, procfile, railway, render
from .found import Found, ImportFailed
from .names import FILE_NAMES


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that release commands are imported from."""

    name: str
    reader: Callable[..., Found]
    """Takes the text, and the name of a service if there are any."""
    has_services: bool = False

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names by which it is recognised."""
        return FILE_NAMES[self.name]

    def read(self, text: str, service: str = "") -> Found:
        """Return what a text in this format has.

        Args:
            text: The whole file.
            service: Which service to take; empty for the only one that can be meant.

        Raises:
            ImportFailed: the text is not of this format, or it has no release command.
        """
        if self.has_services:
            return self.reader(text, service)
        if service:
            raise ImportFailed(f"a file of the format {self.name} has no services: leave out --service")
        return self.reader(text)


FORMATS = {
    each.name: each
    for each in (
        Format("procfile", procfile.read),
        Format("heroku", heroku.read),
        Format("fly", fly.read),
        Format("render", render.read, has_services=True),
        Format("railway-json", railway.read_json_file),
        Format("railway-toml", railway.read_toml_file),
        Format("app-json", app_json.read),
        Format("compose", compose.read, has_services=True),
    )
}
