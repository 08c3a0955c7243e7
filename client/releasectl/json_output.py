"""The proto3 JSON mapping, with the field names of the .proto.

Every field is there, also one that has its default value, so that a script need not
ask first; only what is absent in the contract (an `exit_code` that was not seen) is not.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def line(message: Message) -> str:
    """Return a message as one line of JSON."""
    return json.dumps(mapped(message), separators=(",", ":")) + "\n"


def document(message: Message) -> str:
    """Return a message as indented JSON."""
    return indented(mapped(message))


def indented(value: object) -> str:
    """Return what is no message of the contract as indented JSON."""
    return json.dumps(value, indent=2) + "\n"


def mapped(message: Message) -> dict[str, Any]:
    """Return a message as what JSON is made of."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
