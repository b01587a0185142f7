"""LIME over segments of the beat and territories (Ribeiro et al., KDD 2016), on the recording's own beats.

A feature is one segment in all beats, in the leads of one territory. It is taken away by giving it the shape that an
average heart has there, with short ramps: another heart, not a hole in the paper. So an inverted T wave can be what a
finding rests on, which no flat line would show. aVR is computed from the changed I and II, as carts do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from explainer.case import Case
from explainer.model import FloatArray
from explainer.segments import SEGMENTS, TERRITORIES, Segmentation, Territory

__all__ = [
    "KERNEL_WIDTH",
    "MIN_JACCARD",
    "MIN_R2",
    "PERTURBATIONS",
    "REPLACED",
    "RIDGE",
    "Feature",
    "Lime",
    "design",
    "features_of",
    "fit",
    "jaccard",
    "lime",
    "masks_of",
    "perturbed",
    "top",
]

PERTURBATIONS: Final = 144
#: Each perturbation replaces this share of the features on average: near enough to the recording to be about it.
REPLACED: Final = 0.2
#: Width of the kernel over the share of features replaced.
KERNEL_WIDTH: Final = 0.25
RIDGE: Final = 1e-3
MIN_R2: Final = 0.7
MIN_JACCARD: Final = 0.8
#: A feature replaced without edges would leave a step; this many samples lead into it.
_RAMP: Final = 2
_TOP: Final = 5
#: Less variance than this share of the mean square is rounding, of which there is nothing to explain.
_ROUNDING: Final = 1e-24
#: Recordings held in memory at a time.
_AT_ONCE: Final = 16

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Feature:
    """One segment in the leads of one territory."""

    segment: str
    territory: Territory


@dataclass(frozen=True, slots=True, eq=False)
class Lime:
    """The local linear model."""

    features: tuple[Feature, ...]
    #: Logit lost when the feature is replaced, ``[features]``.
    weights: npt.NDArray[np.float64]
    #: Weighted share of the variance over the perturbations that the linear model explains.
    r2: float
    #: Mean Jaccard index of the five strongest features between fits on halves of the perturbations.
    top5_jaccard: float
    perturbations: int


def features_of(segmentation: Segmentation, leads: tuple[str, ...]) -> tuple[Feature, ...]:
    """Every segment that occurs in every territory whose leads are there."""
    here = [t for t in TERRITORIES if set(t.leads) <= set(leads)]
    return tuple(Feature(SEGMENTS[k], territory) for k in segmentation.present for territory in here)


def masks_of(features: tuple[Feature, ...], s: Segmentation, leads: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """How much of each sample a feature takes away, ``[features, windows, leads, samples]``."""
    found = np.zeros((len(features), *s.reference.shape), np.float32)
    kernel = np.ones(2 * _RAMP + 1) / (2 * _RAMP + 1)
    soft = {
        k: np.stack([np.convolve(np.pad(row == k, _RAMP, mode="edge"), kernel, mode="valid") for row in s.labels])
        for k in s.present
    }
    for row, feature in enumerate(features):
        at = [leads.index(lead) for lead in feature.territory.leads]
        found[row][:, at] = soft[SEGMENTS.index(feature.segment)][:, None]
    return found


def perturbed(case: Case, masks: npt.NDArray[np.float32], kept: BoolArray) -> FloatArray:
    """The recording with features replaced, ``[n, windows, leads, samples]``, for ``kept`` ``[n, features]``."""
    leads = case.card.input.leads
    taken = np.tensordot((~kept).astype(np.float32), masks, axes=1)
    variants = np.asarray(case.ecg + taken * (case.segmentation.reference - case.ecg), np.float32)
    if {"I", "II", "aVR"} <= set(leads):
        one, two, right = (leads.index(lead) for lead in ("I", "II", "aVR"))
        change = (variants[:, :, one] - case.ecg[:, one] + variants[:, :, two] - case.ecg[:, two]) / 2
        variants[:, :, right] = case.ecg[:, right] - change
    return variants


def design(count: int, features: int, rng: np.random.Generator) -> BoolArray:
    """What is kept in each perturbation ``[count, features]``: every feature is replaced equally often."""
    replaced = np.zeros((count, features), dtype=bool)
    replaced[: round(REPLACED * count)] = True
    return ~rng.permuted(replaced, axis=0)


def fit(
    kept: BoolArray, logits: npt.NDArray[np.float64], ridge: float = RIDGE
) -> tuple[npt.NDArray[np.float64], float]:
    """Weighted ridge regression of ``logits`` ``[n]`` on ``kept`` ``[n, features]``: weights and R²."""
    weight = np.exp(-(((~kept).mean(axis=1) / KERNEL_WIDTH) ** 2))
    weight = weight / weight.sum()
    z = kept - (weight @ kept)
    y = logits - float(weight @ logits)
    gram = (z * weight[:, None]).T @ z + ridge * np.eye(kept.shape[1])
    weights = np.linalg.solve(gram, (z * weight[:, None]).T @ y)
    total = float(weight @ (y * y))
    left = float(weight @ ((y - z @ weights) ** 2))
    return weights, 1 - left / total if total > _ROUNDING * float(weight @ (logits * logits)) else 1.0


def top(weights: npt.NDArray[np.float64]) -> frozenset[int]:
    """The five strongest features, by index."""
    return frozenset(int(k) for k in np.argsort(-np.abs(weights), kind="stable")[:_TOP])


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """Size of the intersection over size of the union."""
    return len(one & other) / len(one | other) if one | other else 1.0


async def lime(case: Case, perturbations: int = PERTURBATIONS, seed: int = 0) -> Lime:
    """Fit the local linear model of one finding."""
    features = features_of(case.segmentation, case.card.input.leads)
    masks = masks_of(features, case.segmentation, case.card.input.leads)
    kept = design(perturbations, len(features), np.random.default_rng(seed))
    logits = np.empty(perturbations)
    for start in range(0, perturbations, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        logits[some] = await case.logits(perturbed(case, masks, kept[some]))
    weights, r2 = fit(kept, logits)
    halves = [top(fit(kept[k::2], logits[k::2])[0]) for k in (0, 1)]
    return Lime(features, weights, r2, jaccard(*halves), perturbations)
