"""Does the model serve everybody alike? The superclass figures by sex, age, device and noted noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from export.validation.metrics import Interval, bootstrap, class_figures, macro_auc

__all__ = ["Subgroup", "subgroups"]

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

_AGE_EDGES: Final = (40, 60, 80)
#: Groups with fewer recordings are counted and not judged.
_ENOUGH: Final = 20
#: A class counts in a group with at least so many recordings of either outcome.
_ENOUGH_OUTCOMES: Final = 5
#: Devices with fewer recordings are taken together.
_ENOUGH_OF_A_DEVICE: Final = 25
_NOISE_NOTES: Final = ("static_noise", "burst_noise", "baseline_drift", "electrodes_problems")
_DRAWS: Final = 300


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Means over the superclasses that have both outcomes in the group; nothing where there are too few records."""

    by: str
    group: str
    records: int
    classes: int = 0
    macro_auc: Interval | None = None
    sensitivity: float | None = None
    specificity: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "by": self.by,
            "group": self.group,
            "records": self.records,
            "classes": self.classes,
            "macro_auc": self.macro_auc.as_dict() if self.macro_auc else None,
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
        }


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, str, Mask]]:
    sex, age = table["sex"].to_numpy(), table["age"].to_numpy(dtype=np.float64)
    yield "sex", "male", sex == 0
    yield "sex", "female", sex == 1
    edges = (0, *_AGE_EDGES, np.inf)
    for low, high in pairwise(edges):
        name = f"under {high}" if not low else f"{low} and older" if high == np.inf else f"{low}-{high - 1}"
        yield "age", name, (age >= low) & (age < high)
    if np.isnan(age).any():
        yield "age", "not known", np.isnan(age)
    if "device" in table:
        device = table["device"].fillna("not known").astype(str).str.split().str.join(" ")
        counts = device.value_counts()
        common = [str(name) for name, count in counts.items() if count >= _ENOUGH_OF_A_DEVICE]
        for name in common:
            yield "device", name, (device == name).to_numpy()
        if len(common) < len(counts):
            yield "device", "others", (~device.isin(common)).to_numpy()
    notes = [column for column in _NOISE_NOTES if column in table]
    if notes:
        noted = table[notes].notna().any(axis=1).to_numpy()
        yield "noise", "noted by the archive", noted
        yield "noise", "none noted", ~noted


def subgroups(
    table: pd.DataFrame, truth: Array, score: Array, called: Mask, patients: npt.NDArray[Any]
) -> list[Subgroup]:
    """One row per group from the superclass columns [N, classes]; ``table`` is that of ``Records``."""
    rows = []
    for by, group, mask in _groups(table):
        y = truth[mask]
        positive = y.sum(axis=0)
        columns = np.flatnonzero((positive >= _ENOUGH_OUTCOMES) & (len(y) - positive >= _ENOUGH_OUTCOMES))
        if len(y) < _ENOUGH or not len(columns):
            rows.append(Subgroup(by, group, len(y)))
            continue
        y, p, c = y[:, columns], score[mask][:, columns], called[mask][:, columns]
        figures = np.nanmean(class_figures(y, p, c, np.ones(len(columns))), axis=0)
        interval = bootstrap(macro_auc, y, p, patients[mask], _DRAWS)
        rows.append(Subgroup(by, group, len(y), len(columns), interval, round(figures[2], 4), round(figures[3], 4)))
    return rows
