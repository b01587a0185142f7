"""Distillation by soft targets: a teacher's probabilities per recording, blended with the cardiologists' labels.

The teacher's probabilities are cross-fitted: each recording's come from networks that never saw it (nor its
patient), because a teacher that has memorised its training set has nothing to teach about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.errors import DataError
from export.training.labels import LabelSpace
from export.training.ptbxl import Records

__all__ = ["blend", "read_teacher", "write_teacher"]

FloatArray = npt.NDArray[np.float32]


def write_teacher(
    path: Path, ecg_id: npt.NDArray[np.int64], space: LabelSpace, probabilities: dict[str, FloatArray]
) -> None:
    """Store ``probabilities`` [N, classes] per head with the ids and classes they belong to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"p_{name}": probabilities[name] for name in space.heads}
    classes = {f"c_{name}": np.array(codes) for name, codes in space.heads.items()}
    named: dict[str, Any] = {"ecg_id": ecg_id, **arrays, **classes}
    np.savez_compressed(path, **named)


def read_teacher(path: Path, records: Records, space: LabelSpace) -> dict[str, FloatArray]:
    """The teacher's probabilities in the order of ``records``."""
    with np.load(path) as stored:
        row = {int(i): k for k, i in enumerate(stored["ecg_id"])}
        wanted = [int(i) for i in records.table["ecg_id"]]
        absent = [i for i in wanted if i not in row]
        if absent:
            raise DataError(f"{path} holds no probabilities for {len(absent)} records, e.g. {absent[0]}")
        order = np.array([row[i] for i in wanted])
        for name, codes in space.heads.items():
            if tuple(stored[f"c_{name}"]) != codes:
                raise DataError(f"{path} was made for other classes of the head {name}")
        return {name: stored[f"p_{name}"][order].astype(np.float32) for name in space.heads}


def blend(
    truth: dict[str, FloatArray], records: Records, space: LabelSpace, teacher: Path | None, weight: float
) -> dict[str, FloatArray]:
    """(1 - weight) · labels + weight · teacher, for the served heads."""
    if teacher is None:
        return truth
    soft = read_teacher(teacher, records, space)
    return truth | {name: (1 - weight) * truth[name] + weight * soft[name] for name in space.heads}
