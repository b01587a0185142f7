"""The harness itself: shuffled weights are shuffled, plants lie where they say, gates decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from cardiomesh.cards import CardStore, ModelCard
from cardiomesh.ecg.conditioning import condition
from cardiomesh.ecg.leads import STANDARD_LEADS
from explainer.counterfactual import lead_error
from explainer.evaluation.gates import verdicts_of
from explainer.evaluation.inprocess import STAGES, InProcessModel
from explainer.evaluation.planted import PLANTS, Plant, planted
from explainer.evaluation.run import Found
from explainer.segments import SEGMENTS, segment
from tests.conftest import ROOT

REPOSITORY = ROOT / "model_repository"


@pytest.fixture(scope="module")
def card() -> ModelCard:
    found = CardStore(REPOSITORY).get("edge_optimized", 1)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def ecg(ecg_file: Path) -> np.ndarray:
    return condition(pydicom.dcmread(ecg_file).waveform_array(0).T / 1000.0, 1000.0)[None]


async def test_each_stage_of_the_cascade_changes_what_is_predicted(card: ModelCard, ecg: np.ndarray) -> None:
    trained = await InProcessModel(REPOSITORY, card).predict(card, ecg)
    seen = [trained]
    for k in range(len(STAGES)):
        logits = await InProcessModel(REPOSITORY, card, STAGES[: k + 1], seed=1).predict(card, ecg)
        assert all(np.abs(logits - other).max() > 0.05 for other in seen)
        seen.append(logits)


async def test_a_shuffled_model_has_a_gradient_of_its_own(card: ModelCard, ecg: np.ndarray) -> None:
    """Of its own weights, the copies that the exporter stored for the backward pass too: a small step agrees."""
    model = InProcessModel(REPOSITORY, card, STAGES, seed=1)
    target = np.zeros((1, len(card.statements)), np.float32)
    target[0, 1] = 1.0
    passed = await model.attribute(card, ecg, target)
    step = passed.gradient / np.linalg.norm(passed.gradient) * 1e-2
    ahead, behind = [(await model.predict(card, ecg + sign * step))[0, 1] for sign in (1, -1)]
    assert (ahead - behind) / 2e-2 == pytest.approx(np.linalg.norm(passed.gradient), rel=0.1)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_lies_where_it_says_and_keeps_the_lead_relations(plant: Plant, ecg: np.ndarray) -> None:
    s = segment(ecg, 100.0)
    exact = ecg.copy()
    one, two = exact[0, 0], exact[0, 1]
    exact[0, 2:6] = np.stack([two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    changed = planted(plant, exact[0], s.delineations[0])
    assert lead_error(changed[None]) < 1e-3
    energy = (changed - exact[0]) ** 2
    inside = np.isin(s.labels[0], [SEGMENTS.index(name) for name in plant.segments])
    rows = [STANDARD_LEADS.index(lead) for lead in plant.leads]
    assert energy[rows][:, inside].sum() > 0.8 * energy.sum() > 0


def test_a_method_is_on_when_every_gate_is_passed() -> None:
    found = Found()
    for k in range(20):
        found.add("lime", "rank_features", (-1) ** k * 0.3)
        found.add("lime", "deletion_below_random", 0.5 + k / 100)
        found.add("lime", "pointing", 1.0)
        found.add("lime", "self_consistency", 0.9)
        found.add("lime", "r2", 0.9)
        found.add("lime", "top5_jaccard", 0.9)
    assert not verdicts_of(found)["lime"].failed
    for _ in range(3):
        found.add("lime", "pointing", 0.0)
    assert [gate.name for gate in verdicts_of(found)["lime"].failed] == ["pointing"]
    assert verdicts_of(found)["grad_cam"].failed  # what was not measured passes nothing
