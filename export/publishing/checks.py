"""What a staged version must be before it is measured: finite weights, the promised tensors, fitting configurations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from google.protobuf import text_format
from onnx import numpy_helper

from cardiomesh.cards import ModelCard
from export.errors import GateError, ParityError
from export.formats.onnx import OPSET
from export.validation.scoring import OnnxModel

__all__ = ["check_card", "check_configuration", "check_graph", "check_same_answers"]

#: Opsets that every supported runtime reads: Triton's onnxruntime backend and TensorRT's parser.
_OPSETS: Final = (17, OPSET)
#: Figures without which a card is not complete.
_NEEDED: Final = ("superclass_macro_auc", "superclass_ece", "conformal_coverage")
_SAME: Final = 1e-4


def check_graph(path: Path, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, tuple[int, ...]]) -> None:
    """``GateError`` unless the file is a valid float32 graph of these tensors (shapes without the batch)."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:  # the checker and protobuf raise a dozen unrelated types
        raise GateError(f"{path.name}: not a valid ONNX file: {str(error).splitlines()[0]}") from error
    opset = {entry.domain: entry.version for entry in model.opset_import}.get("", 0)
    if not _OPSETS[0] <= opset <= _OPSETS[1]:
        raise GateError(f"{path.name}: opset {opset}; {_OPSETS[0]} to {_OPSETS[1]} are served")
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor, base_dir=str(path.parent))
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise GateError(f"{path.name}: the weights {tensor.name} hold numbers that are not finite")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for kind, wanted, found in (
        ("input", inputs, session.get_inputs()),
        ("output", outputs, session.get_outputs()),
    ):
        have = {t.name: (t.type, tuple(t.shape[1:])) for t in found}
        want = {name: ("tensor(float)", shape) for name, shape in wanted.items()}
        if have != want:
            raise GateError(f"{path.name}: the {kind}s are {have}, the card promises {want}")
        if any(isinstance(t.shape[0], int) for t in found):
            raise GateError(f"{path.name}: the batch of an {kind} is fixed; it must be dynamic")


def check_same_answers(
    prediction: OnnxModel, attribution: OnnxModel, signals: npt.NDArray[np.float32], heads: Mapping[str, int]
) -> None:
    """``ParityError`` unless the graph that explains gives the logits of the one that predicts."""
    target = np.zeros((len(signals), sum(heads.values())), dtype=np.float32)
    target[:, 1] = 1.0
    expected = prediction.logits(signals)
    answers = attribution.session.run(list(heads), {"ecg": signals, "target": target})
    for name, value in zip(heads, answers, strict=True):
        difference = float(np.abs(value - expected[name]).max())
        if not difference <= _SAME:
            raise ParityError(f"prediction and attribution graphs disagree on {name} by {difference:.1e}")


def check_configuration(text: str, name: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    """``GateError`` unless Triton's own schema reads the file and it names these tensors (shapes without the batch)."""
    from tritonclient.grpc import model_config_pb2

    try:
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise GateError(f"{name}: config.pbtxt does not load: {error}") from error
    found = (
        config.name,
        {i.name: tuple(i.dims) for i in config.input},
        {o.name: tuple(o.dims) for o in config.output},
    )
    wanted = (name, dict(inputs), dict(outputs))
    if found != wanted:
        raise GateError(f"{name}: config.pbtxt describes {found}, the card {wanted}")


def check_card(card: ModelCard) -> None:
    """``GateError`` where a card lacks what a reader relies on."""
    known = {metric.name for metric in card.metrics}
    missing = [name for name in _NEEDED if name not in known]
    if card.calibration is None:
        missing.append("calibration")
    if not card.artifacts:
        missing.append("artifacts")
    missing += [f"prediction set of {s.code}" for s in card.statements if s.present_from is None]
    if missing:
        raise GateError(f"{card.name}: the card lacks {', '.join(missing)}")
