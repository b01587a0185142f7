"""Augmentation keeps signals and labels together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("wfdb")

from export.delineator.data import IGNORED, Example, augmented

P, QRS, T = 1, 2, 3
RR = 220


def example() -> Example:
    """Ten beats of boxes: each wave has its own height, so that a label can be read off the signal."""
    labels = np.zeros((12, 2500), dtype=np.int8)
    for start in range(100, 2400, RR):
        for first, last, kind in ((-40, -15, P), (0, 24, QRS), (50, 95, T)):
            labels[:, start + first : start + last] = kind
    return Example(1, labels.astype(np.float32) * 2, labels)


def test_sometimes_a_beat_is_missing_and_its_p_wave_is_left() -> None:
    rng = np.random.default_rng(2)
    alone = 0
    for _ in range(60):
        _, labels = augmented(example(), 1280, rng)
        row = labels[(labels != IGNORED).all(axis=1)][0]
        waves = row[np.flatnonzero(np.diff(row, prepend=0))]
        order = waves[waves > 0].tolist()
        alone += any(a == b == P for a, b in pairwise(order))
    assert 4 < alone < 30


def test_a_lost_lead_teaches_nothing() -> None:
    rng = np.random.default_rng(3)
    lost = 0
    for _ in range(30):
        ecg, labels = augmented(example(), 1280, rng)
        flat = (ecg == 0).all(axis=1)
        assert (labels[flat] == IGNORED).all()
        lost += int(flat.sum())
    assert lost
