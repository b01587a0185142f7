"""The model's name is read without decoding the message; what is no message is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from cardiomesh.errors import InvalidRequest
from gateway.passthrough import model_name


def infer(name: str, size: int) -> service_pb2.ModelInferRequest:
    return service_pb2.ModelInferRequest(
        model_name=name,
        model_version="1",
        id="x",
        inputs=[service_pb2.ModelInferRequest.InferInputTensor(name="ecg", datatype="FP32", shape=[1, 12, 1000])],
        raw_input_contents=[bytes(size)],
    )


@given(st.text(max_size=50), st.integers(0, 300_000))
def test_it_is_what_protobuf_says(name: str, size: int) -> None:
    assert model_name(infer(name, size).SerializeToString()) == name


def test_a_later_field_one_wins_as_in_protobuf() -> None:
    raw = infer("first", 10).SerializeToString() + service_pb2.ModelInferRequest(model_name="last").SerializeToString()
    assert model_name(raw) == service_pb2.ModelInferRequest.FromString(raw).model_name == "last"


def test_no_field_one_is_no_name() -> None:
    assert model_name(b"") == ""


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_read_and_never_a_crash(raw: bytes) -> None:
    try:
        model_name(raw)
    except InvalidRequest:
        return


@pytest.mark.parametrize("raw", [b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 12, b"\x0b"])
def test_truncated_messages_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        model_name(raw)
