"""What the parts of the work on one release share."""

from dataclasses import dataclass

from released.audit.reader import AuditReader
from released.config import Config
from released.config.registry_credentials import RegistryCredentials
from released.engine.engine import Engine
from released.model.release import ReleaseSpec
from released.policy.policy import Policy
from released.release.journal import Journal
from released.release.masking.masking import Masking
from released.release.output import OutputRecorder
from released.release.pace import Pace
from released.release.reconnection import Reconnection
from released.release.stopping import StopSwitch
from released.troubles import Troubles


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseContext:
    """One release: what it is to do, with what, and where it is written down."""

    release_id: str
    instance_id: str
    """Which daemon this is, where several share an engine."""
    spec: ReleaseSpec
    """As it was accepted: what it runs is in the journal."""
    engine: Engine
    credentials: RegistryCredentials
    config: Config
    """What counted when the daemon began with the release, or took it up again."""
    journal: Journal
    masking: Masking
    recorder: OutputRecorder
    switch: StopSwitch
    reconnection: Reconnection
    pace: Pace
    troubles: Troubles
    policy: Policy
    query: AuditReader
    """What is recorded, for whoever goes on with it."""

    @property
    def engine_was_away(self) -> bool:
        """Whether the engine has been gone and come back while the release was under way."""
        return self.reconnection.happened
