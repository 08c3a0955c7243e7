"""The daemon: runs release commands in containers of an application's new image.

Imports go down only (import-linter keeps it so)::

    cli, app
      service            RPC handlers: validate, call, convert
      metrics            what is counted for Prometheus
      releases, recovery accept, cancel, settle; the one owner of release tasks
      scheduler          which release starts next: lanes, in memory
      release            one release, from its image to its result
      engine, audit      the container engine; the append-only log and its queries
      model, errors      what everybody talks about
"""

from importlib.metadata import version

__version__ = version("releasephase")
