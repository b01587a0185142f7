"""Every method's map of one case in a common form: a number per segment and territory, and per segment and lead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explainer.attribution import grad_cam, gradient_x_input
from explainer.case import Case
from explainer.integrated import integrated_gradients
from explainer.lime import Lime, features_of, lime, masks_of
from explainer.segments import SEGMENTS

__all__ = ["METHODS", "Maps", "feature_scores", "maps_of"]

METHODS = ("gradient_x_input", "grad_cam", "integrated_gradients", "lime")
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """What the methods say of one case."""

    #: ``[windows, leads or 1, samples]`` of the three that speak of samples.
    samples: dict[str, npt.NDArray[np.float32]]
    #: Score of each feature of LIME, ``[features]``, by method.
    features: dict[str, Array]
    lime: Lime
    completeness_error: float


async def maps_of(case: Case, *, seed: int = 0, steps: int | None = None) -> Maps:
    """Explain a case by every method."""
    passed = await case.model.attribute(case.card, case.ecg, case.target(len(case.ecg)))
    path = await integrated_gradients(case) if steps is None else await integrated_gradients(case, steps, steps)
    found = await lime(case, seed=seed)
    samples = {
        "gradient_x_input": gradient_x_input(passed, case.ecg),
        "grad_cam": grad_cam(passed, case.ecg.shape[2]),
        "integrated_gradients": path.values,
    }
    scores = {name: feature_scores(case, values) for name, values in samples.items()}
    return Maps(samples, {**scores, "lime": found.weights}, found, path.completeness_error)


def feature_scores(case: Case, values: npt.NDArray[np.float32]) -> Array:
    """What a sample-wise map gives to each feature of LIME: its sum there; its mean, where it knows no leads."""
    features = features_of(case.segmentation, case.card.input.leads)
    if values.shape[1] == 1:
        labels = case.segmentation.labels
        means = {k: float(values[:, 0][labels == k].mean()) for k in case.segmentation.present}
        return np.array([means[SEGMENTS.index(feature.segment)] for feature in features])
    masks = masks_of(features, case.segmentation, case.card.input.leads)
    return np.asarray(np.einsum("fwls,wls->f", masks, values, optimize=True), dtype=np.float64)
