"""The client of Releasephase, for deploy agents and for people.

A deploy agent runs the release commands of an application's new image before the
new version goes live::

    from releasectl import Command, ReleaseClient
    from releasephase.v1 import release_pb2

    async with ReleaseClient() as client:
        release = await client.run_release(
            "shop/live",
            "registry.example/shop:42",
            commands=[Command("migrate", "python manage.py migrate")],
        )
    if release.state != release_pb2.Release.STATE_SUCCEEDED:
        raise SystemExit(release.failure.message)

Answers are the protobuf messages of the contract, ``releasephase.v1``; errors are
those of :mod:`releasectl.exceptions`. The command line is :mod:`releasectl.cli`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import ReleaseClient as ReleaseClient
    from .exceptions import Aborted as Aborted
    from .exceptions import AlreadyExists as AlreadyExists
    from .exceptions import DaemonUnreachable as DaemonUnreachable
    from .exceptions import FailedPrecondition as FailedPrecondition
    from .exceptions import InvalidRequest as InvalidRequest
    from .exceptions import NotFound as NotFound
    from .exceptions import PermissionDenied as PermissionDenied
    from .exceptions import ReleaseEnded as ReleaseEnded
    from .exceptions import ReleasephaseError as ReleasephaseError
    from .exceptions import ResourceExhausted as ResourceExhausted
    from .exceptions import StaleEtag as StaleEtag
    from .exceptions import TargetBusy as TargetBusy
    from .exceptions import Unavailable as Unavailable
    from .exceptions import Violation as Violation
    from .filters import event_filter as event_filter
    from .filters import release_filter as release_filter
    from .options import Command as Command
    from .options import ContainerMode as ContainerMode
    from .options import Mount as Mount
    from .options import OnBusy as OnBusy
    from .options import PullPolicy as PullPolicy
    from .options import RegistryAuth as RegistryAuth
    from .options import ReleaseOptions as ReleaseOptions
    from .options import Resources as Resources
    from .options import RetryOptions as RetryOptions
    from .options import Target as Target

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Command",
    "ContainerMode",
    "DaemonUnreachable",
    "FailedPrecondition",
    "InvalidRequest",
    "Mount",
    "NotFound",
    "OnBusy",
    "PermissionDenied",
    "PullPolicy",
    "RegistryAuth",
    "ReleaseClient",
    "ReleaseEnded",
    "ReleaseOptions",
    "ReleasephaseError",
    "ResourceExhausted",
    "Resources",
    "RetryOptions",
    "StaleEtag",
    "Target",
    "TargetBusy",
    "Unavailable",
    "Violation",
    "event_filter",
    "release_filter",
]


def __getattr__(name: str) -> object:
    # Imported on first use: the command line answers --help without loading gRPC.
    if name in __all__:
        from . import client, exceptions, filters, options

        for module in (client, exceptions, filters, options):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
