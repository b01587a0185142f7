"""Against the cardiologists: twenty records of LUDB, each by the weights that were trained without it.

The bounds are a little looser than what ``benchmarks/delineation.py`` measures; they hold off a step back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("wfdb")

from benchmarks.delineation import FOLDS, RecordErrors, Score, add_record, load, marks_of
from cardiomesh.ecg.delineation import delineate
from cardiomesh.ecg.delineation.network import Segmenter

pytestmark = pytest.mark.ptbxl


@pytest.fixture(scope="module")
def scored(data_dir: Path) -> tuple[dict[str, Score], RecordErrors]:
    if not (data_dir / "ludb").is_dir():
        pytest.skip("needs the LUDB records 1-100 beside ptbxl/")
    scores, errors = {wave: Score() for wave in ("P", "QRS", "T")}, RecordErrors()
    folds = [Segmenter((FOLDS / f"fold{fold}.onnx").read_bytes()) for fold in range(5)]
    for truth in load(data_dir / "ludb", range(1, 21)):
        d = delineate(truth.millivolts, truth.rate, segmenter=folds[(truth.number - 1) % 5])
        add_record(scores, truth, marks_of(d))
        errors.add(truth, d)
    return scores, errors


@pytest.mark.parametrize(("wave", "least"), [("P", 0.97), ("QRS", 0.995), ("T", 0.975)])
def test_waves_are_found(scored: tuple[dict[str, Score], RecordErrors], wave: str, least: float) -> None:
    score = scored[0][wave]
    assert score.sensitivity >= least
    assert score.precision >= max(least, 0.97)


@pytest.mark.parametrize(
    ("wave", "mark", "bias", "spread"),
    [
        ("P", "onset", 5.0, 18.0),
        ("P", "offset", 5.0, 16.0),
        ("QRS", "onset", 4.0, 11.0),
        ("QRS", "offset", 4.0, 12.0),
        ("T", "offset", 6.0, 28.0),
    ],
)
def test_marks_are_where_the_cardiologists_put_them(
    scored: tuple[dict[str, Score], RecordErrors], wave: str, mark: str, bias: float, spread: float
) -> None:
    errors = np.array(scored[0][wave].errors[mark])
    assert abs(errors.mean()) < bias
    assert errors.std() < spread


@pytest.mark.parametrize(("interval", "most"), [("PR", 7.0), ("QRS", 11.0), ("QT", 16.0)])
def test_intervals_agree(scored: tuple[dict[str, Score], RecordErrors], interval: str, most: float) -> None:
    for (name, _), errors in scored[1].intervals.items():
        if name == interval:
            assert np.abs(errors).mean() < most


def test_heart_rate_agrees(scored: tuple[dict[str, Score], RecordErrors]) -> None:
    assert (np.abs(scored[1].heart_rate) < 1).mean() >= 0.95
