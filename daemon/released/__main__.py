"""Run the daemon: `python -m released`."""

from released.cli import main

main()
