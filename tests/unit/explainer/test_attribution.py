"""Gradient × input, Grad-CAM and integrated gradients: exact on a linear model, and never of another model."""

from __future__ import annotations

import numpy as np
import pytest

from cardiomesh.cards import ModelCard
from cardiomesh.errors import CardioMeshError
from explainer.attribution import grad_cam, gradient_x_input
from explainer.integrated import integrated_gradients
from explainer.model import AttributionPass
from tests.cards import card_of
from tests.unit.explainer.linear import LinearModel, case_of

RNG = np.random.default_rng(7)
WEIGHTS = RNG.standard_normal((2, 12, 1000)).astype(np.float32) / 100
ECG = RNG.standard_normal((3, 12, 1000)).astype(np.float32)
CARD = card_of("linear", attribution="linear_attribution")


async def test_contributions_add_up_to_the_logit_of_a_linear_model() -> None:
    case = await case_of(LinearModel(WEIGHTS), CARD, ECG)
    passed, gap = await case.first_pass()
    values = gradient_x_input(passed, ECG)
    logit = np.einsum("wls,ls->w", ECG, WEIGHTS[1]).mean()
    assert values.sum() == pytest.approx(logit, rel=1e-4)
    assert case.probability == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)
    assert gap == pytest.approx(0.0, abs=1e-12)


async def test_findings_are_explained_by_their_own_weights() -> None:
    case = await case_of(LinearModel(WEIGHTS), CARD, ECG, code="NORM")
    passed, _ = await case.first_pass()
    assert np.allclose(gradient_x_input(passed, ECG), WEIGHTS[0] * ECG / 3)


async def test_a_graph_that_predicts_something_else_explains_nothing() -> None:
    case = await case_of(LinearModel(WEIGHTS, drift=0.5), CARD, ECG)
    with pytest.raises(CardioMeshError, match="does not predict"):
        await case.first_pass()


def test_grad_cam_puts_each_frame_over_its_own_samples() -> None:
    cam = np.zeros((1, 50), np.float32)
    cam[0, 10] = 1.0
    found = grad_cam(AttributionPass(cam[:, :1], cam[:, :1], cam), 1000)
    assert found.shape == (1, 1, 1000)
    assert set(np.flatnonzero(found[0, 0] > 0.5)) <= set(range(200, 220))
    assert found.max() == pytest.approx(1.0, abs=0.03)


class Kinked(LinearModel):
    """relu(Σ w x − 1): flat at first, then straight, with a bend that no fixed grid hits."""

    async def logits(self, card: ModelCard, ecg: np.ndarray) -> np.ndarray:
        return np.maximum(await super().logits(card, ecg) - 1.0, 0.0)

    async def attribute(self, card: ModelCard, ecg: np.ndarray, target: np.ndarray) -> AttributionPass:
        passed = await super().attribute(card, ecg, target)
        above = (await super().logits(card, ecg) > 1.0).astype(np.float32)
        return AttributionPass(await self.logits(card, ecg), passed.gradient * above[:, 1, None, None], passed.cam)


async def test_integrated_gradients_find_the_bend_of_the_path() -> None:
    weights = np.abs(WEIGHTS) / 10
    ecg = np.abs(ECG[:1])
    case = await case_of(Kinked(weights), CARD, ecg)
    found = await integrated_gradients(case)
    change = float((await case.logits(ecg[None]))[0])
    assert change > 1
    assert found.completeness_error <= 0.01
    assert found.values.sum(dtype=np.float64) == pytest.approx(change, rel=0.01)
    assert np.allclose(
        found.values / (weights[1] * ecg[0]), found.values.sum() / (weights[1] * ecg[0]).sum(), rtol=1e-3
    )
