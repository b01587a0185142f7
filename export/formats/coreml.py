"""Core ML (``.mlpackage``): one ECG in, one logit tensor per head out, ML program, FP16.

``convert`` needs the package coremltools (``export.formats.edge``). Core ML runs on Apple's systems only, so what a
package predicts is not verified here; its interface and its weights are.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch

from export.architectures.hybrid import Hybrid
from export.errors import ParityError
from export.formats.onnx import probe

__all__ = ["convert"]


def convert(network: Hybrid, path: Path) -> int:
    """Write a served network as ``.mlpackage``; returns the number of bytes of its weights.

    ``ParityError`` where the package does not declare the network's input and outputs.
    """
    import coremltools

    config = network.config
    ecg = probe(1, config.samples, config.leads)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # Exported first: that turns the sizes into constants, which coremltools 9 cannot read out of a trace.
        exported = torch.export.export(network.eval(), (ecg,)).module(check_guards=False)
        traced = torch.jit.trace(exported, ecg, check_trace=False)  # type: ignore[no-untyped-call]
        package = coremltools.convert(
            traced,
            inputs=[coremltools.TensorType(name="ecg", shape=tuple(ecg.shape))],
            outputs=[coremltools.TensorType(name=name) for name in config.heads],
            minimum_deployment_target=coremltools.target.iOS16,
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT16,
        )
    package.save(str(path))
    description = package.get_spec().description
    declared = [tensor.name for tensor in (*description.input, *description.output)]
    if declared != ["ecg", *config.heads]:
        raise ParityError(f"{path} declares {declared} instead of the network's input and outputs")
    return sum(file.stat().st_size for file in path.rglob("weight.bin"))


if __name__ == "__main__":
    from export.formats.published import read_published

    print(convert(read_published(Path(sys.argv[1]))[0], Path(sys.argv[2])))
