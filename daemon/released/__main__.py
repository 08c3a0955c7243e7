"""The start of the daemon: `released`, `python -m released`."""

import signal


def main() -> None:
    """Run the command line; SIGHUP is ignored until the daemon is ready to note it."""
    # First of all: by default it would end the process, also while the imports below are under way.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from released import cli

    cli.main()


if __name__ == "__main__":
    main()
