"""How typical beats differ between people: principal components of median beats, learnt on PTB-XL.

``beat_basis.npz`` is written by ``python -m explainer basis`` from folds 1-8 (Wagner et al., Scientific Data 7:154,
2020; CC BY 4.0). Beats are those of ``cardiomesh.ecg.delineation``: eight independent leads at 100 Hz, 0.36 s before to
0.64 s after the beat position, millivolts above the level before the QRS complex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import INDEPENDENT_LEADS

__all__ = ["BASIS_FILE", "BEFORE", "SAMPLES", "BeatBasis", "beat_basis", "learn", "save"]

BASIS_FILE: Final = Path(__file__).with_name("beat_basis.npz")
#: Samples of a beat, and of them before its position, at 100 Hz.
SAMPLES: Final = 100
BEFORE: Final = 36
COMPONENTS: Final = 32
#: Beats further from the mean than this share of the training beats are called implausible.
_PLAUSIBLE: Final = 0.99

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BeatBasis:
    """A Gaussian over beats: coordinates are in standard deviations along the components."""

    #: mV, ``[8 · 100]``.
    mean: FloatArray
    #: One standard deviation along each component, mV, ``[components, 8 · 100]``.
    axes: FloatArray
    #: Squared distance (sum of squared coordinates) that 99 % of the training beats keep.
    limit: float
    #: Share of the training beats' variance that the components hold.
    explained: float
    #: How many beats it was learnt from.
    beats: int

    def coordinates(self, beat: FloatArray) -> FloatArray:
        """Coordinates ``[components]`` of a beat ``[8, 100]`` in mV."""
        scale = (self.axes * self.axes).sum(axis=1)
        return np.asarray((self.axes @ (beat.reshape(-1) - self.mean)) / scale)

    def change(self, coordinates: FloatArray) -> FloatArray:
        """The change of the beat that a change of coordinates is, mV ``[8, 100]``."""
        return np.asarray((coordinates @ self.axes).reshape(len(INDEPENDENT_LEADS), SAMPLES))


@lru_cache(maxsize=1)
def beat_basis() -> BeatBasis:
    """The committed basis."""
    with np.load(BASIS_FILE) as file:
        return BeatBasis(
            file["mean"].astype(np.float64),
            file["axes"].astype(np.float64),
            float(file["limit"]),
            float(file["explained"]),
            int(file["beats"]),
        )


def learn(beats: npt.NDArray[np.floating], components: int = COMPONENTS) -> BeatBasis:
    """Principal components of median beats ``[n, 8, 100]`` in mV."""
    flat = beats.reshape(len(beats), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, singular, rows = np.linalg.svd(flat - mean, full_matrices=False)
    axes = rows[:components] * (singular[:components, None] / np.sqrt(len(beats)))
    # SVD leaves the sign of a component open; with it fixed the file is the same on every machine.
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    basis = BeatBasis(mean, axes, 0.0, float((singular[:components] ** 2).sum() / (singular**2).sum()), len(beats))
    distances = [float((basis.coordinates(beat) ** 2).sum()) for beat in flat]
    limit = float(np.quantile(distances, _PLAUSIBLE))
    return BeatBasis(basis.mean, basis.axes, limit, basis.explained, basis.beats)


def save(basis: BeatBasis, path: Path = BASIS_FILE) -> None:
    """Write it in half precision: beats are rounded by less than their own digitisation."""
    np.savez_compressed(
        path,
        mean=basis.mean.astype(np.float16),
        axes=basis.axes.astype(np.float16),
        limit=basis.limit,
        explained=basis.explained,
        beats=basis.beats,
    )
