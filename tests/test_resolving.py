"""Which commands a release runs, of what its image declares and its settings have, without an engine."""

import pytest

from released.model.release import RegistryAuth, Secrets
from released.model.states import Source
from released.release.resolving import CommandsInvalid, resolve
from support.samples import a_command, a_spec

PASSWORD = "correct horse battery"


def test_credentials_may_not_stand_in_a_command() -> None:
    """There is no variable that could stand for them."""
    secrets = Secrets(registry_auth=RegistryAuth("ci", PASSWORD))
    spec = a_spec(commands=(), settings=(a_command("Go", line=PASSWORD, source=Source.SETTINGS),))
    with pytest.raises(CommandsInvalid) as refused:
        resolve(spec, (), secrets)
    assert str(refused.value) == (
        "'Go' is in the settings of shop and contains the secret value of registry_auth.password: change it"
    )
    assert resolve(spec, (), Secrets()) == spec.settings
