"""Gradient × input on the served model: how much each sample of each lead adds to a finding's logit.

Shrikumar et al. 2016 (arXiv:1605.01713). The logit of a recording is the mean over its windows, so each window's
contributions are divided by their number and all contributions add up over windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import ModelCard
from cardiomesh.errors import CardioMeshError
from explainer.served import ServedModel

__all__ = ["METHOD", "Attribution", "attribute"]

METHOD: Final = "gradient_x_input"
#: The attribution graph holds the same weights; more than rounding apart means it explains another model.
MAX_PREDICTION_GAP: Final = 1e-3

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Attribution:
    """Evidence for one finding."""

    finding_code: str
    #: Contribution of each sample to the logit, ``[windows, leads, samples]``.
    values: FloatArray
    #: Calibrated probability from the attribution graph.
    probability: float
    #: Difference to the probability from the graph that answers requests.
    prediction_gap: float
    #: Share of the positive evidence per lead; zeros where there is none.
    lead_shares: tuple[float, ...]


def _probabilities(card: ModelCard, logits: FloatArray) -> list[float]:
    """Calibrated probabilities of all statements from logits ``[windows, classes]``."""
    mean = logits.astype(np.float64).mean(axis=0).tolist()
    found: list[float] = []
    for head in card.heads:
        found += head.probabilities(mean[len(found) : len(found) + len(head.classes)])
    return found


async def attribute(
    served: ServedModel, card: ModelCard, ecg: FloatArray, predicted: FloatArray, finding_code: str
) -> Attribution:
    """Explain one finding of one recording.

    ``ecg`` is ``[windows, leads, samples]`` in millivolts, ``predicted`` the served model's own logits on it,
    ``[windows, classes]``.
    """
    codes = [statement.code for statement in card.statements]
    index = codes.index(finding_code)
    target = np.zeros((len(ecg), len(codes)), np.float32)
    target[:, index] = 1.0
    passed = await served.attribute(card, ecg, target)
    probability = _probabilities(card, passed.logits)[index]
    gap = abs(probability - _probabilities(card, predicted)[index])
    if gap > MAX_PREDICTION_GAP:
        raise CardioMeshError(f"{card.attribution} does not predict what {card.name} predicts; not explained")
    values = np.asarray(passed.gradient * ecg / len(ecg), np.float32)
    positive = np.maximum(values, 0).sum(axis=(0, 2), dtype=np.float64)
    total = float(positive.sum())
    shares = tuple(float(p) for p in (positive / total if total > 0 else np.zeros_like(positive)))
    return Attribution(finding_code, values, probability, gap, shares)
