"""The words that the compression commands understand; apart, so that ``--help`` loads no runtime."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Method", "Target"]


class Method(StrEnum):
    """How the range of an activation is chosen from what was seen."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


class Target(StrEnum):
    """For whom the file is: ONNX Runtime on a CPU (uint8 activations), or TensorRT (symmetric int8, float biases)."""

    CPU = "cpu"
    TENSORRT = "tensorrt"
