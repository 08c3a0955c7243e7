"""releasephase.v1.CommandService."""

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from released.audit.filter import Condition
from released.audit.log import AuditLog
from released.audit.search import Place
from released.errors import InvalidRequest, Violation
from released.model.caller import Caller
from released.model.events import CommandsChanged
from released.model.ids import new_command_id
from released.model.patterns import any_matches
from released.model.settings import ApplicationSettings
from released.service.command_messages import change_message, declared_message, settings_messages
from released.service.command_requests import command_violations, list_violations, read_command
from released.service.gate import Gate
from released.service.names import application_of, command_name, command_of
from released.service.pages import LARGEST, next_page_token, read_page_size, read_page_token
from released.service.status import Context, unary
from released.settings import edits
from released.settings.settings import Asked, Settings
from releasephase.v1 import command_service_pb2, command_service_pb2_grpc

NO_APPLICATION = "must be an application's name, applications/{application}"
NO_COMMAND = "must be a command's name, applications/{application}/commands/{uuid}"

NEWEST = 2**63 - 1
"""No sequence is larger."""


class CommandService(command_service_pb2_grpc.CommandServiceServicer):
    """Lists and changes the release commands in applications' settings."""

    def __init__(self, settings: Settings, audit: AuditLog, gate: Gate) -> None:
        self._settings = settings
        self._audit = audit
        self._gate = gate

    @unary
    async def ListCommands(
        self,
        request: command_service_pb2.ListCommandsRequest,
        context: Context,
    ) -> command_service_pb2.ListCommandsResponse:
        application = self._readable(request.parent)
        return await self._listed(application, await self._audit.query.settings(application))

    @unary
    async def CreateCommand(
        self,
        request: command_service_pb2.CreateCommandRequest,
        context: Context,
    ) -> command_service_pb2.Command:
        wrong = [*command_violations("command", request.command), *_check_position(request.position, least=0)]
        application, caller = self._owned(application_of(request.parent), "parent", wrong)
        command = read_command(request.command, new_command_id())
        asked = Asked(
            application,
            lambda commands: edits.add(commands, command, request.position),
            caller,
            (request.etag, request.command.etag),
        )
        return _named(command.command_id, application, await self._settings.change(asked))

    @unary
    async def UpdateCommand(
        self,
        request: command_service_pb2.UpdateCommandRequest,
        context: Context,
    ) -> command_service_pb2.Command:
        wrong = command_violations("command", request.command)
        application, command_id, caller = self._owned_command(request.command.name, "command.name", wrong)
        command = read_command(request.command, command_id)
        asked = Asked(
            application, lambda commands: edits.edit(commands, command), caller, (request.command.etag,)
        )
        return _named(command_id, application, await self._settings.change(asked))

    @unary
    async def MoveCommand(
        self,
        request: command_service_pb2.MoveCommandRequest,
        context: Context,
    ) -> command_service_pb2.Command:
        wrong = _check_position(request.position, least=1)
        application, command_id, caller = self._owned_command(request.name, "name", wrong)
        asked = Asked(
            application,
            lambda commands: edits.move(commands, command_id, request.position),
            caller,
            (request.etag,),
        )
        return _named(command_id, application, await self._settings.change(asked))

    @unary
    async def DeleteCommand(
        self,
        request: command_service_pb2.DeleteCommandRequest,
        context: Context,
    ) -> command_service_pb2.ListCommandsResponse:
        application, command_id, caller = self._owned_command(request.name, "name", ())
        asked = Asked(
            application, lambda commands: edits.remove(commands, command_id), caller, (request.etag,)
        )
        return await self._listed(application, await self._settings.change(asked))

    @unary
    async def ReplaceCommands(
        self,
        request: command_service_pb2.ReplaceCommandsRequest,
        context: Context,
    ) -> command_service_pb2.ListCommandsResponse:
        wrong = list_violations(request.commands)
        application, caller = self._owned(application_of(request.parent), "parent", wrong)
        wanted = [read_command(command, new_command_id()) for command in request.commands]
        asked = Asked(
            application,
            lambda commands: edits.replace(commands, wanted),
            caller,
            (request.etag,),
            request.validate_only,
        )
        return await self._listed(application, await self._settings.change(asked))

    @unary
    async def ListCommandChanges(
        self,
        request: command_service_pb2.ListCommandChangesRequest,
        context: Context,
    ) -> command_service_pb2.ListCommandChangesResponse:
        application = self._readable(request.parent)
        size = read_page_size(request.page_size)
        question = ("command changes", application)
        after = read_page_token(request.page_token, question)
        response = command_service_pb2.ListCommandChangesResponse()
        page_bytes = 0
        last = None
        async with aclosing(self._changes(application, after)) as changes:
            async for place, message in changes:
                page_bytes += message.ByteSize()
                if last and (len(response.changes) == size or page_bytes > LARGEST):
                    response.next_page_token = next_page_token(last, question)
                    break
                response.changes.append(message)
                last = place
        return response

    def _readable(self, parent: str) -> str:
        """The application that a caller asks about, who may read something of it."""
        application = application_of(parent)
        if application is None:
            raise InvalidRequest([Violation("parent", NO_APPLICATION)])
        self._gate.check_some_of(application)
        return application

    def _owned(
        self, application: str | None, field: str, wrong: Iterable[Violation], expected: str = NO_APPLICATION
    ) -> tuple[str, Caller]:
        """The application that is to be changed, None for a name of none, and who may change it.

        Raises PermissionDenied, and InvalidRequest with all that is wrong.
        """
        if application is None:
            raise InvalidRequest([Violation(field, expected), *wrong])
        caller = self._gate.caller_for_all_of(application)
        if violations := list(wrong):
            raise InvalidRequest(violations)
        return application, caller

    def _owned_command(self, name: str, field: str, wrong: Iterable[Violation]) -> tuple[str, str, Caller]:
        """The application and the id of a command that is to be changed, and who may change it."""
        named, command_id = command_of(name) or (None, "")
        application, caller = self._owned(named, field, wrong, NO_COMMAND)
        return application, command_id, caller

    async def _listed(
        self, application: str, settings: ApplicationSettings
    ) -> command_service_pb2.ListCommandsResponse:
        """Settings, and what images have declared, as far as it fits a message."""
        response = command_service_pb2.ListCommandsResponse(
            commands=settings_messages(application, settings), etag=settings.etag
        )
        size = response.ByteSize()
        async with aclosing(self._declared(application)) as found:
            async for declared in found:
                size += declared.ByteSize()
                if size > LARGEST:
                    break
                response.declared.append(declared)
        return response

    async def _declared(self, application: str) -> AsyncGenerator[command_service_pb2.DeclaredCommands, None]:
        visible = self._gate.visible_targets()
        for target in await self._audit.query.targets(Condition("application = ?", (application,))):
            if any_matches(visible, target):
                places = await self._audit.query.newest_resolved(target)
                for record in (await self._audit.query.releases_at(places)).values():
                    yield declared_message(record)

    async def _changes(
        self, application: str, after: Place | None
    ) -> AsyncGenerator[tuple[Place, command_service_pb2.CommandChange], None]:
        """Yield the changes behind a place: that of each is its event, and how many there are before it."""
        newest, told = after or (NEWEST, -1)
        through = newest
        while events := await self._audit.query.settings_changes(application, through):
            for event in events:
                body = event.body
                if isinstance(body, CommandsChanged):
                    first = told + 1 if event.sequence == newest else 0
                    for number, change in enumerate(body.changes[first:], first):
                        message = change_message(application, change, event.sequence, event.time, body.caller)
                        yield Place(event.sequence, number), message
            through = events[-1].sequence - 1


def _check_position(position: int, least: int) -> Iterator[Violation]:
    if position < least:
        yield Violation("position", f"must be {least} at least")


def _named(command_id: str, application: str, settings: ApplicationSettings) -> command_service_pb2.Command:
    """The command of that id, which is there."""
    name = command_name(application, command_id)
    return next(command for command in settings_messages(application, settings) if command.name == name)
