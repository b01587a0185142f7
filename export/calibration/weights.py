"""How much each member of an ensemble counts, and what that choice is worth on patients that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from export.calibration.folds import patient_folds
from export.calibration.logistic import choose_strength, fit_calibrator, log_loss
from export.training.labels import LabelSpace

__all__ = ["CrossFittedMean", "choose_weights", "cross_fitted_mean"]

Array = npt.NDArray[np.floating]
Arrays = Mapping[str, npt.NDArray[Any]]

#: Weights are multiples of a tenth: finer ones cannot be told apart on a few hundred recordings.
_STEPS: Final = 10
_FOLDS: Final = 10


def _simplex(members: int, steps: int) -> Iterator[tuple[int, ...]]:
    if members == 1:
        yield (steps,)
        return
    for first in range(steps + 1):
        for rest in _simplex(members - 1, steps - first):
            yield (first, *rest)


def choose_weights(calibrated: Sequence[Array], truth: Array) -> tuple[float, ...]:
    """Weights, adding up to one, whose mean of calibrated logits [N, classes] has the least log-loss."""
    stacked = np.stack(calibrated)

    def loss(weights: tuple[int, ...]) -> float:
        return log_loss(np.tensordot(np.array(weights) / _STEPS, stacked, axes=1), truth)

    return tuple(w / _STEPS for w in min(_simplex(len(calibrated), _STEPS), key=loss))


@dataclass(frozen=True)
class CrossFittedMean:
    """An ensemble whose calibrations and weights never saw the recordings they were applied to, per head [N, classes].

    ``ranking`` is the weighted mean of the members' own logits: shifts that differ from fold to fold would spoil an
    AUC over all of them (a part with more positives leaves fewer to the others, which lowers its own shift).
    """

    calibrated: dict[str, npt.NDArray[np.float64]]
    ranking: dict[str, npt.NDArray[np.float64]]


def cross_fitted_mean(
    space: LabelSpace, members: Sequence[Arrays], truth: Arrays, patients: npt.NDArray[Any]
) -> CrossFittedMean:
    """The ensemble of the members' logits per head, fold by fold."""
    part = patient_folds(patients, _FOLDS)
    found = CrossFittedMean({}, {})
    for head in space.heads:
        y = truth[head]
        calibrated, ranking = np.empty(y.shape), np.empty(y.shape)
        for fold in np.unique(part):
            seen, held = part != fold, part == fold
            fitted = [
                fit_calibrator(m[head][seen], y[seen], choose_strength(m[head][seen], y[seen], patients[seen]))
                for m in members
            ]
            pairs = list(zip(fitted, members, strict=True))
            weights = choose_weights([f(m[head][seen]) for f, m in pairs], y[seen])
            calibrated[held] = sum(w * f(m[head][held]) for w, (f, m) in zip(weights, pairs, strict=True))
            slopes = [w * f.scale / f.temperature for w, f in zip(weights, fitted, strict=True)]
            ranking[held] = sum(s * m[head][held] for s, m in zip(slopes, members, strict=True)) / sum(slopes)
        found.calibrated[head], found.ranking[head] = calibrated, ranking
    return found
