from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.errors import DataError
from export.training.labels import build_label_space, targets
from export.training.ptbxl import Records
from export.training.teacher import blend, read_teacher, write_teacher


def test_probabilities_find_their_recordings_in_any_order(records: Records, tmp_path: Path) -> None:
    space = build_label_space(records)
    truth = targets(records, space)
    order = np.random.default_rng(1).permutation(len(records))
    soft = {name: np.full_like(truth[name], 0.25) for name in space.heads}
    soft["statements"][:, 0] = np.arange(len(records)) / 1000
    ids = records.table["ecg_id"].to_numpy()
    path = tmp_path / "teacher.npz"
    write_teacher(path, ids[order], space, {name: value[order] for name, value in soft.items()})
    read = read_teacher(path, records, space)
    np.testing.assert_allclose(read["statements"], soft["statements"])
    mixed = blend(truth, records, space, path, 0.4)
    np.testing.assert_allclose(mixed["rhythm"], 0.6 * truth["rhythm"] + 0.1, rtol=1e-6)
    assert mixed["age"] is truth["age"]


def test_missing_recordings_and_other_classes_are_refused(records: Records, tmp_path: Path) -> None:
    space = build_label_space(records)
    truth = targets(records, space)
    path = tmp_path / "teacher.npz"
    served = {name: truth[name] for name in space.heads}
    write_teacher(path, records.table["ecg_id"].to_numpy()[:-1], space, {n: v[:-1] for n, v in served.items()})
    with pytest.raises(DataError, match="1 records"):
        read_teacher(path, records, space)
    write_teacher(path, records.table["ecg_id"].to_numpy(), space, served)
    other = build_label_space(records.select((1, 2, 3, 4)))
    with pytest.raises(DataError, match="other classes"):
        read_teacher(path, records, other)
