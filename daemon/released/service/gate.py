"""Who is let through to which method: the one place where roles and methods meet."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import grpc
import grpc.aio

from released.access import Access
from released.config import Config
from released.denials import Denials
from released.errors import ApplicationError, PermissionDenied
from released.model.caller import Caller
from released.model.patterns import TargetPattern
from released.model.release import Target
from released.model.rights import Rights, Role
from released.service.callers import Callers
from released.service.handlers import Method, preceded
from released.service.status import Context, abort

ROLES = {
    "/releasephase.v1.ReleaseService/StartRelease": Role.DEPLOY,
    "/releasephase.v1.ReleaseService/RetryRelease": Role.DEPLOY,
    "/releasephase.v1.ReleaseService/CancelRelease": Role.DEPLOY,
    "/releasephase.v1.ReleaseService/ReportOutcome": Role.DEPLOY,
    "/releasephase.v1.ReleaseService/GetRelease": Role.READ,
    "/releasephase.v1.ReleaseService/ListReleases": Role.READ,
    "/releasephase.v1.ReleaseService/WatchRelease": Role.READ,
    "/releasephase.v1.DaemonService/GetStatus": Role.READ,
    "/releasephase.v1.DaemonService/Drain": Role.ADMIN,
    "/releasephase.v1.AuditService/VerifyAudit": Role.READ,
    "/releasephase.v1.AuditService/GetCommandStatistics": Role.READ,
    "/releasephase.v1.AuditService/ListEvents": Role.READ,
    "/releasephase.v1.AuditService/ExportEvents": Role.READ,
    "/releasephase.v1.CommandService/ListCommands": Role.READ,
    "/releasephase.v1.CommandService/CreateCommand": Role.DEPLOY,
    "/releasephase.v1.CommandService/UpdateCommand": Role.DEPLOY,
    "/releasephase.v1.CommandService/MoveCommand": Role.DEPLOY,
    "/releasephase.v1.CommandService/DeleteCommand": Role.DEPLOY,
    "/releasephase.v1.CommandService/ReplaceCommands": Role.DEPLOY,
    "/releasephase.v1.CommandService/ListCommandChanges": Role.READ,
    "/grpc.health.v1.Health/Check": Role.READ,
    "/grpc.health.v1.Health/List": Role.READ,
    "/grpc.health.v1.Health/Watch": Role.READ,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Role.READ,
}
"""What a caller has to be, for some target at least. A method that is missing here is nobody's."""

_BEHAVIOURS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
"""What a grpc.RpcMethodHandler may have its method under."""


class Call(NamedTuple):
    """An RPC that was let through."""

    caller: Caller
    rights: Rights
    method: str
    role: Role


current_call: ContextVar[Call] = ContextVar("current_call")
"""Set while a method is being called; a call that came in past the gate has none, and fails."""


class Gate(grpc.aio.ServerInterceptor):
    """Knows the caller of each RPC, and refuses what the access rules do not allow."""

    def __init__(self, access: Access, callers: Callers, denials: Denials) -> None:
        self._access = access
        self._callers = callers
        self._denials = denials

    def rule(self, config: Config) -> None:
        """Let other rules, which were looked up when they were loaded, count from the next RPC on."""
        self._access = Access.of(config.access)

    def knows(self, caller: Caller) -> bool:
        """Whether a caller has any right at all."""
        return bool(self._access.rights(caller))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler, now one that is guarded; a method that does not exist has none."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        (kind,) = (kind for kind in _BEHAVIOURS if getattr(handler, kind))
        guarded = self._guarded(getattr(handler, kind), str(handler_call_details.method))
        return handler._replace(**{kind: guarded})

    def caller(self, target: Target | None = None) -> Caller:
        """The caller of the RPC under way, who has to have the method's role for a target (None: all).

        Raises PermissionDenied.
        """
        call = current_call.get()
        if target is None:
            allowed = call.rights.allow_everywhere(call.role)
        else:
            allowed = call.rights.allow(call.role, target)
        if not allowed:
            raise self._denial(call, f"for {target or 'all targets'}", str(target or ""))
        return call.caller

    def caller_for_all_of(self, application: str) -> Caller:
        """The caller of the RPC under way, who has to have the method's role for all environments of it.

        Raises PermissionDenied.
        """
        allowed = current_call.get().rights.allow_all_of
        return self._caller_of(application, allowed, f"for all environments of {application}")

    def check_some_of(self, application: str) -> None:
        """Raise PermissionDenied unless the caller has the method's role for an environment of it."""
        allowed = current_call.get().rights.allow_any_of
        self._caller_of(application, allowed, f"for an environment of {application}")

    def visible_targets(self) -> tuple[TargetPattern, ...] | None:
        """The targets for which the caller of the RPC under way has the method's role; None for all."""
        call = current_call.get()
        return call.rights.targets(call.role)

    def may_read(self, target: Target) -> bool:
        """Whether the caller of the RPC under way may see releases of a target, whatever the RPC needs."""
        return current_call.get().rights.allow(Role.READ, target)

    def check_enabled(self, target: Target) -> None:
        """Raise PermissionDenied for an application that the operator has not let in, whoever asks."""
        if not self._access.is_enabled(target):
            message = (
                f"{target.application} is none of the applications that may have release commands here: the "
                "operator of the host names them in [access] applications"
            )
            raise self._recorded(current_call.get(), "APPLICATION_NOT_ENABLED", message, str(target))

    def _guarded(self, behaviour: Method, method: str) -> Method:
        async def enter(request: Any, context: Context) -> Any:
            await self._enter(method, context)
            return request

        return preceded(behaviour, enter)

    async def _enter(self, method: str, context: Context) -> None:
        """Let an RPC through, or end it."""
        try:
            caller = self._callers.at(context.peer())
            call = Call(caller, self._access.rights(caller), method, ROLES[method])
            if not call.rights.allow_somewhere(call.role):
                raise self._denial(call, "")
        except (ApplicationError, KeyError) as error:
            await abort(context, error)
        current_call.set(call)

    def _caller_of(self, application: str, allowed: Callable[[Role, str], bool], scope: str) -> Caller:
        call = current_call.get()
        if not allowed(call.role, application):
            raise self._denial(call, scope, f"{application}/*")
        return call.caller

    def _denial(self, call: Call, scope: str, target: str = "") -> PermissionDenied:
        message = (
            f"{call.caller} needs the role {call.role} {scope}".rstrip()
            + f", and has {call.rights}: the operator of the host gives roles in [access]"
        )
        return self._recorded(call, "ACCESS_DENIED", message, target)

    def _recorded(self, call: Call, reason: str, message: str, target: str) -> PermissionDenied:
        name = call.method.rpartition("/")[2]
        self._denials.record(call.caller, name, reason, message, target)
        return PermissionDenied(reason, message, {"role": str(call.role), "target": target})
