"""Attribution from one pass: gradient × input over leads and time, and Grad-CAM over time.

Shrikumar et al. 2016 (arXiv:1605.01713); Selvaraju et al., Grad-CAM, ICCV 2017. The logit of a recording is the mean
over its windows, so each window's contributions are divided by their number and all contributions add up over windows.
"""

from __future__ import annotations

import numpy as np

from explainer.model import AttributionPass, FloatArray

__all__ = ["grad_cam", "gradient_x_input"]


def gradient_x_input(passed: AttributionPass, ecg: FloatArray) -> FloatArray:
    """First-order contribution of each sample to the logit, ``[windows, leads, samples]``."""
    return np.asarray(passed.gradient * ecg / len(ecg), np.float32)


def grad_cam(passed: AttributionPass, samples: int) -> FloatArray:
    """The map of all leads together, from the middles of its frames to samples, ``[windows, 1, samples]``."""
    frames = passed.cam.shape[1]
    middles = (np.arange(frames) + 0.5) * (samples / frames) - 0.5
    rows = [np.interp(np.arange(samples), middles, row) for row in passed.cam]
    return np.asarray(np.stack(rows)[:, None] / len(rows), np.float32)
