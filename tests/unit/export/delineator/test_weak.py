"""What a rhythm statement says about P waves becomes labels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pandas")

from cardiomesh.ecg.delineation.network import shipped
from export.delineator import weak
from export.delineator.data import IGNORED, Example
from tests.unit.cardiomesh.ecg.delineation.synthetic import TIMES, ecg

P = 1


@pytest.mark.parametrize(
    ("codes", "group"),
    [
        (("NORM", "SR"), "sinus"),
        (("SR", "CLBBB"), "wide"),
        (("STACH", "1AVB"), "block"),
        (("STACH",), "fast"),
        (("AFIB", "PVC"), "fibrillation"),
        (("AFLT",), "fibrillation"),
        (("AFIB", "SR"), None),  # both: nobody knows
        (("SR", "PACE"), None),
        (("SR", "2AVB"), None),
        (("NORM",), None),
    ],
)
def test_only_clear_rhythms_are_used(codes: tuple[str, ...], group: str | None) -> None:
    assert weak.group_of(codes) == group


def test_the_groups_share_the_draw() -> None:
    assert sum(weak.GROUPS.values()) == pytest.approx(1)


def _labelled(group: str, p: float = 1.0) -> tuple[Example, np.ndarray]:
    known = ecg(p=p)
    rhythms = {name: [(7, known.millivolts)] if name == group else [] for name in weak.GROUPS}
    (example,) = weak.labelled(rhythms, shipped())[group]
    assert example.number == 7
    return example, known.qrs_onset / 2  # at 250 Hz


def test_in_sinus_rhythm_there_is_a_p_wave_before_every_regular_beat() -> None:
    example, onset = _labelled("sinus")
    begin, end = (TIMES[0] * 250).tolist()
    for start in onset[1:]:
        inside = example.labels[:, round(start + begin) + 5 : round(start + end) - 5]
        assert (inside == P).mean() > 0.8
        assert ((inside == P) | (inside == IGNORED)).mean() > 0.95


def test_a_p_wave_too_faint_to_be_placed_teaches_nothing() -> None:
    example, onset = _labelled("sinus", p=0.0)
    for start in onset[1:]:
        before = example.labels[:, round(start) - 40 : round(start) - 12]
        assert (before == IGNORED).all() or (before == P).any()


def test_in_fibrillation_there_is_none() -> None:
    example, _ = _labelled("fibrillation")
    assert not (example.labels == P).any()
    assert (example.labels != IGNORED).mean() > 0.7
