from __future__ import annotations

import numpy as np
import pytest

from export.calibration.conformal import LEVEL, conformal_limits


def _drawn(random: np.random.Generator, positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    y = np.r_[np.ones(positives), np.zeros(negatives)]
    return 1 / (1 + np.exp(-(random.normal(0, 1, len(y)) + 2 * y - 2))), y


def test_coverage_of_either_outcome_is_what_was_asked_for() -> None:
    random = np.random.default_rng(1)
    present, absent = [], []
    for _ in range(400):
        limits = conformal_limits(*_drawn(random, 39, 199))
        p, y = _drawn(random, 200, 200)
        present.append((p[y == 1] >= limits.present_from).mean())
        absent.append((p[y == 0] <= limits.absent_to).mean())
    # 39 and 199 give whole ranks, for which the coverage is exact in the mean.
    assert np.mean(present) == pytest.approx(LEVEL, abs=0.01)
    assert np.mean(absent) == pytest.approx(LEVEL, abs=0.01)


@pytest.mark.parametrize(("positives", "can"), [(8, False), (9, True)])
def test_presence_can_be_ruled_out_from_nine_positives_on(positives: int, can: bool) -> None:
    limits = conformal_limits(*_drawn(np.random.default_rng(2), positives, 100))
    assert (limits.present_from > 0) is can


def test_without_an_outcome_nothing_is_ruled_out() -> None:
    p = np.linspace(0, 1, 50)
    assert conformal_limits(p, np.zeros(50)).present_from == 0.0
    assert conformal_limits(p, np.ones(50)).absent_to == 1.0


def test_the_record_that_sets_a_limit_stays_inside_it() -> None:
    p, y = _drawn(np.random.default_rng(3), 30, 70)
    limits = conformal_limits(p, y)
    assert (p[y == 1] >= limits.present_from).sum() == 30 - 2
    assert (p[y == 0] <= limits.absent_to).sum() == 64
