"""The forms that texts in requests must have."""

import re
import uuid

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
"""The engine's form of network and volume names."""
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?")
LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?")

# github.com/distribution/reference, regexp.go.
_COMPONENT = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
IMAGE = re.compile(
    rf"sha256:[0-9a-f]{{64}}|(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*(?::\w[\w.-]{{0,127}})?(?:@{_DIGEST})?",
    re.ASCII,
)


def is_line(text: str) -> bool:
    """Whether a text can be shown on one line: no line breaks, no control characters."""
    return text.isprintable()


def is_clean_path(path: str) -> bool:
    """Whether a path is absolute, without `..`, and of a length that the kernel takes."""
    return path.startswith("/") and ".." not in path.split("/") and is_line(path) and len(path) <= 4096


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in its usual form, in either case."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
