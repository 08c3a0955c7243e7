"""A good StartReleaseRequest, changed in some fields, and what becomes of it."""

from datetime import timedelta
from typing import Any

import pytest

from released.config import SecretsConfig
from released.errors import InvalidRequest
from released.model.release import ReleaseSpec, Secrets
from released.service.validation import check_size, form_violations, read_secrets, read_spec
from releasephase.v1.release_service_pb2 import StartReleaseRequest

DEFAULT_TIMEOUT = timedelta(minutes=30)
KIB = 1024
SHA = "sha256:" + "0123456789abcdef" * 4
UUID = "0190163d-8694-739b-aea5-966c26f8ad91"
SECRET = "s3cret-value"

Field = dict[str, Any]


def request(**fields: Any) -> StartReleaseRequest:
    """A good request, changed in these fields, which are given as in a dictionary."""
    good: Field = {
        "application": "shop",
        "environment": "live",
        "image": "shop:2",
        "commands": [{"label": "migrate", "line": "true"}],
    }
    return StartReleaseRequest(**{**good, **fields})


def validate(request: StartReleaseRequest, default_timeout: timedelta) -> tuple[ReleaseSpec, Secrets]:
    """What a request is read as, if its form is right."""
    check_size(request)
    secrets, secret_names = read_secrets(request, SecretsConfig().names)
    if found := list(form_violations(request)):
        raise InvalidRequest(found)
    return read_spec(request, default_timeout, secret_names), secrets


def violations(**fields: Any) -> list[tuple[str, str]]:
    """What is wrong with a request that is changed so."""
    with pytest.raises(InvalidRequest) as refused:
        validate(request(**fields), DEFAULT_TIMEOUT)
    return [(violation.field, violation.description) for violation in refused.value.violations]


def command(**fields: Any) -> Field:
    """The field `commands` with one good command, changed so."""
    if "argv" not in fields:
        fields.setdefault("line", "true")
    return {"commands": [{"label": "migrate", **fields}]}


def argv(*arguments: str) -> Field:
    return {"arguments": list(arguments)}


def env(*variables: tuple[str, str]) -> Field:
    return {"env": [{"name": name, "value": value} for name, value in variables]}


def mount(source: str = "/srv", target: str = "/data") -> Field:
    return {"mounts": [{"source": source, "target": target}]}


def spec_of(**fields: Any) -> ReleaseSpec:
    return validate(request(**fields), DEFAULT_TIMEOUT)[0]
