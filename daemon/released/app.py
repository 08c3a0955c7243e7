"""The composition root: wires everything, in the order in which it depends on each other.

Tests build the daemon through it, too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from released.access import Access
from released.audit.key import AuditKey
from released.audit.log import AuditLog
from released.audit.monitor import AuditMonitor
from released.clock_doubt import ClockDoubt
from released.config import Configuration
from released.denials import Denials
from released.drain import Drain
from released.engine.engine import Engine
from released.locks import exclusive
from released.metrics.reporter import MetricsReporter
from released.monitor import EngineMonitor
from released.orphans import Orphans
from released.outcomes import Outcomes
from released.planning import Planner
from released.policy.policy import Policy
from released.recovery import Leftovers, recover
from released.release.runs import Runs
from released.releases import Releases
from released.retention import Retention
from released.service.audit import AuditService
from released.service.callers import Callers
from released.service.commands import CommandService
from released.service.daemon import DaemonService
from released.service.gate import Gate
from released.service.listening import listening
from released.service.releases import ReleaseService
from released.service.server import Health, serving
from released.settings.settings import Settings
from released.systemd import feeding_watchdog
from released.troubles import Troubles
from released.vault import Vault


class Running(NamedTuple):
    """A daemon that serves."""

    audit: AuditLog
    drained: asyncio.Event
    """Set when the daemon was drained and is to end."""


@asynccontextmanager
async def running(configuration: Configuration, config_path: Path | None = None) -> AsyncIterator[Running]:
    """Run the daemon until the end of the block; inside it, every RPC is served.

    `config_path` is the file that the configuration came from, if from any.

    Raises StartupError. It closes in the reverse order: no more RPCs, then no more release
    tasks (containers run on), and the audit log last, when nobody writes any more.
    """
    config = configuration.current
    socket = config.server.socket
    async with AsyncExitStack() as stack:
        stack.enter_context(exclusive(socket, "the socket"))
        stack.enter_context(exclusive(config.audit.path, "the audit log"))
        listener = stack.enter_context(listening(socket))
        audit = await AuditLog.open(config.audit.path, config.audit.reserve)
        stack.push_async_callback(audit.close)
        key = AuditKey.open(config.audit.path)
        vault = Vault.open(socket.with_name(f"{socket.name}.secrets"))
        engine = Engine(config.engine_url, timedelta(seconds=config.engine.control_timeout))
        configuration.listen(lambda new: engine.limit_calls(timedelta(seconds=new.engine.control_timeout)))
        stack.push_async_callback(engine.close)
        monitor = EngineMonitor(engine)
        stack.push_async_callback(monitor.close)
        health = Health()
        monitor.audience.listen(health.tell_engine)
        audit_monitor = AuditMonitor(audit)
        stack.push_async_callback(audit_monitor.close)
        audit_monitor.audience.listen(health.tell_audit)
        troubles = Troubles()
        policy = Policy(config, engine, config_path)
        configuration.listen(policy.rule)
        # Before releases are started: it tells what they may have.
        monitor.audience.listen(policy.engine_changed)
        runs = Runs(engine, monitor.is_reachable, audit, configuration, key.instance_id, troubles, policy)
        releases = Releases(runs, monitor, audit, vault, configuration, troubles)
        stack.push_async_callback(releases.close)
        audit_monitor.audience.listen(releases.audit_changed)
        # It tells the releases: what is left of those that have ended comes before whatever is started.
        monitor.audience.listen(Leftovers(releases, audit, engine, troubles).engine_changed)
        drain = Drain(releases, audit)
        drain.listen(health.tell_draining)
        metrics = MetricsReporter(configuration, releases, audit, engine, monitor)
        stack.push_async_callback(metrics.close)
        await monitor.start()
        await audit_monitor.start()
        await recover(releases, audit, vault)
        # Not before all that had not ended is under way again: its containers would be taken for orphans.
        grace = timedelta(seconds=config.releases.orphan_grace)
        orphans = Orphans(engine, releases.scheduler, key.instance_id, grace)
        stack.push_async_callback(orphans.close)
        monitor.audience.listen(orphans.engine_changed)
        configuration.listen(lambda new: orphans.leave_alone(timedelta(seconds=new.releases.orphan_grace)))
        orphans.start()
        retention = Retention(releases, audit, configuration, ClockDoubt(audit.last_event_time))
        stack.push_async_callback(retention.close)
        retention.start()
        metrics.start()
        denials = Denials(audit)
        stack.callback(denials.close)
        callers = Callers()
        gate = Gate(Access.of(config.access), callers, denials)
        configuration.listen(gate.rule)
        outcomes = Outcomes(audit)
        stack.push_async_callback(outcomes.close)
        planner = Planner(engine, audit, configuration)
        release_service = ReleaseService(
            releases, outcomes, audit, key, gate, policy, engine, planner, configuration
        )
        daemon_service = DaemonService(
            releases, monitor, audit, troubles, orphans, drain, gate, configuration, engine.url
        )
        audit_service = AuditService(audit, gate)
        settings = Settings(audit)
        stack.push_async_callback(settings.close)
        command_service = CommandService(settings, audit, gate)
        services = (release_service, daemon_service, audit_service, command_service)
        await stack.enter_async_context(serving(configuration, listener, *services, health, gate, callers))
        await stack.enter_async_context(feeding_watchdog(lambda: audit.alive))
        yield Running(audit, drain.finished)
