"""Which fields of a request the policy is not asked about: those whose form is wrong."""

import pytest

from released.errors import Violation
from released.service.admission import Malformed


@pytest.mark.parametrize(
    ("wrong", "field", "expected"),
    [
        ("user", "user", True),
        ("user", "image", False),
        ("env[3].name", "env[3].name", True),
        ("env[3].value", "env[3].name", False),
        ("env[3].name", "env[30].name", False),
        ("mounts[2].source", "mounts[2]", True),
        ("mounts[2].source", "mounts[1]", False),
        ("mounts", "mounts[1]", True),
        ("networks", "networks[0]", True),
        ("resources.cpus", "resources.cpus", True),
        ("resources.cpus", "resources.pids", False),
        ("resources", "resources.pids", True),
    ],
)
def test_field_is_malformed_with_what_is_in_it_and_what_it_is_in(
    wrong: str, field: str, expected: bool
) -> None:
    """Not with what is beside it: all that can be said is said at once."""
    assert (field in Malformed([Violation(wrong, "is wrong")])) is expected
