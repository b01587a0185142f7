"""Export to ONNX: opset 18, dynamic batch, weights stored in half precision, compared with the network they came from.

Weights lie beside the graph in ``weights.bin`` (``export.formats.weights``) as FP16 behind a Cast; every runtime
folds the Cast when it loads the file, so the arithmetic is FP32 and only the file is half as large. Because the
served network's weights are exact in FP16 (``export.architectures.served``) nothing is lost.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from export.architectures.attribution import Attribution
from export.architectures.hybrid import Hybrid
from export.errors import ParityError
from export.formats.weights import STORED_SUFFIX, WEIGHTS_FILE, share_weights, write_weights

__all__ = ["IR_VERSION", "OPSET", "compare", "export_attribution", "export_network", "probe", "run_onnx"]

OPSET: Final = 18
#: The oldest IR that opset 18 allows: ONNX Runtime 1.14 and everything since can read it.
IR_VERSION: Final = 8
_SMALLEST_STORED_IN_HALF: Final = 64
FloatArray = npt.NDArray[np.float32]


def _store_in_half(model: onnx.ModelProto) -> None:
    """Replace each larger float32 initialiser by an FP16 one and a Cast, where that is exact."""
    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or tensor.data_location == TensorProto.EXTERNAL:
            continue
        value = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if value.size < _SMALLEST_STORED_IN_HALF or not np.array_equal(half.astype(np.float32), value):
            continue
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(half, f"{tensor.name}{STORED_SUFFIX}"))
        casts.append(
            helper.make_node(
                "Cast",
                [f"{tensor.name}{STORED_SUFFIX}"],
                [tensor.name],
                name=f"{tensor.name}.cast",
                to=TensorProto.FLOAT,
            )
        )
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *kept])


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter remembers about the machine: source lines, stack traces, local paths."""
    model.producer_name, model.producer_version, model.doc_string = "cardiomesh-export", "", ""
    del model.metadata_props[:]
    parts: list[Any] = [model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info]
    parts += [*model.graph.input, *model.graph.output]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]


def _export(
    module: nn.Module,
    network: Hybrid,
    inputs: dict[str, torch.Tensor],
    outputs: Sequence[str],
    path: Path,
    open_axis: str = "batch",
) -> None:
    batch = torch.export.Dim(open_axis, min=1, max=4096)
    quiet = io.StringIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(quiet), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            verbose=False,
        )
    if program is None:
        raise ParityError("the exporter returned nothing")
    model = program.model_proto
    _strip(model)
    share_weights(model, network)
    _store_in_half(model)
    model.ir_version = IR_VERSION
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    domains = {entry.domain: entry.version for entry in model.opset_import}
    if domains.get("", 0) != OPSET or any(node.domain not in ("", "ai.onnx") for node in model.graph.node):
        raise ParityError(f"the graph uses operators outside opset {OPSET}: {domains}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_weights(network, path.with_name(WEIGHTS_FILE))
    onnx.save(model, path)
    # By path: the checker then looks into the weights file as well.
    onnx.checker.check_model(path, full_check=True)


def run_onnx(path: Path, inputs: dict[str, FloatArray], threads: int = 1) -> dict[str, FloatArray]:
    """All outputs of a file, computed by ONNX Runtime in this process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def probe(batch: int, samples: int, leads: int) -> torch.Tensor:
    """Signals of ECG-like amplitude for comparisons."""
    random = torch.Generator().manual_seed(batch)
    return 0.3 * torch.randn(batch, leads, samples, generator=random)


def compare(
    path: Path, module: nn.Module, names: Sequence[str], inputs: dict[str, torch.Tensor], limit: float
) -> float:
    """The largest difference between a file and a network on the same inputs; ``ParityError`` beyond ``limit``."""
    with torch.no_grad():
        expected = module(*inputs.values())
    computed = run_onnx(path, {name: value.numpy() for name, value in inputs.items()})
    worst = 0.0
    for name, value in zip(names, expected, strict=True):
        scale = max(1.0, float(value.abs().max())) if name != "gradient" else float(value.abs().max()) + 1e-12
        worst = max(worst, float(np.abs(computed[name] - value.numpy()).max()) / scale)
    if not worst <= limit:
        raise ParityError(f"{path.name} differs from the network by {worst:.2e}; {limit:.0e} is allowed")
    return worst


def export_network(network: Hybrid, path: Path, limit: float = 1e-4) -> float:
    """Write ``ecg`` → one logit tensor per head; returns the largest difference seen (relative)."""
    config = network.config
    names = list(config.heads)
    _export(network, network, {"ecg": probe(3, config.samples, config.leads)}, names, path)
    return max(compare(path, network, names, {"ecg": probe(b, config.samples, config.leads)}, limit) for b in (1, 2, 7))


def export_attribution(network: Hybrid, path: Path, limit: float = 1e-3) -> float:
    """Write (``ecg``, ``target``) → logits, ``cam``, ``gradient``; returns the largest difference seen (relative)."""
    config, module = network.config, Attribution(network).eval()
    classes = sum(config.heads.values())
    names = [*config.heads, "cam", "gradient"]

    def inputs(batch: int) -> dict[str, torch.Tensor]:
        target = torch.zeros(batch, classes)
        target[torch.arange(batch), torch.arange(batch) * 7 % classes] = 1.0
        return {"ecg": probe(batch, config.samples, config.leads), "target": target}

    _export(module, network, inputs(3), names, path)
    return max(compare(path, module, names, inputs(b), limit) for b in (1, 2, 7))
