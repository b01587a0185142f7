from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from export.errors import DataError
from export.training.labels import SUPERCLASSES, build_label_space, targets
from export.training.ptbxl import Records


def test_superclasses_come_first_then_the_frequent_statements(records: Records) -> None:
    space = build_label_space(records)
    assert space.heads["statements"][:5] == SUPERCLASSES
    assert space.heads["statements"][5:] == ("ABQRS", "IMI", "LAFB", "LVH", "NDT")
    assert space.heads["rhythm"] == ("SR",)
    assert space.positives["MI"] == 36


def test_rare_statements_are_taught_and_not_served(records: Records) -> None:
    few = records.select((1, 2, 3, 4))  # sixteen of each
    space = build_label_space(few)
    assert space.heads["statements"] == (*SUPERCLASSES, "ABQRS")
    assert space.auxiliary["rare"] == ("IMI", "LAFB", "LVH", "NDT")


def test_targets_hold_codes_and_their_superclasses(records: Records) -> None:
    space = build_label_space(records)
    y = targets(records, space)
    assert y["statements"].shape == (180, 10)
    row = dict(zip(space.heads["statements"], y["statements"][1], strict=True))  # IMI and ABQRS
    assert [code for code, value in row.items() if value] == ["MI", "ABQRS", "IMI"]
    assert Counter(y["statements"].sum(0)[:5].tolist()) == {36.0: 5}
    assert np.isnan(y["age"][0])
    assert y["sex"].shape == (180, 1)


def test_a_superclass_without_recordings_is_an_error(records: Records) -> None:
    only = records.table["codes"].map(lambda codes: "NORM" in codes).to_numpy()
    normal = Records(records.signals[only], records.table[only], records.statements, "normal")
    with pytest.raises(DataError, match="MI, STTC, CD, HYP"):
        build_label_space(normal)
