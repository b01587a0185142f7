"""Counterfactuals: minimal on a linear model, exact in the lead relations, and silent where no beat can answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.cards import ModelCard, StatementKind
from cardiomesh.ecg.conditioning import condition
from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from explainer.beat_basis import beat_basis, learn, save
from explainer.counterfactual import counterfactual, lead_error
from explainer.remeasure import moved
from explainer.segments import Segmentation, segment
from explainer.withheld import Withheld
from tests.cards import card_of
from tests.unit.explainer.linear import LinearModel, case_of

CARD = card_of("linear", attribution="linear_attribution")


@pytest.fixture(scope="module")
def heart(ecg_file: Path) -> tuple[np.ndarray, Segmentation]:
    """The real sample ECG as the model's tensor, and its segments."""
    millivolts = pydicom.dcmread(ecg_file).waveform_array(0).T / 1000.0
    ecg = condition(millivolts, 1000.0)[None]
    return ecg, segment(ecg, 100.0)


def r_wave_model(ecg: np.ndarray, segmentation: Segmentation, bias: float) -> LinearModel:
    """Counts the millivolts of V5 inside QRS complexes."""
    weights = np.zeros((2, 12, 1000), np.float32)
    weights[1, STANDARD_LEADS.index("V5")] = (segmentation.labels[0] == 2) * 0.2
    return LinearModel(weights, bias)


async def test_the_flip_is_reached_by_no_more_than_is_needed(heart: tuple[np.ndarray, Segmentation]) -> None:
    ecg, segmentation = heart
    model = r_wave_model(ecg, segmentation, 0.0)
    logit = float((await model.logits(CARD, ecg))[0, 1])
    model.bias = 0.5 - logit  # half a logit above the threshold of 0.5
    case = await case_of(model, CARD, ecg, segmentation)
    found = await counterfactual(case)
    assert found.found
    assert case.probability > 0.5 > found.probability > 0.44
    assert found.energy < 0.2
    assert found.plausibility <= 1.0


async def test_lead_relations_hold_to_a_microvolt(heart: tuple[np.ndarray, Segmentation]) -> None:
    ecg, segmentation = heart
    case = await case_of(r_wave_model(ecg, segmentation, -20.0), CARD, ecg, segmentation)
    found = await counterfactual(case)
    assert lead_error(found.ecg) < 1e-3
    assert lead_error(ecg + np.eye(12, 1000, dtype=np.float32)[None]) > 0.4


async def test_what_no_beat_can_flip_is_said_to_be_not_found(heart: tuple[np.ndarray, Segmentation]) -> None:
    ecg, segmentation = heart
    case = await case_of(LinearModel(np.zeros((2, 12, 1000), np.float32), 3.0), CARD, ecg, segmentation)
    found = await counterfactual(case)
    assert not found.found
    assert found.probability == pytest.approx(case.probability)


async def test_rhythms_and_single_beats_are_not_applicable(heart: tuple[np.ndarray, Segmentation]) -> None:
    ecg, segmentation = heart

    async def asked(card: ModelCard, code: str) -> int:
        weights = np.zeros((len(card.statements), 12, 1000), np.float32)
        with pytest.raises(Withheld) as why:
            await counterfactual(await case_of(LinearModel(weights), card, ecg, segmentation, code))
        return why.value.reason

    rhythm = card_of("linear", classes=("NORM", "AFIB"))
    statements = tuple(s.model_copy(update={"kind": StatementKind.RHYTHM}) for s in rhythm.heads[0].classes)
    rhythm = rhythm.model_copy(update={"heads": (rhythm.heads[0].model_copy(update={"classes": statements}),)})
    assert await asked(rhythm, "AFIB") == explainer_pb2.MISSING_REASON_NOT_APPLICABLE
    assert await asked(card_of("linear", classes=("NORM", "PVC")), "PVC") == explainer_pb2.MISSING_REASON_NOT_APPLICABLE
    softmax = card_of("linear", activation="softmax")
    assert await asked(softmax, "MI") == explainer_pb2.MISSING_REASON_UNSUPPORTED


async def test_the_measurements_that_moved_are_those_that_were_changed(heart: tuple[np.ndarray, Segmentation]) -> None:
    ecg, segmentation = heart
    taller = ecg.copy()
    v5 = STANDARD_LEADS.index("V5")
    taller[0, v5, segmentation.labels[0] == 2] *= 1.5
    found = moved(CARD, ecg, taller)
    assert found[0].lead == "V5"
    assert next(m for m in found if m.key == "lead.r").after > next(m for m in found if m.key == "lead.r").before
    assert moved(CARD, ecg, ecg) == ()


def test_a_basis_keeps_what_it_learnt(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    beats = rng.standard_normal((60, 8, 100)) * np.linspace(1.0, 0.1, 8)[:, None]
    basis = learn(beats, components=8)
    coordinates = np.stack([basis.coordinates(beat) for beat in beats])
    assert coordinates.std(axis=0) == pytest.approx(1.0)
    move = rng.standard_normal(8)
    shifted = beats[0] + basis.change(move)
    assert basis.coordinates(shifted) - basis.coordinates(beats[0]) == pytest.approx(move)
    save(basis, tmp_path / "basis.npz")
    assert (tmp_path / "basis.npz").stat().st_size > 0


def test_the_committed_basis_is_of_many_hearts() -> None:
    basis = beat_basis()
    assert basis.beats > 1000
    assert basis.explained > 0.9
    assert basis.mean.shape == (len(INDEPENDENT_LEADS) * 100,)
