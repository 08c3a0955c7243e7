"""Secret values that stand in a request where they would be stored."""

import pytest

from support.start_request import (
    DEFAULT_TIMEOUT,
    Field,
    argv,
    request,
    validate,
    violations,
)

PLAIN = "correct horse battery"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"commands": [{"label": "a", "line": f"login {PLAIN}"}]}, "commands[0].line"),
        (
            {"commands": [{"label": "a", "argv": argv("login", f"-p{PLAIN}")}]},
            "commands[0].argv.arguments[1]",
        ),
        ({"commands": [{"label": PLAIN, "line": "true"}]}, "commands[0].label"),
        ({"entrypoint": argv("/entry", PLAIN)}, "entrypoint.arguments[1]"),
        ({"labels": {"note": f"it is {PLAIN}"}}, "labels"),
        ({"labels": {PLAIN: "x"}}, "labels"),
        ({"requested_by": PLAIN}, "requested_by"),
        ({"working_dir": f"/{PLAIN}"}, "working_dir"),
        ({"image": PLAIN}, "image"),
        ({"networks": [PLAIN]}, "networks[0]"),
        ({"mounts": [{"source": f"/{PLAIN}", "target": "/x"}]}, "mounts[0].source"),
    ],
)
def test_secret_value_may_stand_nowhere_else(fields: Field, field: str) -> None:
    """It would be stored and shown. The violation names the field and the variable, and never the value."""
    env = [{"name": "LOGIN", "value": f"first line of it\n{PLAIN}\n", "secret": True}]
    ((place, description),) = violations(**{"env": env, **fields})
    assert place == field
    assert "LOGIN" in description
    assert PLAIN not in description


@pytest.mark.parametrize(
    ("env", "auth", "name"),
    [
        ({"name": "MY_TOKEN", "value": PLAIN}, {}, "MY_TOKEN"),
        ({"name": "DATABASE", "value": "postgres://u:correct-horse@db/x"}, {}, "DATABASE"),
        (
            {"name": "X", "value": PLAIN},
            {"username": "ci", "password": "correct-horse"},
            "registry_auth.password",
        ),
        ({"name": "X", "value": PLAIN}, {"identity_token": PLAIN}, "registry_auth.identity_token"),
    ],
)
def test_value_is_secret_by_its_name_or_its_form(env: Field, auth: Field, name: str) -> None:
    """What to do instead is said for a variable: a shell line can refer to it."""
    lines = [{"label": "a", "line": f"login {PLAIN} correct-horse"}]
    fields = {"commands": lines, "env": [env]} | ({"registry_auth": auth} if auth else {})
    ((_, description),) = violations(**fields)
    assert name in description
    assert (f'"${name}"' in description) is not bool(auth)


def test_values_that_are_not_secret_may_stand_anywhere() -> None:
    """And so may short ones, which can't be told from other text."""
    env = [{"name": "NAME", "value": PLAIN}, {"name": "PIN", "value": "1234567", "secret": True}]
    commands = [{"label": PLAIN, "line": "echo 1234567"}]
    spec, _ = validate(request(env=env, commands=commands), DEFAULT_TIMEOUT)
    assert spec.secret_names == ("PIN",)


def test_secret_values_are_limited_together() -> None:
    """Looking for them in output takes memory."""
    env = [{"name": f"V{number}", "value": f"{number}" * 60_000, "secret": True} for number in range(3)]
    ((field, _),) = violations(env=env)
    assert field == "env"
