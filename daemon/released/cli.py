"""The command `released`: reads the configuration, runs the daemon, ends on SIGTERM or after a drain.

On SIGHUP it reads the configuration again."""

import asyncio
import faulthandler
import logging
import signal
import sys
from pathlib import Path

import click

from released import __version__, logs
from released.app import running
from released.config import DEFAULT_PATH, ConfigFile, Configuration, load
from released.config.registry_credentials import own_user
from released.errors import ApplicationError, ConfigError, StartupError, StoredDataError
from released.reloading import on_hangup, reloading
from released.service.places import raise_descriptor_limit
from released.systemd import notify

logger = logging.getLogger(__name__)

UNUSABLE_CONFIGURATION = 2
"""As of click's, for options that there are not."""
UNUSABLE_DATA = 65
"""EX_DATAERR of sysexits.h. With neither of the two does systemd start the daemon again."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help=f"The configuration file. [default: {DEFAULT_PATH}, if it exists]",
)
@click.option("--check-config", is_flag=True, help="Say whether the configuration can be used, and end.")
@click.version_option(__version__, prog_name="released")
def main(config_path: Path | None, check_config: bool) -> None:
    """Run the release phase of deployments: serve releasephase.v1 on a Unix socket.

    Ends with exit code 0 on SIGTERM and SIGINT, and when it was drained. Exit code 2: the
    configuration can't be used; 65: the audit log can't be, since it is damaged or a newer
    version's; 1: the daemon can't start for another reason, which may pass. SIGHUP makes it
    read the configuration again.
    """
    if check_config:
        _check(config_path)
        return
    logs.set_up()
    raise_descriptor_limit()
    # systemd's watchdog sends SIGABRT: then every thread says where it was.
    faulthandler.enable()
    try:
        asyncio.run(_serve(ConfigFile(config_path)))
    except (StartupError, ApplicationError, OSError) as error:
        logger.critical("%s", error)
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    match error:
        case ConfigError():
            return UNUSABLE_CONFIGURATION
        case StoredDataError():
            return UNUSABLE_DATA
        case _:
            return 1


def _check(config_path: Path | None) -> None:
    """Read the configuration as a start does, and touch nothing else."""
    try:
        load(config_path)
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(UNUSABLE_CONFIGURATION)
    file = config_path or DEFAULT_PATH
    found = f"{file} is good" if file.exists() else f"there is no {file}: the defaults are good"
    # What may be read is another matter for another user.
    click.echo(f"{found}, as {own_user()} sees it")


async def _serve(file: ConfigFile) -> None:
    stopping, hangup = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # Before the file is read: a change that is told of from here on is not missed.
    with on_hangup(hangup.set):
        configuration = Configuration(file.load())
        async with running(configuration, file.path) as daemon:
            logger.info("released %s serves %s", __version__, configuration.current.server.socket)
            notify("READY=1")
            async with reloading(file, configuration, daemon.audit, hangup):
                await _first_of(stopping, daemon.drained)
            notify("STOPPING=1")
            if daemon.drained.is_set():
                logger.info("drained: nothing is under way any more")
            else:
                logger.info("stopping; containers of releases under way are left as they are")


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
