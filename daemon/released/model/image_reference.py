"""References of images, as Docker reads them."""

import re

_IMAGE_ID = re.compile("sha256:[0-9a-f]{64}")


def is_image_id(reference: str) -> bool:
    """Whether a reference is the engine's id of an image, which no registry knows; its head alone is none."""
    return _IMAGE_ID.fullmatch(reference) is not None


def has_registry(reference: str) -> bool:
    """Whether a reference begins with a registry: with a host, or with what no repository is called."""
    first, slash, _ = reference.partition("/")
    is_host = "." in first or ":" in first or first == "localhost"
    return bool(slash) and (is_host or first != first.lower())


def qualified(reference: str) -> str:
    """Return the reference with its registry, as `docker pull` would understand it."""
    registry, _, path = reference.partition("/") if has_registry(reference) else ("docker.io", "", reference)
    if registry == "index.docker.io":
        registry = "docker.io"
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return f"{registry}/{path}"
