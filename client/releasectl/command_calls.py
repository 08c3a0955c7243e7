"""What can be asked about the release commands in an application's settings, and how they are changed."""

from __future__ import annotations

from collections.abc import Iterable

from releasephase.v1.command_service_pb2 import (
    Command,
    CreateCommandRequest,
    DeleteCommandRequest,
    ListCommandChangesRequest,
    ListCommandChangesResponse,
    ListCommandsRequest,
    ListCommandsResponse,
    MoveCommandRequest,
    ReplaceCommandsRequest,
    UpdateCommandRequest,
)

from .connection import Connection


class CommandCalls(Connection):
    """The calls of CommandService; a :class:`releasectl.ReleaseClient` has them.

    A command is the contract's message, ``releasephase.v1.command_service_pb2.Command``. Whoever changes
    one gives back the message that was read, with its etag: then the change is refused with StaleEtag
    if the application's settings were changed in between. An empty etag stands for whatever is there.
    """

    async def list_commands(self, application: str) -> ListCommandsResponse:
        """Return the commands in an application's settings, what its images have declared, and an etag."""
        request = ListCommandsRequest(parent=_parent(application))
        return await self._call(self._commands.ListCommands, request)

    async def create_command(
        self, application: str, command: Command, *, position: int = 0, etag: str = ""
    ) -> Command:
        """Add a command to an application's settings and return it.

        Args:
            application: A slug such as ``shop``.
            command: It needs a label, and a line or an argv.
            position: Where to put it, counted from 1; 0 for the end.
            etag: That of the list that this is based on.

        Raises:
            InvalidRequest: a field is malformed, or there is no such position.
            AlreadyExists: another command has that label. If ``metadata["identical"]`` is ``"true"``, it
                is like this one: so it is when a call is repeated that was done, and not answered.
            StaleEtag: the settings were changed since; by that call, it may be, if it is repeated.
        """
        request = CreateCommandRequest(
            parent=_parent(application), command=command, position=position, etag=etag
        )
        return await self._call(self._commands.CreateCommand, request)

    async def update_command(self, command: Command) -> Command:
        """Let a command be like this from now on and return it; its position stays.

        Raises:
            InvalidRequest: a field is malformed.
            NotFound: there is no such command.
            AlreadyExists: another command has that label.
            StaleEtag: the settings were changed since the command was read.
        """
        return await self._call(self._commands.UpdateCommand, UpdateCommandRequest(command=command))

    async def move_command(self, name: str, position: int, *, etag: str = "") -> Command:
        """Give a command another place, counted from 1, and return it.

        Args:
            name: The resource name, ``applications/{application}/commands/{uuid}``.
            position: Where it is to be.
            etag: That of what this is based on.

        Raises:
            InvalidRequest: there is no such position.
            NotFound: there is no such command.
            StaleEtag: the settings were changed since.
        """
        request = MoveCommandRequest(name=name, position=position, etag=etag)
        return await self._call(self._commands.MoveCommand, request)

    async def delete_command(self, name: str, *, etag: str = "") -> ListCommandsResponse:
        """Remove a command and return what is left.

        Args:
            name: The resource name, ``applications/{application}/commands/{uuid}``.
            etag: That of what this is based on.

        Raises:
            NotFound: there is no such command.
            StaleEtag: the settings were changed since.
        """
        return await self._call(self._commands.DeleteCommand, DeleteCommandRequest(name=name, etag=etag))

    async def replace_commands(
        self, application: str, commands: Iterable[Command], *, etag: str = "", validate_only: bool = False
    ) -> ListCommandsResponse:
        """Put a list in the place of all commands of an application, in one piece, and return what is there.

        A command whose label is there already stays the same one; names and positions do not count. With
        `validate_only` nothing is changed: what would be there is returned, or what would be refused raised.

        Raises:
            InvalidRequest: a field is malformed, or two have one label.
            StaleEtag: the settings were changed since.
        """
        request = ReplaceCommandsRequest(
            parent=_parent(application), commands=commands, etag=etag, validate_only=validate_only
        )
        return await self._call(self._commands.ReplaceCommands, request)

    async def list_command_changes_page(
        self, application: str, *, page_size: int = 0, page_token: str = ""
    ) -> ListCommandChangesResponse:
        """Return one page of who has changed an application's settings and how, the newest change first.

        Args:
            application: A slug such as ``shop``.
            page_size: How many at most: 0 for the daemon's default of 50, 1000 at most.
            page_token: The `next_page_token` of the page before.

        Raises:
            InvalidRequest: the page token is malformed.
        """
        request = ListCommandChangesRequest(
            parent=_parent(application), page_size=page_size, page_token=page_token
        )
        return await self._call(self._commands.ListCommandChanges, request)


def _parent(application: str) -> str:
    return f"applications/{application}"
