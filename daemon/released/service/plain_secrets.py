"""Secret values that stand in the request itself, where they would be stored and shown."""

from collections.abc import Iterable, Iterator

from google.protobuf.message import Message

from released.errors import Violation
from released.model.release import Secrets
from released.model.secret_values import secret_lines, secret_values
from released.release.masking.search import SecretSearch
from releasephase.v1 import release_service_pb2

MOST_SECRET_BYTES = 128 * 1024
"""To look for them in output takes a thousand times as much memory."""

_BELONGS_THERE = frozenset({"env.value", "registry_auth.password", "registry_auth.identity_token"})
"""The fields that are never stored."""

_COMMANDS = {"commands.line": "", "commands.argv.arguments": " in a shell line"}
"""Where a command may stand, and which of them knows variables."""


def check_plain_secrets(
    request: release_service_pb2.StartReleaseRequest, secrets: Secrets, secret_names: Iterable[str]
) -> Iterator[Violation]:
    """Yield a violation for each field in which a secret value stands, or a line of one."""
    if is_too_much(secrets, secret_names):
        yield Violation("env", f"must have {MOST_SECRET_BYTES} bytes of secret values at most")
    search = SecretSearch.of(secrets, secret_names)
    for field, kind, text in _texts(request):
        if kind not in _BELONGS_THERE and (name := search.name_in(text)):
            yield Violation(field, _explained(name, kind))


def is_too_much(secrets: Secrets, secret_names: Iterable[str]) -> bool:
    """Whether there are more secret values than a release may have."""
    return sum(len(value.encode()) for _, value in secret_values(secrets, secret_names)) > MOST_SECRET_BYTES


def names_in_plain(
    request: release_service_pb2.StartReleaseRequest, secrets: Secrets, names: Iterable[str]
) -> frozenset[str]:
    """Return those variables whose values, or lines of them, also stand where the request is stored."""
    lines = [(name, line) for name in names for line in secret_lines(secrets.environment[name])]
    texts = [text for _, kind, text in _texts(request) if kind not in _BELONGS_THERE]
    found: set[str] = set()
    while left := [(name, line) for name, line in lines if name not in found]:
        # One that stands within another is not found in the same place: so what was found is left out then.
        search = SecretSearch(left)
        new = {name for text in texts for name in search.names_in(text)}
        if not new:
            break
        found |= new
    return frozenset(found)


def _explained(name: str, kind: str) -> str:
    what = f"contains the secret value of {name}, and is stored and shown"
    if kind in _COMMANDS and name not in _BELONGS_THERE:
        return f'{what}: refer to it as "${name}"{_COMMANDS[kind]}'
    return f"{what}: it must not have it"


def _texts(message: Message, field: str = "", kind: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield all texts below a message: where each is, the same without indices and keys, and the text."""
    for descriptor, value in message.ListFields():
        path = f"{field}.{descriptor.name}".lstrip(".")
        path_kind = f"{kind}.{descriptor.name}".lstrip(".")
        if isinstance(value, str | Message):
            values = [(path, value)]
        elif descriptor.message_type and descriptor.message_type.GetOptions().map_entry:
            values = [(path, text) for pair in value.items() for text in pair]
        elif descriptor.is_repeated:
            values = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        else:
            continue
        for place, item in values:
            if isinstance(item, Message):
                yield from _texts(item, place, path_kind)
            elif isinstance(item, str):
                yield place, path_kind, item
