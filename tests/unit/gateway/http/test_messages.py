"""JSON and query to protobuf: what does not fit names a field of ours and never quotes what was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.errors import InvalidRequest
from gateway.http.messages import from_json, from_pairs

NAME = "Maria-Exemplo-4711"


def analyze(body: Any) -> gateway_pb2.AnalyzeRequest:
    return from_json(json.dumps(body).encode(), gateway_pb2.AnalyzeRequest())


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({NAME: 1}, "body", "UNKNOWN"),
        ({"recording": {NAME: 1}}, "recording", "UNKNOWN"),
        ({"recording": {"signal": {"sampling_rate": NAME}}}, "recording.signal.sampling_rate", "MALFORMED"),
        ({"recording": {"signal": {"samplingRate": NAME}}}, "recording.signal.sampling_rate", "MALFORMED"),
        ({"recording": {"signal": {"sample_type": NAME}}}, "recording.signal.sample_type", "MALFORMED"),
        ({"recording": {"acquired_at": NAME}}, "recording.acquired_at", "MALFORMED"),
        ({"recording": {"acquired_at": f" at AnalyzeRequest.{NAME}"}}, None, "MALFORMED"),
        ({"recording": NAME}, None, "UNKNOWN"),
        ({"measure": NAME}, "measure", "MALFORMED"),
        ({"model_version": 10**30}, None, "MALFORMED"),
        ([NAME], "body", "MALFORMED"),
        ([], "body", "MALFORMED"),
        (None, "body", "MALFORMED"),
        (NAME, "body", "MALFORMED"),
    ],
)
def test_what_does_not_fit_is_named_and_not_quoted(body: Any, field: str | None, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        analyze(body)
    (violation,) = caught.value.violations
    assert violation.reason == reason
    if field is not None:
        assert violation.field == field
    assert NAME not in f"{caught.value}{violation}"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.just(NAME),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["recording", "signal", "file", "content", "leads", "patient", "model", NAME]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(body: Any) -> None:
    said = ""
    try:
        analyze(body)
    except InvalidRequest as error:
        said = f"{error}{error.violations}"
    assert NAME not in said


def test_a_body_that_is_no_json_is_refused() -> None:
    for body in (b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"model": "\\ud800"}'):
        with pytest.raises(InvalidRequest):
            from_json(body, gateway_pb2.AnalyzeRequest())


def test_a_query_fills_fields_by_their_dotted_names() -> None:
    pairs = [
        ("finding_codes", "AFIB"),
        ("finding_codes", "NORM"),
        ("methods", "METHOD_LIME"),
        ("methods", "1"),
        ("budget_seconds", "2.5"),
        ("recording.subject_ref", "s"),
        ("recording.acquired_at", "2020-01-02T03:04:05Z"),
        ("recording.patient.age_years", "70"),
    ]
    request = from_pairs(pairs, gateway_pb2.ExplainRequest())
    assert list(request.finding_codes) == ["AFIB", "NORM"]
    assert list(request.methods) == [explainer_pb2.METHOD_LIME, explainer_pb2.METHOD_RULES]
    assert request.budget_seconds == 2.5
    assert request.recording.acquired_at.seconds == 1577934245
    assert request.recording.patient.age_years == 70


@pytest.mark.parametrize(
    "pairs",
    [
        [(NAME, "1")],
        [("recording", "1")],
        [(f"recording.{NAME}", "1")],
        [("model.name", "1")],
        [("recording.acquired_at.seconds", "1")],
        [("model", "a"), ("model", "b")],
        [("measure", NAME)],
        [("model_version", NAME)],
        [("", "1")],
    ],
)
def test_a_query_that_does_not_fit_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_pairs(pairs, gateway_pb2.AnalyzeRequest())
    assert NAME not in f"{caught.value}{caught.value.violations}"


def test_booleans_of_a_query() -> None:
    for text, value in (("true", True), ("True", True), ("1", True), ("false", False), ("0", False)):
        assert from_pairs([("measure", text)], gateway_pb2.AnalyzeRequest()).measure is value
