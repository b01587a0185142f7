"""A version that answers differently than it did is found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh.client import Model
from cardiomesh.errors import InvalidRequest
from cardiomesh.watch import RATE_HZ, Baseline, known_ecg


@dataclass
class Answer:
    probabilities: dict[str, float]
    model: Model = field(default_factory=lambda: Model("m", 1, "digest"))


def compare(baseline: Baseline, answer: Any) -> str:
    return baseline.compare(answer)


def test_the_first_answer_is_learnt_and_the_next_compared(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    assert compare(Baseline(file), Answer({"MI": 0.5})) == ""
    again = Baseline(file)
    assert compare(again, Answer({"MI": 0.5019})) == ""
    assert "MI was 0.5000 and is 0.5021" in compare(again, Answer({"MI": 0.5021}))
    assert "other findings" in compare(again, Answer({"STTC": 0.5}))
    assert compare(again, Answer({"MI": 0.9}, Model("m", 2, "other"))) == ""


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("{")
    with pytest.raises(InvalidRequest, match="not a baseline"):
        Baseline(tmp_path / "b")


def test_the_known_ecg_is_the_same_everywhere_and_obeys_einthoven() -> None:
    ecg = known_ecg()
    assert ecg.shape == (12, 10 * RATE_HZ)
    assert np.array_equal(ecg, known_ecg())
    assert np.abs(ecg[0] + ecg[2] - ecg[1]).max() < 0.1  # but for the noise
