"""Protobuf messages as JSON, query and path; what does not fit is named by its field and never quoted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from cardiomesh.errors import InvalidRequest

__all__ = ["from_json", "from_pairs", "set_bytes", "to_json"]

M = TypeVar("M", bound=Message)
_PATH: Final = re.compile(r' at "?\w+\.([\w.]+)')
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_TEXTUAL: Final = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})
#: What the JSON parser raises; its texts quote the body, which may hold a patient's data.
_UNREADABLE: Final = (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


def to_json(message: Message) -> dict[str, Any]:
    """The message with the protos' own field names; fields at their default are there, too."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def from_json(body: bytes | bytearray, into: M, where: str = "body") -> M:
    """Read JSON into ``into``; raises InvalidRequest that names the field, as far as it can be told."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest.field(where, "is not JSON", "MALFORMED") from error
    if not isinstance(content, dict):
        raise InvalidRequest.field(where, "is not a JSON object", "MALFORMED")
    return _parsed(content, into, where)


def from_pairs(pairs: Iterable[tuple[str, str]], into: M, where: str = "query") -> M:
    """Read ``dotted.field=value`` pairs into ``into``; a repeated field may come more than once."""
    tree: dict[str, Any] = {}
    kind: Any = into.DESCRIPTOR
    for name, text in pairs:
        _plant(tree, kind, name, text, where)
    return _parsed(tree, into, where)


def set_bytes(message: Message, path: str, content: bytes) -> None:
    """Set the bytes field at a dotted path."""
    *parents, last = path.split(".")
    for parent in parents:
        message = getattr(message, parent)
    setattr(message, last, content)


def _parsed(content: Any, into: M, where: str) -> M:
    kind: Any = into.DESCRIPTOR
    try:
        return json_format.ParseDict(content, into)
    except _UNREADABLE as error:
        field = _known_path(str(error), kind)
        unknown = "has no field named" in str(error)
        described = (
            f"has a field that {kind.name if not field else 'this message'} does not have"
            if unknown
            else f"does not hold what the field of {kind.name} holds"
            if field
            else f"is not the JSON form of {kind.name}"
        )
        raise InvalidRequest.field(field or where, described, "UNKNOWN" if unknown else "MALFORMED") from error


def _known_path(text: str, kind: Descriptor) -> str:
    """The longest beginning of a path in the parser's text that names fields of ours: the rest may be the body's."""
    found: list[str] = []
    for path in _PATH.findall(text)[:1]:
        at: Descriptor | None = kind
        for name in path.split("."):
            field = at and (at.fields_by_name.get(name) or at.fields_by_camelcase_name.get(name))
            if not field:
                break
            found.append(field.name)
            at = field.message_type
    return ".".join(found)


def _plant(tree: dict[str, Any], kind: Descriptor, path: str, text: str, where: str) -> None:
    """Put one value where its path says."""
    *parents, last = path.split(".")
    for parent in parents:
        field = kind.fields_by_name.get(parent)
        if field is None or field.message_type is None or field.is_repeated or _textual(field):
            raise _unknown(where)
        kind = field.message_type
        tree = tree.setdefault(parent, {})
    field = kind.fields_by_name.get(last)
    if field is None or (field.message_type is not None and not _textual(field)):
        raise _unknown(where)
    value: Any = text
    if field.type == FieldDescriptor.TYPE_BOOL:
        value = _BOOLEANS.get(text.lower(), text)
    if field.is_repeated:
        tree.setdefault(last, []).append(value)
    elif last in tree:
        raise InvalidRequest.field(path, "was given more than once", "REPEATED")
    else:
        tree[last] = value


def _textual(field: FieldDescriptor) -> bool:
    """Whether the message has a text for its JSON form."""
    return field.message_type is not None and field.message_type.full_name in _TEXTUAL


def _unknown(where: str) -> InvalidRequest:
    # The name is the caller's own words, and may be a patient's.
    return InvalidRequest.field(where, "has a parameter that this call does not have", "UNKNOWN")
