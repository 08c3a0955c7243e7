"""Whether an image reference is one that patterns allow."""

from collections.abc import Iterable
from typing import NamedTuple

from released.model.image_reference import is_image_id, qualified
from released.model.patterns import matches


class Reference(NamedTuple):
    """An image reference, taken apart; an empty text for what it does not have."""

    name: str
    tag: str
    digest: str


def is_allowed(reference: str, patterns: Iterable[str]) -> bool:
    """Whether a reference, or an image id, matches one of the patterns."""
    return any(_matches(pattern, reference) for pattern in patterns)


def has_digest(reference: str) -> bool:
    """Whether a reference stands for one image only, whatever is pushed later."""
    return is_image_id(reference) or "@" in reference


def _matches(pattern: str, reference: str) -> bool:
    if pattern == "**":
        return True
    if pattern.startswith("sha256:") or is_image_id(reference):
        return is_image_id(reference) and matches(pattern, reference)
    asked, allowed = _taken_apart(qualified(reference)), _taken_apart(pattern)
    # The engine ignores a tag beside a digest: it says nothing about the image then.
    tag = "" if asked.digest else asked.tag or "latest"
    return (
        matches(allowed.name, asked.name)
        and (not allowed.tag or (bool(tag) and matches(allowed.tag, tag)))
        and (not allowed.digest or matches(allowed.digest, asked.digest))
    )


def _taken_apart(reference: str) -> Reference:
    name, _, digest = reference.partition("@")
    head, slash, tail = name.rpartition("/")
    tail, _, tag = tail.partition(":")
    return Reference(f"{head}{slash}{tail}", tag, digest)
