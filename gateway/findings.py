"""From a model's logits to findings, by nothing but the model's own card. No numpy: a few dozen floats."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import ModelCard, PredictionSet, Urgency
from cardiomesh.errors import CardioMeshError

__all__ = ["URGENCY", "findings", "mean_logits"]

URGENCY: Final[Mapping[Urgency, types_pb2.Urgency.ValueType]] = {
    Urgency.NONE: types_pb2.URGENCY_NONE,
    Urgency.ROUTINE: types_pb2.URGENCY_ROUTINE,
    Urgency.URGENT: types_pb2.URGENCY_URGENT,
    Urgency.CRITICAL: types_pb2.URGENCY_CRITICAL,
}

_SETS: Final[Mapping[PredictionSet | None, types_pb2.PredictionSet.ValueType]] = {
    None: types_pb2.PREDICTION_SET_UNSPECIFIED,
    PredictionSet.ABSENT: types_pb2.PREDICTION_SET_ABSENT,
    PredictionSet.PRESENT: types_pb2.PREDICTION_SET_PRESENT,
    PredictionSet.BOTH: types_pb2.PREDICTION_SET_BOTH,
    PredictionSet.NONE: types_pb2.PREDICTION_SET_NONE,
}


def mean_logits(raw: bytes, classes: int, windows: int) -> list[float]:
    """Logits averaged over windows, from float32 ``[windows, classes]`` as Triton sends them.

    Averaging logits, not probabilities, keeps one confident window from being diluted by the sigmoid's tails.
    """
    values = array("f")
    if len(raw) != 4 * classes * windows:
        raise CardioMeshError(f"the model answered {len(raw)} bytes where {4 * classes * windows} were due")
    values.frombytes(raw)
    means = [math.fsum(values[c::classes]) / windows for c in range(classes)]
    if not all(map(math.isfinite, means)):
        raise CardioMeshError("the model answered numbers that are not finite")
    return means


def findings(card: ModelCard, logits: Mapping[str, Sequence[float]]) -> Iterable[types_pb2.Finding]:
    """Every statement of the card with its calibrated probability, in the card's order."""
    for head in card.heads:
        for statement, probability in zip(head.classes, head.probabilities(logits[head.output]), strict=True):
            yield types_pb2.Finding(
                code=statement.code,
                name=statement.name,
                name_pt=statement.name_pt,
                snomed_ct=statement.snomed_ct or "",
                probability=probability,
                threshold=statement.threshold,
                present=probability >= statement.threshold,
                urgency=URGENCY[statement.urgency],
                kind=statement.kind.value,
                prediction_set=_SETS[statement.prediction_set(probability)],
            )
