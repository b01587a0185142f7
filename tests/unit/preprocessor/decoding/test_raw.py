"""Plain numbers: what is read, and how each wrong thing is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import RecordingInput, SignalInput, decode
from tests.unit.preprocessor.recordings import as_signal, heart


def signal(**changes: object) -> RecordingInput:
    given_signal = as_signal(heart()).content
    assert isinstance(given_signal, SignalInput)
    return RecordingInput(replace(given_signal, **changes))  # type: ignore[arg-type]


def test_reads_microvolts_and_millivolts_alike() -> None:
    counts = heart()
    from_counts = decode(as_signal(counts))
    floats = SignalInput(STANDARD_LEADS, 500.0, "mV", "float32", (counts * 1e-3).astype("<f4").tobytes())
    from_floats = decode(RecordingInput(floats))
    np.testing.assert_allclose(from_counts.millivolts, counts * 1e-3, atol=1e-12)
    np.testing.assert_allclose(from_floats.millivolts, counts * 1e-3, atol=1e-6)
    assert from_counts.leads == STANDARD_LEADS
    assert from_counts.sampling_rate == 500.0
    assert from_counts.format == "signal"


@pytest.mark.parametrize("unit", ["uV", "µV", "μV"])
def test_every_micro_sign_is_a_microvolt(unit: str) -> None:
    assert decode(signal(unit=unit)).millivolts.max() == pytest.approx(heart().max() * 1e-3)


def test_scale_multiplies_the_unit() -> None:
    assert decode(signal(scale=2.5)).millivolts.max() == pytest.approx(heart().max() * 2.5e-3)


def test_any_order_and_spelling_of_leads_ends_in_standard_order() -> None:
    order = np.random.default_rng(1).permutation(12)
    spelled = tuple(
        f"MDC_ECG_LEAD_{STANDARD_LEADS[k]}" if k % 2 else f"Lead {STANDARD_LEADS[k].lower()}" for k in order
    )
    shuffled = decode(as_signal(heart()[order], leads=spelled))
    np.testing.assert_array_equal(shuffled.millivolts, decode(as_signal(heart())).millivolts)


def test_eight_leads_get_the_four_derived_ones() -> None:
    rows = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    eight = decode(as_signal(heart()[rows], leads=INDEPENDENT_LEADS))
    assert eight.leads == STANDARD_LEADS
    assert eight.derived_leads == ("III", "aVR", "aVL", "aVF")
    np.testing.assert_allclose(eight.millivolts, heart() * 1e-3, atol=1e-9)


def test_extra_leads_are_kept_apart() -> None:
    counts = np.concatenate([heart(), heart()[:2]])
    recording = decode(as_signal(counts, leads=(*STANDARD_LEADS, "V7", "V4R")))
    assert recording.leads == STANDARD_LEADS
    assert recording.ignored_leads == ("V7", "V4R")


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"samples": b""}, "samples", "EMPTY"),
        ({"samples": b"abc"}, "samples", "WRONG_LENGTH"),
        ({"sample_type": None}, "sample_type", "MISSING_SAMPLE_TYPE"),
        ({"unit": "m"}, "unit", "UNKNOWN_UNIT"),
        ({"unit": ""}, "unit", "UNKNOWN_UNIT"),
        ({"unit": "MV"}, "unit", "UNKNOWN_UNIT"),
        ({"scale": 0.0}, "scale", "BAD_SCALE"),
        ({"scale": float("nan")}, "scale", "BAD_SCALE"),
        ({"scale": -1.0}, "scale", "BAD_SCALE"),
        ({"leads": ()}, "leads", "MISSING_LEADS"),
        ({"leads": ("Maria Silva", *STANDARD_LEADS[1:])}, "leads", "UNKNOWN_LEAD"),
        ({"leads": ("II", *STANDARD_LEADS[1:])}, "leads", "DUPLICATE_LEAD"),
        ({"leads": STANDARD_LEADS * 6}, "leads", "TOO_MANY_LEADS"),
    ],
)
def test_says_what_is_wrong_with_which_field(changes: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(signal(**changes))
    assert (f"recording.signal.{field}", reason) in [(v.field, v.reason) for v in caught.value.violations]
    assert "\n" not in str(caught.value)
    assert "Maria" not in str(caught.value)


def test_tells_all_that_is_wrong_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(signal(unit="m", samples=b"", sample_type=None))
    assert {v.reason for v in caught.value.violations} == {"UNKNOWN_UNIT", "EMPTY", "MISSING_SAMPLE_TYPE"}


@given(
    leads=st.lists(st.sampled_from([*STANDARD_LEADS, "V7", "x", ""]), max_size=14).map(tuple),
    rate=st.floats(),
    unit=st.sampled_from(["mV", "uV", "m", ""]),
    kind=st.sampled_from(["int16", "float32", None]),
    samples=st.binary(max_size=200),
    scale=st.floats(),
)
def test_any_request_is_read_or_refused_by_type(leads, rate, unit, kind, samples, scale) -> None:  # type: ignore[no-untyped-def]
    request = RecordingInput(SignalInput(leads, rate, unit, kind, samples, scale))
    refusal: InvalidRequest | None = None
    try:
        recording = decode(request)
        assert recording.millivolts.shape[0] == len(recording.leads)
    except InvalidRequest as error:
        refusal = error
    assert refusal is None or refusal.violations
