"""Parts of one data set for cross-fitting; a patient's recordings stay together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["patient_folds"]


def patient_folds(patients: npt.NDArray[Any], count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """The part, 0 to ``count - 1``, of each recording; at most as many parts as patients."""
    known, group = np.unique(patients, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(known))
    return np.asarray(order[group] % min(count, len(known)), dtype=np.int64)
