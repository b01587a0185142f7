from __future__ import annotations

import numpy as np
import pytest

from cardiomesh.cards import Head
from export.calibration.heads import Judged, calibrated_heads, cross_fitted, judge
from export.calibration.logistic import sigmoid
from export.calibration.reliability import calibration_error
from export.training.labels import LabelSpace

SPACE = LabelSpace(
    heads={"statements": ("NORM", "MI", "STTC"), "rhythm": ("AFIB",)},
    auxiliary={},
    positives={"NORM": 500, "MI": 200, "STTC": 200, "AFIB": 100},
)


def _fold(count: int, seed: int = 1) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Overconfident logits of a fair model, each class shifted in its own way."""
    random = np.random.default_rng(seed)
    logits, truth = {}, {}
    for head, codes in SPACE.heads.items():
        true = random.normal(-1, 2, (count, len(codes)))
        truth[head] = (random.random(true.shape) < sigmoid(true)).astype(np.float32)
        logits[head] = (2 * true + np.arange(len(codes))).astype(np.float32)
    return logits, truth


@pytest.fixture(scope="module")
def heads() -> tuple[Head, ...]:
    logits, truth = _fold(400)
    return calibrated_heads(SPACE, logits, truth, np.arange(400), 2000)


def test_arrays_and_cards_say_the_same(heads: tuple[Head, ...]) -> None:
    logits, _ = _fold(5, seed=9)
    judged = judge(heads, logits)
    for n in range(5):
        said = [p for head in heads for p in head.probabilities(logits[head.output][n].tolist())]
        np.testing.assert_allclose(judged.probability[n], said, atol=1e-12)
        statements = [s for head in heads for s in head.classes]
        sets = [s.prediction_set(p) for s, p in zip(statements, said, strict=True)]
        flags = list(zip(judged.may_be_absent[n], judged.may_be_present[n], strict=True))
        names = {(True, False): "absent", (False, True): "present", (True, True): "both", (False, False): "none"}
        assert [str(s) for s in sets] == [names[bool(a), bool(b)] for a, b in flags]


def test_new_records_are_judged_honestly(heads: tuple[Head, ...]) -> None:
    logits, truth = _fold(4000, seed=2)
    judged = judge(heads, logits)
    y = np.concatenate(list(truth.values()), axis=1)
    assert calibration_error(sigmoid(np.concatenate(list(logits.values()), axis=1)), y) > 0.08
    assert calibration_error(judged.probability, y) < 0.03
    assert np.where(y > 0.5, judged.may_be_present, judged.may_be_absent).mean() == pytest.approx(0.9, abs=0.02)


def test_cross_fitting_never_shows_a_record_to_what_judges_it() -> None:
    logits, truth = _fold(60)
    patients = np.arange(60)
    before = cross_fitted(SPACE, logits, truth, patients, 2000)
    changed = {head: y.copy() for head, y in truth.items()}
    changed["statements"][7] = 1 - changed["statements"][7]
    after = cross_fitted(SPACE, logits, changed, patients, 2000)

    def row(judged: Judged, n: int) -> np.ndarray:
        return judged.probability[n]

    np.testing.assert_array_equal(row(before, 7), row(after, 7))
    assert any(not np.array_equal(row(before, n), row(after, n)) for n in range(60) if n != 7)
