"""Making the run of a release, from what all of them share."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.config import Configuration
from released.config.registry_credentials import RegistryCredentials
from released.engine.engine import Engine
from released.model.release import ReleaseSpec, Secrets
from released.policy.policy import Policy
from released.release.context import ReleaseContext
from released.release.journal import Journal
from released.release.masking.masking import Masking
from released.release.output import OutputRecorder
from released.release.pace import Pace
from released.release.reconnection import Reconnection
from released.release.rolling_back import RollBack
from released.release.run import ReleaseRun
from released.release.stopping import StopSwitch
from released.troubles import Troubles


class Runs:
    """Makes runs, each with the configuration that counts when it is made."""

    def __init__(
        self,
        engine: Engine,
        engine_is_back: Callable[[], Awaitable[bool]],
        audit: AuditLog,
        configuration: Configuration,
        instance_id: str,
        troubles: Troubles,
        policy: Policy,
    ) -> None:
        self._engine = engine
        self._engine_is_back = engine_is_back
        self._audit = audit
        self._configuration = configuration
        self._instance_id = instance_id
        self._troubles = troubles
        self._policy = policy

    def new(
        self, release_id: str, spec: ReleaseSpec, secrets: Secrets | None, roll_back: RollBack
    ) -> ReleaseRun:
        """The run of a release that leaves the queue; no secrets: they are lost."""
        masking = Masking(spec, secrets)
        journal = Journal(self._audit, release_id, spec.commands, masking.text, roll_back)
        return ReleaseRun(self._context(release_id, spec, journal, masking), secrets)

    def resumed(self, record: ReleaseRecord, secrets: Secrets | None, roll_back: RollBack) -> ReleaseRun:
        """The run of a release that was under way when the daemon ended; no secrets: they are lost."""
        masking = Masking(record.spec, secrets)
        journal = Journal.resumed(self._audit, record, masking.text, roll_back)
        return ReleaseRun(self._context(record.release_id, record.spec, journal, masking), secrets)

    def _context(
        self, release_id: str, spec: ReleaseSpec, journal: Journal, masking: Masking
    ) -> ReleaseContext:
        config = self._configuration.current
        patience = timedelta(seconds=config.engine.patience)
        return ReleaseContext(
            release_id=release_id,
            instance_id=self._instance_id,
            spec=spec,
            engine=self._engine,
            credentials=RegistryCredentials.at(config.registry.config),
            config=config,
            journal=journal,
            masking=masking,
            recorder=OutputRecorder(journal.append_output, config.audit.output_cap),
            switch=StopSwitch(),
            reconnection=Reconnection(self._engine_is_back, patience),
            pace=Pace(self._audit, release_id, spec.target),
            troubles=self._troubles,
            policy=self._policy,
            query=self._audit.query,
        )
