"""The choice among the services of a file."""

from __future__ import annotations

from collections.abc import Mapping

from .fields import Field, listed
from .found import ImportFailed


def having(services: Mapping[str, Field], key: str) -> list[str]:
    """Return the names of the services that have the key."""
    return [name for name, service in services.items() if service.get(key).value is not None]


def required(services: Mapping[str, Field], document: Field, key: str) -> list[str]:
    """Return the names of the services that have the key.

    Raises:
        ImportFailed: the document has no services, or none of them has the key.
    """
    if not services:
        raise ImportFailed(f"has no services; it has {listed(document.others('services'))}")
    if not (names := having(services, key)):
        raise ImportFailed(f"has no service with a {key}; it has the services {listed(services)}")
    return names


def chosen(services: Mapping[str, Field], name: str, key: str) -> Field:
    """Return the service of that name.

    Raises:
        ImportFailed: there is no such service, or it does not have the key.
    """
    if name not in services:
        raise ImportFailed(f"has no service {name!r}; it has {listed(services)}")
    field = services[name].get(key)
    if field.value is None:
        raise ImportFailed(
            f"{field.place}: there is none; services with one: {listed(having(services, key))}"
        )
    return services[name]
