"""The OpenAPI document of the gateway, made of the protos and their own comments.

What is a path comes from ``gateway/http/bindings.py``, who may call it from ``gateway/identity/policy.py``. Written to
``gateway/http/openapi.json`` by ``python protos/generate.py``, together with the stubs.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from gateway.http.bindings import BINDINGS, KSERVE_ROUTES, Binding, full_name  # noqa: E402
from gateway.identity.policy import POLICY  # noqa: E402

TARGET: Final = ROOT / "gateway" / "http" / "openapi.json"

Json = dict[str, Any]
F = FieldDescriptorProto
_SCALARS: Final[dict[int, Json]] = {
    F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    F.TYPE_FLOAT: {"type": "number", "format": "float"},
    F.TYPE_INT32: {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    F.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1},
    F.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,18}$"},
    F.TYPE_UINT64: {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,19}$"},
    F.TYPE_BOOL: {"type": "boolean"},
    F.TYPE_STRING: {"type": "string"},
    F.TYPE_BYTES: {"type": "string", "format": "byte", "contentEncoding": "base64"},
}
#: Messages whose JSON is a text.
_TEXTUAL: Final[dict[str, Json]] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
}
_PROBLEM: Final = {
    "type": "object",
    "description": "An error (RFC 9457). It never quotes the request.",
    "required": ["type", "title", "status", "detail", "violations"],
    "properties": {
        "type": {"type": "string", "description": "urn:cardiomesh:error: and the machine-readable reason."},
        "title": {"type": "string", "description": "The reason in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong, in words a person can act on."},
        "violations": {
            "type": "array",
            "description": "What is wrong with which field.",
            "items": {
                "type": "object",
                "required": ["field", "description", "reason"],
                "properties": {
                    "field": {"type": "string", "description": "Dotted name of the field."},
                    "description": {"type": "string", "description": "What is wrong with it."},
                    "reason": {"type": "string", "description": "The same, machine-readable."},
                },
            },
        },
    },
}
_STATUSES: Final = {
    "400": "The request cannot be understood, or no honest answer can be given on the recording.",
    "401": "The caller did not prove who they are.",
    "403": "The caller may not do this.",
    "404": "No such model, version, finding or result.",
    "409": "The state of things does not allow it, such as an explanation of another prediction.",
    "413": "Over a size limit.",
    "415": "A body of a kind that the call does not take.",
    "429": "Shed before any work was done; safe to send again after a pause.",
    "500": "An error of the mesh; its log knows more.",
    "501": "Understood, and not offered.",
    "503": "A part of the mesh cannot be reached now.",
    "504": "The deadline has passed.",
}
_TIMEOUT: Final = {
    "name": "X-Request-Timeout",
    "in": "header",
    "description": "The deadline of the call, in seconds from now. Without it the gateway's default counts.",
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 86400},
}


class Contract:
    """Messages, enums and methods by full name (``.package.Name``), with their comments."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: dict[str, EnumDescriptorProto] = {}
        self.methods: dict[str, MethodDescriptorProto] = {}
        self.comments: dict[str, str] = {}
        for file in files.file:
            said = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
            package = f".{file.package}"
            for i, message in enumerate(file.message_type):
                self._message(f"{package}.{message.name}", message, (4, i), said)
            for i, enum in enumerate(file.enum_type):
                name = f"{package}.{enum.name}"
                self.enums[name] = enum
                self._say(name, said.get((5, i), ""))
                for k, value in enumerate(enum.value):
                    self._say(f"{name}.{value.name}", said.get((5, i, 2, k), ""))
            for i, service in enumerate(file.service):
                for k, method in enumerate(service.method):
                    name = f"/{file.package}.{service.name}/{method.name}"
                    self.methods[name] = method
                    self._say(name, said.get((6, i, 2, k), ""))

    def _message(
        self, name: str, message: DescriptorProto, path: tuple[int, ...], said: dict[tuple[int, ...], str]
    ) -> None:
        self.messages[name] = message
        self._say(name, said.get(path, ""))
        for k, field in enumerate(message.field):
            self._say(f"{name}.{field.name}", said.get((*path, 2, k), ""))
        for k, nested in enumerate(message.nested_type):
            self._message(f"{name}.{nested.name}", nested, (*path, 3, k), said)

    def _say(self, name: str, comment: str) -> None:
        self.comments[name] = " ".join(comment.split())

    def field(self, message: str, path: str) -> FieldDescriptorProto:
        """The field at a dotted path below a message."""
        *parents, last = path.split(".")
        for parent in parents:
            message = self.field(message, parent).type_name
        return next(field for field in self.messages[message].field if field.name == last)


class Document:
    """Collects paths, and the schemas that they need."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._schemas: dict[str, Json] = {"Problem": _PROBLEM}

    def build(self, version: str) -> Json:
        """The whole document."""
        paths: dict[str, Json] = {}
        for binding in BINDINGS:
            paths.setdefault(binding.path, {})[binding.verb.lower()] = self._operation(binding)
        for (verb, path), method in KSERVE_ROUTES.items():
            paths.setdefault(path, {})[verb.lower()] = _kserve(verb, path, method)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "CardioMesh gateway",
                "version": version,
                "summary": "12-lead ECGs in, findings by a named model out.",
                "description": "The same calls as over gRPC, through the same door. Research software, not a medical "
                "device. Made of the protos' own comments by protos/openapi.py.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"bearer": []}, {"key": []}],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "responses": {
                    "Problem": {
                        "description": "An error.",
                        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    }
                },
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or an OIDC token."},
                    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
                },
            },
        }

    def _operation(self, binding: Binding) -> Json:
        name = full_name(binding)
        method = self._contract.methods[name]
        comment = self._contract.comments[name]
        streamed = method.server_streaming
        inside = [part[1:-1] for part in binding.path.split("/") if part.startswith("{")]
        return {
            "operationId": method.name,
            "tags": [binding.rpc.partition("/")[0]],
            "summary": comment.partition(". ")[0].rstrip("."),
            "description": f"{comment} {_for_roles(name)}",
            "parameters": [*self._parameters(binding, method, inside), _TIMEOUT],
            **self._body(binding, method),
            "responses": {
                "200": {
                    "description": "One line an answer; an error after the first is a last line with a problem."
                    if streamed
                    else "The answer.",
                    "content": self._streamed(method) if streamed else self._whole(binding, method),
                },
                **_problems(),
            },
        }

    def _parameters(self, binding: Binding, method: MethodDescriptorProto, inside: list[str]) -> list[Json]:
        message = method.input_type
        found = [self._parameter(message, name, "path") for name in inside]
        if binding.start:
            message = self._contract.field(message, binding.start).type_name
        if binding.verb == "GET" or binding.file:
            skipped = {binding.file, *inside}
            found += [self._parameter(message, name, "query") for name in self._flat(message) if name not in skipped]
        return found

    def _parameter(self, message: str, path: str, where: str) -> Json:
        field = self._contract.field(message, path)
        *parents, last = path.split(".")
        owner = message
        for parent in parents:
            owner = self._contract.field(owner, parent).type_name
        made = {
            "name": path,
            "in": where,
            "description": self._contract.comments[f"{owner}.{last}"],
            "schema": self._schema(field),
        }
        return made | ({"required": True} if where == "path" else {})

    def _flat(self, message: str) -> Iterator[str]:
        """Dotted names of what a query can hold. Of a oneof it holds the file, not the numbers."""
        for field in self._contract.messages[message].field:
            if field.type != F.TYPE_MESSAGE or field.type_name in _TEXTUAL:
                yield field.name
            elif field.label != F.LABEL_REPEATED and field.type_name != ".cardiomesh.types.v1.Signal":
                yield from (f"{field.name}.{name}" for name in self._flat(field.type_name))

    def _body(self, binding: Binding, method: MethodDescriptorProto) -> Json:
        if binding.verb == "GET":
            return {}
        message = self._reference(method.input_type)
        file = {"type": "string", "format": "binary", "description": "The file as the device wrote it."}
        content: Json
        if method.client_streaming:
            content = (
                {"application/octet-stream": {"schema": file}}
                if binding.file
                else {"application/x-ndjson": {"schema": message}}
            )
        elif binding.file:
            form = {
                "type": "object",
                "description": "The other parts are what the query could hold.",
                "required": ["file"],
                "properties": {"file": file},
            }
            content = {
                "application/json": {"schema": message},
                "application/octet-stream": {"schema": file},
                "multipart/form-data": {"schema": form},
            }
        else:
            content = {"application/json": {"schema": message}}
        return {"requestBody": {"required": True, "content": content}}

    def _whole(self, binding: Binding, method: MethodDescriptorProto) -> Json:
        if not binding.answer:
            return {"application/json": {"schema": self._reference(method.output_type)}}
        field = self._contract.field(method.output_type, binding.answer)
        if field.type != F.TYPE_BYTES:
            return {"application/json": {"schema": self._reference(field.type_name)}}
        comment = self._contract.comments[f"{method.output_type}.{binding.answer}"]
        return {"application/json": {"schema": {"type": "object", "description": comment}}}

    def _streamed(self, method: MethodDescriptorProto) -> Json:
        line = self._reference(method.output_type)
        events = {"type": "string", "description": "Server-sent events: event part, or problem; data as the lines."}
        return {"application/x-ndjson": {"schema": line}, "text/event-stream": {"schema": events}}

    def _reference(self, name: str) -> Json:
        """A reference to a message's or an enum's schema, which is made if need be."""
        short = name.removeprefix(".cardiomesh.").replace(".v1.", ".")
        if short not in self._schemas:
            self._schemas[short] = {}  # a message may hold itself
            self._schemas[short] = self._enum(name) if name in self._contract.enums else self._message(name)
        return {"$ref": f"#/components/schemas/{short}"}

    def _enum(self, name: str) -> Json:
        values = [value.name for value in self._contract.enums[name].value]
        meanings = "\n".join(f"- `{value}`: {self._contract.comments[f'{name}.{value}']}" for value in values)
        return {"type": "string", "description": f"{self._contract.comments[name]}\n\n{meanings}", "enum": values}

    def _message(self, name: str) -> Json:
        message = self._contract.messages[name]
        made: Json = {
            "type": "object",
            "description": self._contract.comments[name],
            "additionalProperties": False,
            "properties": {},
        }
        for field in message.field:
            schema = self._schema(field)
            made["properties"][field.name] = schema | {"description": self._contract.comments[f"{name}.{field.name}"]}
        choices = [
            [f.name for f in message.field if f.HasField("oneof_index") and f.oneof_index == k]
            for k in range(len(message.oneof_decl))
        ]
        pairs = [
            {"required": [one, other]} for names in choices for i, one in enumerate(names) for other in names[i + 1 :]
        ]
        return made | ({"not": {"anyOf": pairs}} if pairs else {})

    def _schema(self, field: FieldDescriptorProto) -> Json:
        one: Json
        if field.type_name in _TEXTUAL:
            one = dict(_TEXTUAL[field.type_name])
        elif field.type == F.TYPE_MESSAGE and self._contract.messages[field.type_name].options.map_entry:
            value = self._contract.messages[field.type_name].field[1]
            return {"type": "object", "additionalProperties": self._schema(value)}
        elif field.type in (F.TYPE_MESSAGE, F.TYPE_ENUM):
            one = self._reference(field.type_name)
        else:
            one = dict(_SCALARS[field.type])
        return {"type": "array", "items": one} if field.label == F.LABEL_REPEATED else one


def _for_roles(method: str) -> str:
    return f"For: {', '.join(sorted(POLICY[method]))}."


def _problems() -> Json:
    return {
        status: {"$ref": "#/components/responses/Problem", "description": text} for status, text in _STATUSES.items()
    }


def _kserve(verb: str, path: str, method: str) -> Json:
    """One of KServe's own calls, which is forwarded: its bodies are specified there."""
    name = method.rpartition("/")[2]
    inside = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    free = {"application/json": {"schema": {"type": "object"}}, "application/octet-stream": {"schema": {}}}
    return {
        "operationId": name + ("OfVersion" if "version" in inside else ""),
        "tags": ["KServe v2"],
        "summary": f"{name} of KServe's open inference protocol, forwarded to Triton",
        "description": _for_roles(method),
        "externalDocs": {"url": "https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol"},
        "parameters": [
            {"name": part, "in": "path", "required": True, "schema": {"type": "string"}, "description": f"The {part}."}
            for part in inside
        ]
        + [_TIMEOUT],
        **({"requestBody": {"required": True, "content": free}} if verb == "POST" else {}),
        "responses": {"200": {"description": "Triton's answer."}, **_problems()},
    }


def document(files: FileDescriptorSet) -> str:
    """The document's text."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return json.dumps(Document(Contract(files)).build(version), indent=1, ensure_ascii=False) + "\n"
