"""The figures of one model on one set of records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import ModelCard, Statement, Urgency
from export.calibration.heads import Judged, judge
from export.calibration.reliability import (
    Bin,
    calibration_error,
    class_calibration_error,
    noise_floor,
    reliability,
)
from export.training.labels import SUPERCLASSES
from export.validation.metrics import DRAWS, Interval, bootstrap, class_intervals, macro_auc

__all__ = ["Evaluation", "beta_of", "evaluate"]

Array = npt.NDArray[np.floating]
Arrays = Mapping[str, npt.NDArray[Any]]

#: An urgent finding that is missed weighs more than a false alarm; for the others both weigh alike.
_BETA_OF_URGENT: Final = 2.0


def beta_of(statement: Statement) -> float:
    """The β of this finding's F-measure."""
    return _BETA_OF_URGENT if statement.urgency in (Urgency.URGENT, Urgency.CRITICAL) else 1.0


@dataclass(frozen=True)
class Evaluation:
    """Summary figures, one row of figures per class, and what the reliability plot is drawn from."""

    summary: dict[str, dict[str, float]]
    classes: dict[str, dict[str, Interval]]
    positives: dict[str, int]
    records: int
    #: Calls, probabilities and sets were cross-fitted: no record was judged by thresholds it had chosen.
    cross_fitted: bool
    bins: dict[str, list[Bin]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; a figure that does not exist is null."""
        return {
            "records": self.records,
            "cross_fitted": self.cross_fitted,
            "summary": _plain(self.summary),
            "classes": {
                code: {"positives": self.positives[code]} | {k: _plain(v.as_dict()) for k, v in row.items()}
                for code, row in self.classes.items()
            },
        }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _coverage(judged: Judged, y: npt.NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Share of answers whose prediction set holds the truth, by outcome, and of those that are uncertain."""
    present, absent = judged.may_be_present[:, : y.shape[1]], judged.may_be_absent[:, : y.shape[1]]
    figures = {
        "conformal_coverage": np.where(y, present, absent).mean(),
        "conformal_coverage_present": present[y].mean() if y.any() else np.nan,
        "conformal_coverage_absent": absent[~y].mean() if not y.all() else np.nan,
        "conformal_uncertain": (present & absent).mean(),
    }
    return {name: {"value": round(float(value), 4)} for name, value in figures.items()}


def _calibration(judged: Judged, y: Array) -> dict[str, dict[str, float]]:
    # No intervals: resampling inflates a binned calibration error, so its interval would not hold it.
    p = judged.probability[:, : y.shape[1]]
    figures = {
        "superclass_ece": calibration_error(p, y),
        "superclass_ece_floor": noise_floor(p),
        "superclass_ece_per_class": class_calibration_error(p, y),
        "superclass_ece_per_class_floor": noise_floor(p, per_class=True),
    }
    return {name: {"value": round(value, 4)} for name, value in figures.items()}


def evaluate(
    card: ModelCard,
    logits: Arrays,
    truth: Arrays,
    patients: npt.NDArray[Any],
    draws: int = DRAWS,
    crossed: Judged | None = None,
) -> Evaluation:
    """Compare a card's answers to ``logits`` per head [N, classes] with ``truth`` per head.

    A head that is absent from ``truth`` is left out; a truth of five columns is the superclasses alone. Where the
    records are those the card was calibrated on, give what ``cross_fitted`` says of them: it then replaces everything
    that was chosen on them (probabilities, calls, prediction sets), and only the ranking is the card's own.
    """
    served = judge(card.heads, logits)
    judged = crossed or served
    summary: dict[str, dict[str, float]] = {}
    classes: dict[str, dict[str, Interval]] = {}
    positives: dict[str, int] = {}
    bins: dict[str, list[Bin]] = {}
    start, n = 0, len(SUPERCLASSES)
    for head in card.heads:
        y = truth.get(head.output)
        if y is not None:
            columns = slice(start, start + y.shape[1])
            score = served.probability[:, columns]
            called = judged.called[:, columns]
            leading = head.classes[0].code == SUPERCLASSES[0]
            if leading:
                summary["superclass_macro_auc"] = bootstrap(
                    macro_auc, y[:, :n], score[:, :n], patients, draws
                ).as_dict()
                summary |= _calibration(judged, y[:, :n])
                if all(s.present_from is not None for s in head.classes[:n]):
                    summary |= _coverage(judged, y[:, :n] > 0.5)
                bins["all"] = reliability(judged.probability[:, :n], y[:, :n])
                bins |= {code: reliability(judged.probability[:, k], y[:, k]) for k, code in enumerate(SUPERCLASSES)}
            first = n if leading else 0
            if y.shape[1] > first:
                found = bootstrap(macro_auc, y[:, first:], score[:, first:], patients, max(200, draws // 5))
                summary[f"{head.output}_macro_auc"] = found.as_dict()
            statements = head.classes[: y.shape[1]]
            beta = np.array([beta_of(s) for s in statements])
            rows = class_intervals(y, score, called, beta, patients, draws)
            classes |= {s.code: row for s, row in zip(statements, rows, strict=True)}
            positives |= {s.code: int(y[:, k].sum()) for k, s in enumerate(statements)}
        start += len(head.classes)
    return Evaluation(summary, classes, positives, len(patients), crossed is not None, bins)
