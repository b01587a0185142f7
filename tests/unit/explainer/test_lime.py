"""Segment LIME: exact on an additive model, honest on one that is not, and a replaced wave leaves no hole."""

from __future__ import annotations

import numpy as np
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from explainer.lime import design, features_of, fit, lime, masks_of, perturbed
from explainer.segments import SEGMENTS, Segmentation
from tests.cards import card_of
from tests.unit.explainer.linear import LinearModel, case_of

RNG = np.random.default_rng(3)
CARD = card_of("linear", attribution="linear_attribution")


def beats() -> tuple[np.ndarray, Segmentation]:
    """Ten seconds of made-up beats of 100 samples, and where their segments lie."""
    labels = np.full(100, SEGMENTS.index("TP"), np.int8)
    for name, start, stop in (("P", 10, 20), ("PR", 20, 25), ("QRS", 25, 35), ("ST", 35, 45), ("T", 45, 65)):
        labels[start:stop] = SEGMENTS.index(name)
    ecg = RNG.standard_normal((1, 12, 1000)).astype(np.float32)
    baseline = np.full_like(ecg, 0.1)
    return ecg, Segmentation(np.tile(labels, 10)[None], baseline, ())


async def test_an_additive_model_is_recovered_exactly() -> None:
    ecg, segmentation = beats()
    weights = RNG.standard_normal((2, 12, 1000)).astype(np.float32) / 50
    case = await case_of(LinearModel(weights), CARD, ecg, segmentation)
    found = await lime(case, perturbations=96)
    masks = masks_of(found.features, segmentation, STANDARD_LEADS)
    nothing = np.ones((1, len(found.features)), dtype=bool)
    for k in range(len(found.features)):
        kept = nothing.copy()
        kept[0, k] = False
        lost = (await case.logits(ecg[None])) - (await case.logits(perturbed(case, masks, kept)))
        assert found.weights[k] == pytest.approx(float(lost[0]), abs=0.02 * np.abs(found.weights).max())
    assert found.r2 > 0.999
    assert found.top5_jaccard == 1.0


async def test_a_model_of_interactions_has_a_low_r2() -> None:
    class Product(LinearModel):
        async def logits(self, card: object, ecg: np.ndarray) -> np.ndarray:
            parity = np.sign(ecg[:, :, 25:35].sum(axis=2)).prod(axis=1)
            return np.stack([parity, parity], axis=1).astype(np.float32)

    ecg, segmentation = beats()
    case = await case_of(Product(np.zeros((2, 12, 1000), np.float32)), CARD, ecg, segmentation)
    assert (await lime(case, perturbations=96)).r2 < 0.7


async def test_a_replaced_wave_lies_on_the_reference_and_the_rest_is_untouched() -> None:
    ecg, segmentation = beats()
    case = await case_of(LinearModel(np.zeros((2, 12, 1000), np.float32)), CARD, ecg, segmentation)
    features = features_of(segmentation, STANDARD_LEADS)
    (k,) = [i for i, f in enumerate(features) if (f.segment, f.territory.name) == ("T", "anterior")]
    kept = np.ones((1, len(features)), dtype=bool)
    kept[0, k] = False
    changed = perturbed(case, masks_of(features, segmentation, STANDARD_LEADS), kept)[0, 0]
    v3, v1 = STANDARD_LEADS.index("V3"), STANDARD_LEADS.index("V1")
    assert changed[v3, 47:63] == pytest.approx(0.1)
    assert np.array_equal(changed[v3, :43], ecg[0, v3, :43])
    assert np.array_equal(changed[v1], ecg[0, v1])


async def test_avr_follows_i_and_ii() -> None:
    ecg, segmentation = beats()
    one, two, right = (STANDARD_LEADS.index(lead) for lead in ("I", "II", "aVR"))
    ecg[:, right] = -(ecg[:, one] + ecg[:, two]) / 2
    case = await case_of(LinearModel(np.zeros((2, 12, 1000), np.float32)), CARD, ecg, segmentation)
    features = features_of(segmentation, STANDARD_LEADS)
    kept = design(8, len(features), np.random.default_rng(0))
    changed = perturbed(case, masks_of(features, segmentation, STANDARD_LEADS), kept)
    assert changed[:, :, right] == pytest.approx(-(changed[:, :, one] + changed[:, :, two]) / 2, abs=1e-6)


def test_every_feature_is_replaced_equally_often() -> None:
    kept = design(50, 7, np.random.default_rng(1))
    assert ((~kept).sum(axis=0) == 10).all()


def test_a_model_that_never_changes_rests_on_nothing() -> None:
    weights, r2 = fit(design(40, 5, np.random.default_rng(0)), np.full(40, 2.0))
    assert np.abs(weights).max() == pytest.approx(0.0, abs=1e-12)
    assert r2 == 1.0
