"""A start is checked as a whole before a sample is read."""

from __future__ import annotations

import pytest

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import InvalidRequest
from gateway.live.form import Form
from tests.unit.gateway.live.harness import start


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"sampling_rate": float("nan")}, ["sampling_rate"]),
        ({"sampling_rate": 1e9}, ["sampling_rate"]),
        ({"stride": 0.5, "clear_after": -1}, ["stride", "clear_after"]),
        ({"leads": ["V9"] * 60}, ["leads"]),
        ({"rate_limits": gateway_pb2.RateLimits(low=-3, high=1e4)}, ["rate_limits.low", "rate_limits.high"]),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Form.of(start(**changes))
    assert [violation.field for violation in caught.value.violations] == [f"start.{name}" for name in fields]


def test_an_empty_start_is_told_all_that_it_lacks() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Form.of(gateway_pb2.AnalyzeStreamStart())
    reasons = {violation.reason for violation in caught.value.violations}
    assert reasons == {"MISSING_LEADS", "MISSING_SAMPLE_TYPE", "MISSING_ORDER", "RATE_OUT_OF_RANGE"}


def test_defaults() -> None:
    plain = start()
    plain.ClearField("stride")
    form = Form.of(plain)
    assert (form.length, form.step, form.skips) == (100, 100, False)
    assert (form.alarms.low, form.alarms.high, form.alarms.clear_after) == (40, 150, 3)


def test_a_window_is_sent_on_as_it_came() -> None:
    form = Form.of(
        start(
            sample_type=types_pb2.SAMPLE_TYPE_FLOAT32,
            scale=0.5,
            subject_ref="x",
            patient=types_pb2.Patient(age_years=50, sex=types_pb2.SEX_FEMALE),
        )
    )
    recording = form.silence()
    assert recording.signal.scale == 0.5
    assert recording.signal.sample_type == types_pb2.SAMPLE_TYPE_FLOAT32
    assert len(recording.signal.samples) == 12 * 100 * 4
    assert (recording.subject_ref, recording.patient.age_years) == ("x", 50)
    assert form.digest != Form.of(start()).digest
