"""The figures of one model on one set of records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import ModelCard
from export.calibration.temperature import expected_calibration_error
from export.training.labels import SUPERCLASSES
from export.validation.metrics import bootstrap, class_report, macro_auc

__all__ = ["Evaluation", "evaluate"]

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Evaluation:
    """Summary figures with intervals, and one row per class."""

    summary: dict[str, dict[str, float]]
    classes: dict[str, dict[str, float]]
    records: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"records": self.records, "summary": self.summary, "classes": self.classes}


def _rows(interval: Any) -> dict[str, float]:
    return {"value": round(interval.value, 4), "low": round(interval.low, 4), "high": round(interval.high, 4)}


def evaluate(
    card: ModelCard,
    probability: Array,
    truth: dict[str, Array],
    patients: npt.NDArray[Any],
    draws: int = 1000,
) -> Evaluation:
    """Compare ``probability`` [N, all classes in card order] with ``truth`` per head [N, classes].

    A head that is absent from ``truth`` is left out; a truth of five columns is the superclasses alone.
    """
    summary: dict[str, dict[str, float]] = {}
    classes: dict[str, dict[str, float]] = {}
    start = 0
    n = len(SUPERCLASSES)
    for head in card.heads:
        width = len(head.classes)
        y = truth.get(head.output)
        if y is not None:
            p = probability[:, start : start + y.shape[1]]
            if head.classes[0].code == SUPERCLASSES[0]:
                summary["superclass_macro_auc"] = _rows(bootstrap(macro_auc, y[:, :n], p[:, :n], patients, draws))
                # No interval: resampling inflates a binned calibration error, so its interval would not hold it.
                summary["superclass_ece"] = {"value": round(expected_calibration_error(p[:, :n], y[:, :n]), 4)}
            first = n if head.classes[0].code == SUPERCLASSES[0] else 0
            if y.shape[1] > first:
                summary[f"{head.output}_macro_auc"] = _rows(
                    bootstrap(macro_auc, y[:, first:], p[:, first:], patients, max(200, draws // 5))
                )
            for k in range(y.shape[1]):
                report = class_report(y[:, k], p[:, k], head.classes[k].threshold)
                classes[head.classes[k].code] = {key: round(value, 4) for key, value in report.items()}
        start += width
    return Evaluation(summary, classes, len(patients))
