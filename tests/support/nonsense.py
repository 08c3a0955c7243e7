"""What a fuzzed caller sends: messages of the contract, and HTTP/2, right or nearly right or neither."""

from __future__ import annotations

import importlib
import pkgutil
import struct
from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from hypothesis import strategies as st

import releasephase.v1

T = TypeVar("T")

RELEASE_ID = "01900000-0000-7000-8000-000000000000"
"""Stands for the id of a release that there is: put that in its place."""

LARGE = 1 << 20
"""Bytes."""

_HINTS: dict[str, Sequence[str]] = {
    "application": ["shop", "blog"],
    "environment": ["live", "test"],
    "image": ["releasephase-test/absent:1", "sha256:" + "0" * 64],
    "name": [
        f"releases/{RELEASE_ID}",
        "releases/01900000-0000-7000-8000-000000000001",
        f"applications/shop/commands/{RELEASE_ID}",
    ],
    "parent": ["applications/shop", "applications/blog"],
    "etag": ["0", "1"],
    "environments": ["live"],
    "filter": [
        'application = "shop" AND NOT (state = FAILED OR labels.a = "b")',
        'create_time > "2026-01-31T12:00:00Z" OR labels:a',
        'create_time < "0001-01-01T00:00:00+23:59" AND create_time > "9999-12-31T23:59:59-23:59"',
        "state = RUNNING",
        "NOT " * 11 + "state = FAILED",
        "((((((((((((((((((",
        "labels.a = b OR " * 200 + "labels.a = b",
        'image = "shop:*" OR (caller = 0 AND duration > 1h30m) OR target = shop/live',
        'digest = "sha256:3f*" OR outcome = NONE OR cause:* OR requested_by:a',
        "kind = command_output AND (stream = STDERR OR command_index = 0)",
        'event_time > "2026-01-31T12:00:00Z" AND sequence <= 999999999999999999',
    ],
    "release": [f"releases/{RELEASE_ID}"],
    "order_by": ["duration desc", "create_time", "end_time desc", "sequence", "sequence desc", "state"],
    "page_token": ["AAAAAAAAAAGX46zRxVbrhQ", "f" * 22, "__________________________________8="],
    "request_id": [RELEASE_ID],
    "line": ["true"],
    "label": ["a label"],
}
_ODD_TEXTS = ["", "\0", "..", "/", "€" * 200, "\x1b[31m", "\n", "a" * 5000, "%s{0}", "' OR 1=1 --", "f" * 22]
_VARINTS = [0, 1, 2, 3, 1000, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1]

_VARINT, _FIXED64, _LENGTH, _GROUP, _FIXED32 = 0, 1, 2, 3, 5
_WIRE_TYPES = {
    FieldDescriptor.TYPE_STRING: _LENGTH,
    FieldDescriptor.TYPE_BYTES: _LENGTH,
    FieldDescriptor.TYPE_MESSAGE: _LENGTH,
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
}


def methods() -> list[MethodDescriptor]:
    """Every method of every service of the contract, in whichever file it is."""
    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.iter_modules(releasephase.v1.__path__, "releasephase.v1.")
        if module.name.endswith("_pb2")
    ]
    services = [service for m in modules for service in m.DESCRIPTOR.services_by_name.values()]
    return [method for service in services for method in service.methods]


def mutated(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    """Messages of this type as they are on the wire, half of them with something wrong in them."""
    good = encoded(descriptor)
    bad = st.builds(_mutate, good, st.lists(_mutations, min_size=1, max_size=3))
    return _weighted([good, good, good, bad, bad, bad, st.binary(max_size=200)])


@st.composite
def encoded(draw: st.DrawFn, descriptor: Descriptor) -> bytes:
    """A message that can be decoded: fields whose value may be meant, odd ones, few of each."""
    message = b""
    for field in descriptor.fields:
        likely = field.name in _HINTS
        present = draw(st.sampled_from([True] * 19 + [False] if likely else [False] * 19 + [True]))
        for _ in range(draw(st.integers(1, 3)) if present and field.is_repeated else int(present)):
            message += draw(_field(field))
    return message


def _field(field: FieldDescriptor) -> st.SearchStrategy[bytes]:
    wire_type = _WIRE_TYPES.get(field.type, _VARINT)
    tag = _varint(field.number << 3 | wire_type)
    return _value(field, wire_type).map(lambda value: tag + value)


def _value(field: FieldDescriptor, wire_type: int) -> st.SearchStrategy[bytes]:
    if field.message_type is not None:
        return encoded(field.message_type).map(_delimited)
    match wire_type:
        case 0:
            return (st.sampled_from(_VARINTS) | st.integers(0, 2**64 - 1)).map(_varint)
        case 1:
            return (st.floats() | st.floats(0, 10)).map(lambda value: struct.pack("<d", value))
        case 5:
            return st.binary(min_size=4, max_size=4)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=50).map(_delimited)
    meant = st.sampled_from(_HINTS.get(field.name, [""]))
    odd = st.sampled_from(_ODD_TEXTS) | st.text(max_size=30)
    return _weighted([meant] * 19 + [odd]).map(lambda text: _delimited(text.encode()))


def _weighted(strategies: Sequence[st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """One of them; unlike with one_of, one that is there twice comes twice as often."""
    return st.sampled_from(strategies).flatmap(lambda strategy: strategy)


Mutation = tuple[str, float, bytes]
"""What to do, where (0 is the beginning and 1 the end), and with which bytes."""

_mutations: st.SearchStrategy[Mutation] = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "repeat", "enlarge", "nest"]),
    st.floats(0, 1),
    st.binary(min_size=1, max_size=12),
)


def _mutate(message: bytes, mutations: Sequence[Mutation]) -> bytes:
    for kind, place, extra in mutations:
        at = round(place * len(message))
        match kind:
            case "flip" if at < len(message):
                message = message[:at] + bytes([message[at] ^ (1 << extra[0] % 8)]) + message[at + 1 :]
            case "cut":
                message = message[:at]
            case "insert":
                message = message[:at] + extra + message[at:]
            case "repeat":
                message = message[:at] * 2 + message[at:]
            case "enlarge":
                field = _varint((extra[0] % 24 + 1) << 3 | _LENGTH)
                message += field + _delimited(extra[:1] * LARGE)
            case "nest":
                group = _varint((extra[0] % 24 + 1) << 3 | _GROUP)
                message += group * 1000
    return message


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
_HEADERS = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/releasephase.v1.DaemonService/GetStatus",
    ":authority": "localhost",
    "te": "trailers",
    "content-type": "application/grpc",
}


def connections() -> st.SearchStrategy[bytes]:
    """What somebody writes to the socket who has not understood what it is for, or means no good."""
    frames = st.lists(_frames(), max_size=20).map(b"".join)
    http2 = frames.map(lambda frames: _PREFACE + _SETTINGS + frames)
    cut = st.builds(lambda whole, place: whole[: round(place * len(whole))], http2, st.floats(0, 1))
    other = st.sampled_from([b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3", _PREFACE * 3])
    return _weighted([http2, http2, http2, cut, other, st.binary(max_size=1000)])


@st.composite
def _frames(draw: st.DrawFn) -> bytes:
    """A frame of HTTP/2, RFC 9113 section 4.1, whose parts fit together or not."""
    kind = draw(st.sampled_from([0, 1, 1, *range(13), 255]))
    flags = draw(st.sampled_from([0, 1, 4, 5, 0xFF]))
    stream = draw(st.sampled_from([0, 1, 1, 3, 2**31 - 1, 2**32 - 1]))
    meant = _headers() if kind == 1 else b"\0\0\0\0\0"
    payload = draw(_weighted([st.just(meant), st.just(meant), st.binary(max_size=60)]))
    length = draw(_weighted([st.just(len(payload))] * 9 + [st.sampled_from([0, 16385, 2**24 - 1])]))
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _headers() -> bytes:
    """The header block of a call, in literals without indexing, RFC 7541 section 6.2.2."""
    pairs = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
    return b"".join(b"\0" + _delimited(name) + _delimited(value) for name, value in pairs)


def _delimited(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
