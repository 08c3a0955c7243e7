"""The command `released`: reads the configuration, runs the daemon, ends on SIGTERM or after a drain."""

import asyncio
import faulthandler
import logging
import signal
import sys
from pathlib import Path

import click

from released import __version__, logs
from released.app import running
from released.config import DEFAULT_PATH, Config, Configuration, load
from released.errors import ApplicationError, ConfigError, StartupError
from released.service.places import raise_descriptor_limit
from released.systemd import notify

logger = logging.getLogger(__name__)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help=f"The configuration file. [default: {DEFAULT_PATH}, if it exists]",
)
@click.version_option(__version__, prog_name="released")
def main(config_path: Path | None) -> None:
    """Run the release phase of deployments: serve releasephase.v1 on a Unix socket.

    Ends with exit code 0 on SIGTERM and SIGINT, and when it was drained. Exit code 2: the
    configuration can't be used; 1: the daemon can't start.
    """
    logs.set_up()
    raise_descriptor_limit()
    # systemd's watchdog sends SIGABRT: then every thread says where it was.
    faulthandler.enable()
    try:
        asyncio.run(_serve(load(config_path)))
    except (StartupError, ApplicationError, OSError) as error:
        logger.critical("%s", error)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


async def _serve(config: Config) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with running(Configuration(config)) as drained:
        logger.info("released %s serves %s", __version__, config.server.socket)
        notify("READY=1")
        await _first_of(stopping, drained)
        notify("STOPPING=1")
        if drained.is_set():
            logger.info("drained: nothing is under way any more")
        else:
            logger.info("stopping; containers of releases under way are left as they are")


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
