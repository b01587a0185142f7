"""The heads of a card from logits and labels of fold 9, and how they do on recordings that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import Calibration, Head, ModelCard, Statement, StatementKind, Urgency
from cardiomesh.ecg.statements import taxonomy
from export.calibration.conformal import LEVEL, conformal_limits
from export.calibration.folds import patient_folds
from export.calibration.logistic import choose_strength, fit_calibrator, sigmoid
from export.calibration.thresholds import choose_threshold
from export.training.labels import LabelSpace

__all__ = [
    "Judged",
    "calibrated_heads",
    "calibration_of",
    "card_space",
    "cross_fitted",
    "head_logits",
    "judge",
]

Array = npt.NDArray[np.floating]
Arrays = Mapping[str, npt.NDArray[Any]]

#: Each recording is judged by what nine tenths of the other patients of the fold taught.
_CROSS_FOLDS: Final = 10


def card_space(card: ModelCard) -> LabelSpace:
    """The classes of a published card, as the training code names them."""
    return LabelSpace(
        heads={head.output: tuple(s.code for s in head.classes) for head in card.heads},
        auxiliary={},
        positives={s.code: s.training_positives for s in card.statements},
    )


def calibration_of(records: int) -> Calibration:
    """What a card says about the procedure below."""
    return Calibration(
        method="per class a logistic line on the logit, drawn towards the line of its head; strength by cross-fitted "
        "log-loss",
        conformal="label-conditional split conformal on the calibrated probability, per class and outcome",
        level=LEVEL,
        records=records,
    )


def calibrated_heads(
    space: LabelSpace, logits: Arrays, truth: Arrays, patients: npt.NDArray[Any], training_records: int
) -> tuple[Head, ...]:
    """Calibration, thresholds and prediction sets from logits and labels per head [N, classes]."""
    known = taxonomy()
    heads = []
    for name, codes in space.heads.items():
        z, y = logits[name], truth[name]
        calibrator = fit_calibrator(z, y, choose_strength(z, y, patients))
        probability = sigmoid(calibrator(z))
        classes = []
        for k, code in enumerate(codes):
            entry, positives = known[code], space.positives[code]
            threshold, rule = choose_threshold(probability[:, k], y[:, k], entry.urgency, positives / training_records)
            limits = conformal_limits(probability[:, k], y[:, k])
            classes.append(
                Statement(
                    code=code,
                    name=entry.name,
                    name_pt=entry.name_pt,
                    kind=StatementKind(entry.kind),
                    snomed_ct=entry.snomed_ct,
                    urgency=Urgency(entry.urgency),
                    threshold=threshold,
                    threshold_rule=rule,
                    training_positives=positives,
                    scale=float(calibrator.scale[k]),
                    bias=float(calibrator.bias[k]),
                    absent_to=limits.absent_to,
                    present_from=limits.present_from,
                )
            )
        heads.append(Head(output=name, temperature=calibrator.temperature, classes=tuple(classes)))
    return tuple(heads)


def head_logits(head: Head, logits: Array) -> npt.NDArray[np.float64]:
    """Calibrated logits of many recordings from the network's ``logits`` [N, classes]."""
    slope = np.array([c.scale for c in head.classes]) / head.temperature
    return np.asarray(np.asarray(logits, dtype=np.float64) * slope + np.array([c.bias for c in head.classes]))


@dataclass(frozen=True)
class Judged:
    """What a card says about recordings, all classes of all heads in card order [N, classes]."""

    probability: npt.NDArray[np.float64]
    #: The finding is called present.
    called: npt.NDArray[np.bool_]
    #: Absence, and presence, are in the prediction set; both everywhere where the card has no limits.
    may_be_absent: npt.NDArray[np.bool_]
    may_be_present: npt.NDArray[np.bool_]


def judge(heads: tuple[Head, ...], logits: Arrays) -> Judged:
    """Apply the calibration, thresholds and limits of ``heads``."""
    p = np.concatenate([sigmoid(head_logits(head, logits[head.output])) for head in heads], axis=1)
    classes = [c for head in heads for c in head.classes]
    threshold = np.array([c.threshold for c in classes])
    absent_to = np.array([1.0 if c.absent_to is None else c.absent_to for c in classes])
    present_from = np.array([0.0 if c.present_from is None else c.present_from for c in classes])
    return Judged(p, p >= threshold, p <= absent_to, p >= present_from)


def cross_fitted(
    space: LabelSpace, logits: Arrays, truth: Arrays, patients: npt.NDArray[Any], training_records: int
) -> Judged:
    """Each recording judged by heads that were calibrated on the other patients' parts of the same fold."""
    part = patient_folds(patients, _CROSS_FOLDS)
    shape = (len(patients), sum(len(codes) for codes in space.heads.values()))
    whole = Judged(np.zeros(shape), *(np.zeros(shape, dtype=np.bool_) for _ in range(3)))
    for fold in np.unique(part):
        seen, held = part != fold, part == fold
        heads = calibrated_heads(
            space,
            {name: logits[name][seen] for name in space.heads},
            {name: truth[name][seen] for name in space.heads},
            patients[seen],
            training_records,
        )
        found = judge(heads, {name: logits[name][held] for name in space.heads})
        for name in ("probability", "called", "may_be_absent", "may_be_present"):
            getattr(whole, name)[held] = getattr(found, name)
    return whole
