"""The table of bindings against the protos, and the OpenAPI document made of both."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from openapi_spec_validator import validate

from gateway.http.bindings import BINDINGS, PACKAGE, Binding, full_name, method_of
from gateway.http.guard import ROUTES
from gateway.identity import POLICY

#: Bidirectional by nature: the caller's next samples depend on nothing, but its alarms may not wait for a body to end.
WITHOUT = {"AnalyzeStream"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(json.loads(files("gateway.http").joinpath("openapi.json").read_bytes()))


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: binding.rpc)
def test_a_binding_names_fields_that_are_there(binding: Binding) -> None:
    method = method_of(binding)
    for path in (*re.findall(r"{(\w+)}", binding.path), binding.file, binding.start):
        kind = method.input_type
        for name in filter(None, path.split(".")):
            kind = kind.fields_by_name[name].message_type or kind
    assert not binding.answer or binding.answer in method.output_type.fields_by_name
    assert full_name(binding) in POLICY


def test_every_rpc_has_an_http_form_or_is_known_to_have_none() -> None:
    pool = descriptor_pool.Default()
    services = {method_of(binding).containing_service.full_name for binding in BINDINGS}
    rpcs = {method.name for name in services for method in pool.FindServiceByName(name).methods}
    assert rpcs - {method_of(binding).name for binding in BINDINGS} == WITHOUT
    assert all(name.startswith(PACKAGE) for name in services)


def test_the_document_is_valid_and_holds_every_route(document: dict[str, Any]) -> None:
    validate(document)
    assert {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs} == set(ROUTES)


def test_every_field_and_parameter_is_described(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        for field, of in schema.get("properties", {}).items():
            assert of["description"], f"{name}.{field}"
    for path, verbs in document["paths"].items():
        for call in verbs.values():
            assert all(parameter["description"] for parameter in call["parameters"]), path
