"""Deletion and insertion by segments (Petsiuk et al., BMVC 2018), against random orders and a fixed mask.

Features get an average heart's shape in the order of their scores, the strongest support first; the finding's logit
should fall fast. Insertion starts from all features replaced and gives them back in the same order; the logit should
rise fast.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from explainer.case import Case
from explainer.lime import features_of, masks_of, perturbed

__all__ = ["curves", "fixed_mask"]

Array = npt.NDArray[np.float64]
#: Shares of the features at which the logit is read.
_SHARES: Final = (0.04, 0.08, 0.13, 0.2, 0.3, 0.45, 0.7)
#: Segments by how often a reader would name them, whatever the recording: the R peak first.
_FIXED: Final = ("QRS", "ST", "T", "P", "PR", "TP")


def fixed_mask(case: Case) -> Array:
    """Scores of the features that depend on no model."""
    features = features_of(case.segmentation, case.card.input.leads)
    return np.array([-float(_FIXED.index(feature.segment)) for feature in features])


async def curves(case: Case, scores: Array) -> tuple[float, float]:
    """Mean logit over the deletion and over the insertion curve, for features ranked by ``scores``."""
    masks = masks_of(features_of(case.segmentation, case.card.input.leads), case.segmentation, case.card.input.leads)
    order = np.argsort(-scores, kind="stable")
    counts = np.unique([max(1, round(share * len(order))) for share in _SHARES])
    kept = np.ones((2 * len(counts), len(order)), dtype=bool)
    for row, count in enumerate(counts):
        kept[row, order[:count]] = False
        kept[len(counts) + row] = ~kept[row]
    logits = await case.logits(perturbed(case, masks, kept))
    return float(logits[: len(counts)].mean()), float(logits[len(counts) :].mean())
