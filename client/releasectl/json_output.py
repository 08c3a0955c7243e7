"""The proto3 JSON mapping, with the field names of the .proto.

Every field is there, also one that has its default value, so that a script need not
ask first; only what is absent in the contract (an `exit_code` that was not seen) is not.
"""

from __future__ import annotations

import json

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def line(message: Message) -> str:
    """Return a message as one line of JSON."""
    return json.dumps(_mapped(message), separators=(",", ":")) + "\n"


def document(message: Message) -> str:
    """Return a message as indented JSON."""
    return json.dumps(_mapped(message), indent=2) + "\n"


def _mapped(message: Message) -> object:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
