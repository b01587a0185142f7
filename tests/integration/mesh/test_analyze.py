"""One real ECG through every service, by every door."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import numpy as np
import pydicom
import pytest

from cardiomesh.cards import load_card
from cardiomesh.client import Analysis, AsyncClient, Client, RecordingArguments
from cardiomesh.ecg.conditioning import PREPROCESSING_VERSION
from cardiomesh.errors import InvalidRequest, NotFound, ResultMismatch
from cardiomesh.local import Addresses
from tests.conftest import ROOT

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def answer(client: Client, ecg_file: Path) -> Analysis:
    return client.analyze(file=ecg_file, bypass_cache=True, include_signal=True)


@pytest.fixture(scope="module")
def microvolts(ecg_file: Path) -> np.ndarray:
    """The sample's counts, int16 ``[12, n]``; one count is 2.5 uV there."""
    return np.ascontiguousarray(pydicom.dcmread(ecg_file).waveform_array(0).T)


def test_the_answer_carries_all_it_must(answer: Analysis) -> None:
    card = load_card(ROOT / "model_repository" / answer.model.name / str(answer.model.version) / "card.json")
    assert answer.model.card_digest == card.digest
    assert [f.code for f in answer.findings] == [s.code for s in card.statements]
    assert {"NORM", "MI", "STTC", "CD", "HYP"} <= answer.probabilities.keys()
    assert all(0 <= p <= 1 for p in answer.probabilities.values())
    assert all(f.present == (f.probability >= f.threshold) for f in answer.findings)
    sets = [s.prediction_set(f.probability) for s, f in zip(card.statements, answer.findings, strict=True)]
    assert [f.prediction_set for f in answer.findings] == sets
    assert answer.preprocessing_version == PREPROCESSING_VERSION
    assert answer.quality.grade in {"A", "B", "C"}
    assert len(answer.quality.leads) == 12
    assert answer.timing.hops.keys() == {"preprocessor", "triton"}
    assert not answer.from_cache
    assert (answer.recording.format, answer.recording.sampling_rate) == ("dicom", 1000)
    assert answer.window_starts == (0.0,)


def test_the_signal_comes_back_as_recorded(answer: Analysis, microvolts: np.ndarray) -> None:
    assert answer.signal is not None
    assert np.abs(answer.signal.millivolts - microvolts / 1000).max() < 1e-6


def test_the_default_model_answers_when_none_is_named(client: Client, answer: Analysis) -> None:
    (default,) = [info for info in client.models() if info.is_default]
    assert answer.model == default.model


def test_every_published_model_answers(client: Client, ecg_file: Path) -> None:
    for info in client.models():
        assert info.ready
        result = client.analyze(file=ecg_file, model=info.model.name)
        assert result.model == info.model
        assert result.probabilities["NORM"] > 0.5  # a healthy 42-year-old, by the cart's own reading


@pytest.mark.parametrize("unit", ["uV", "mV"])
@pytest.mark.parametrize("order", [1, -1])
def test_the_same_signal_as_plain_numbers_gives_the_same_answer(
    client: Client, answer: Analysis, microvolts: np.ndarray, unit: str, order: int
) -> None:
    leads = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"][::order]
    signal = (microvolts if unit == "uV" else microvolts / 1000)[::order]
    result = client.analyze(signal=signal, sampling_rate=1000, leads=leads, unit=unit, bypass_cache=True)
    assert result.signal_hash == answer.signal_hash
    assert result.probabilities == pytest.approx(answer.probabilities, abs=1e-5)


def test_the_second_time_it_comes_from_the_cache_and_says_so(client: Client, microvolts: np.ndarray) -> None:
    shifted = np.roll(microvolts, 100, axis=1)
    first = client.analyze(signal=shifted, sampling_rate=1000, unit="uV")
    second = client.analyze(signal=shifted, sampling_rate=1000, unit="uV")
    other_container = client.analyze(signal=shifted / 1000, sampling_rate=1000, unit="mV")
    other_model = client.analyze(signal=shifted, sampling_rate=1000, unit="uV", model="edge_optimized")
    assert [r.from_cache for r in (first, second, other_container, other_model)] == [False, True, True, False]
    assert second.result_id == other_container.result_id == first.result_id
    assert second.probabilities == first.probabilities
    assert second.quality == first.quality
    assert second.computed_at == first.computed_at
    assert set(second.timing.hops) == {"cache"}


def test_where_the_patient_is_seen_makes_an_answer_of_its_own(client: Client, microvolts: np.ndarray) -> None:
    asked: RecordingArguments = {"signal": np.roll(microvolts, 300, axis=1), "sampling_rate": 1000, "unit": "uV"}
    plain = client.analyze(**asked)
    urgent = client.analyze(**asked, setting="emergency")
    assert (urgent.result_id != plain.result_id, urgent.from_cache) == (True, False)
    assert urgent.probabilities == plain.probabilities
    assert plain.decision is not None
    assert urgent.decision is not None
    assert (plain.decision.setting, urgent.decision.setting) == ("", "emergency")
    for before, after in zip(plain.findings, urgent.findings, strict=True):
        assert after.base_threshold == before.threshold
        assert (after.threshold < before.threshold) == (after.urgency == "urgent") == bool(after.shifts)
    kept = client.result(urgent.result_id)
    assert (kept.findings, kept.decision) == (urgent.findings, urgent.decision)


def test_a_result_can_be_fetched_again_and_says_that_it_is_old(client: Client, microvolts: np.ndarray) -> None:
    first = client.analyze(signal=np.roll(microvolts, 200, axis=1), sampling_rate=1000, unit="uV")
    again = client.result(first.result_id)
    assert again.from_cache
    assert (again.result_id, again.probabilities) == (first.result_id, first.probabilities)
    with pytest.raises(NotFound):
        client.result("no-such-result")


def test_the_card_is_served_byte_for_byte(client: Client, answer: Analysis) -> None:
    file = ROOT / "model_repository" / answer.model.name / str(answer.model.version) / "card.json"
    assert client.model_card() == file.read_bytes()
    with pytest.raises(NotFound, match="there are"):
        client.model_card("no_such_model")
    with pytest.raises(NotFound, match="no such version"):
        client.model_card(model_version=99)


def test_longer_recordings_are_windowed(client: Client, microvolts: np.ndarray) -> None:
    twice = np.concatenate([microvolts, microvolts], axis=1)
    result = client.analyze(signal=twice, sampling_rate=1000, unit="uV", bypass_cache=True)
    assert result.window_starts == (0.0, 10.0)


def test_an_explanation_is_of_the_very_prediction(client: Client, ecg_file: Path, answer: Analysis) -> None:
    kept = client.analyze(file=ecg_file)
    why = client.explain(["NORM", "MI"], file=ecg_file, result_id=kept.result_id, methods=["gradient_x_input"])
    parts = why.attributions
    assert [part.finding_code for part in parts] == ["NORM", "MI"]
    for part in parts:
        assert (part.model, part.tensor_hash) == (answer.model, answer.tensor_hash)
        assert part.probability == pytest.approx(answer.probabilities[part.finding_code], abs=1e-3)
        assert part.prediction_gap < 1e-3
        assert part.values.shape == (1, 12, 1000)
        assert np.abs(part.values).max() > 0
        assert sum(part.lead_shares.values()) == pytest.approx(1.0)
    assert not np.array_equal(parts[0].values, parts[1].values)


def test_a_result_is_explained_by_its_id_alone_for_a_moment(client: Client, microvolts: np.ndarray) -> None:
    fresh = np.roll(microvolts, 70, axis=1)
    kept = client.analyze(signal=fresh, sampling_rate=1000, unit="uV")
    methods = ["rules", "gradient_x_input"]
    by_id = client.explain("MI", result_id=kept.result_id, methods=methods)
    again = client.explain("MI", signal=fresh, sampling_rate=1000, unit="uV", methods=methods)
    assert by_id.missing == ()
    assert by_id.rules is not None
    assert again.rules is not None
    assert [rule.state for rule in by_id.rules.rules] == [rule.state for rule in again.rules.rules]
    assert {rule.state for rule in by_id.rules.rules} > {"not_evaluable"}  # it was measured for the rules
    assert by_id.attributions[0].tensor_hash == kept.tensor_hash
    unkept = client.analyze(signal=fresh, sampling_rate=1000, unit="uV", bypass_cache=True)
    with pytest.raises(InvalidRequest, match="send it again"):
        client.explain("MI", result_id=unkept.result_id)


def test_an_explanation_of_another_recording_is_refused(client: Client, ecg_file: Path, microvolts: np.ndarray) -> None:
    kept = client.analyze(file=ecg_file)
    with pytest.raises(ResultMismatch):
        client.explain(
            "MI", signal=np.roll(microvolts, 50, axis=1), sampling_rate=1000, unit="uV", result_id=kept.result_id
        )
    with pytest.raises(ResultMismatch):
        client.explain("MI", file=ecg_file, result_id=kept.result_id, model="edge_optimized")
    with pytest.raises(InvalidRequest, match=r"finding_codes\[0\]"):
        client.explain("XYZ", file=ecg_file)


async def test_concurrent_answers_equal_single_ones_and_triton_batches(
    client: Client, addresses: Addresses, microvolts: np.ndarray
) -> None:
    signals = [np.roll(microvolts, 37 * i, axis=1) for i in range(100)]
    single = [client.analyze(signal=s, sampling_rate=1000, unit="uV", bypass_cache=True) for s in signals]
    before = await batches(addresses)
    async with AsyncClient(addresses.gateway) as many:
        together = await asyncio.gather(
            *(many.analyze(signal=s, sampling_rate=1000, unit="uV", bypass_cache=True) for s in signals)
        )
    after = await batches(addresses)
    for one, other in zip(single, together, strict=True):
        assert other.signal_hash == one.signal_hash
        assert other.probabilities == pytest.approx(one.probabilities, abs=1e-4)
    grown = {size: count - before.get(size, 0) for size, count in after.items()}
    assert any(size > 1 and count > 0 for size, count in grown.items()), grown


async def test_identical_requests_at_once_are_computed_once(addresses: Addresses, microvolts: np.ndarray) -> None:
    asked = np.roll(microvolts, 333, axis=1)
    async with AsyncClient(addresses.gateway) as many:
        results = await asyncio.gather(*(many.analyze(signal=asked, sampling_rate=1000, unit="uV") for _ in range(20)))
    assert len({result.result_id for result in results}) == 1
    assert [result.from_cache for result in results].count(False) == 1


async def batches(addresses: Addresses) -> dict[int, int]:
    """Executions per batch size, as Triton counts them."""
    url = f"http://{addresses.triton_http}/v2/models/hybrid_mobile/stats"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        statistics = await answer.json()
    rows = [row for model in statistics["model_stats"] for row in model.get("batch_stats", [])]
    return {row["batch_size"]: row["compute_infer"]["count"] for row in rows}


async def test_the_operations_port_answers(addresses: Addresses) -> None:
    async with aiohttp.ClientSession(f"http://{addresses.http}") as http:
        for path, expected in (("/healthz", b"alive"), ("/readyz", b"true"), ("/metrics", b"cardiomesh_rpc_duration")):
            async with http.get(path) as response:
                assert response.status == 200
                assert expected in await response.read()


def test_measurements_come_when_asked_for_and_only_then(client: Client, ecg_file: Path) -> None:
    plain = client.analyze(file=ecg_file)
    measured = client.analyze(file=ecg_file, measure=True)
    again = client.analyze(file=ecg_file, measure=True)
    assert plain.measurements == ()
    assert client.analyze(file=ecg_file).measurements == ()
    assert again.from_cache
    assert again.measurements == measured.measurements
    rate = measured.measurement("rhythm.heart_rate")
    assert (rate.status, rate.unit, rate.loinc) == ("measured", "/min", "8867-4")
    assert rate.value == pytest.approx(61, abs=2)  # as the cart itself wrote into the file
    assert measured.measurement("lead.r", "V5").unit == "mV"
    with pytest.raises(KeyError):
        measured.measurement("rhythm.no_such_thing")
    for found in measured.measurements:
        assert (found.value is None) == (found.status != "measured")
        assert (found.reason == "") == (found.status == "measured")
