"""Static INT8 in the explicit QDQ form: where a tensor is quantised stands in the graph, with its scale.

Convolutions, matrix products and fully connected layers are quantised, weights per output channel; the GRU, layer
norms and softmax stay float. The weights stay FP16 in ``weights.bin`` behind a QuantizeLinear that a runtime folds
when it loads the file, so an INT8 version adds no weights to the repository. The ranges of the activations are the
only thing that comes from data; they are kept in ``ranges.json``, and from them the file is rebuilt without data.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization.calibrate import TensorData, TensorsData, save_tensors_data
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.compression.names import Method, Target
from export.errors import CheckpointError, WorkshopError
from export.formats.published import read_onnx
from export.formats.weights import WEIGHTS_FILE, relink_weights

__all__ = ["MODEL_FILE", "RANGES_FILE", "Ranges", "Recipe", "calibrate", "quantise"]

MODEL_FILE: Final = "model.onnx"
RANGES_FILE: Final = "ranges.json"
_OPERATORS: Final = ("Conv", "MatMul", "Gemm")
_BATCH: Final = 16

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Lowest and highest value of each activation, and where they were seen."""

    tensors: dict[str, tuple[float, float]]
    method: str
    data: str
    records: int

    def write(self, path: Path) -> None:
        """As JSON, sorted, so that equal ranges are equal files."""
        path.write_text(json.dumps(asdict(self), indent=0, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Ranges:
        """The inverse of ``write``; ``WorkshopError`` for any other file."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            tensors = {str(name): (float(low), float(high)) for name, (low, high) in values.pop("tensors").items()}
            return cls(tensors=tensors, **values)
        except OSError as error:
            raise WorkshopError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WorkshopError(f"{path} holds no activation ranges: {error}") from None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a graph is quantised once the ranges are known."""

    target: Target = Target.CPU
    #: Weights of 7 bits: without VNNI two 8-bit products overflow the 16-bit sums of an x86 processor.
    reduce_range: bool = True
    #: Nodes that stay float.
    exclude: tuple[str, ...] = field(default=())


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, signals: FloatArray) -> None:
        self._batches = iter(np.array_split(signals, -(-len(signals) // _BATCH)))

    def get_next(self) -> dict[str, FloatArray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"ecg": np.ascontiguousarray(batch)}


@contextmanager
def _quietly() -> Iterator[None]:
    """The library logs advice at every step through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _prepare(source: Path, folder: Path) -> Path:
    """The graph as the quantiser wants it: constants folded, shapes inferred."""
    read_onnx(source)  # refuses what is no model before a runtime reads it
    prepared = folder / "prepared.onnx"
    try:
        # The symbolic inference asserts on attention; ONNX's own knows every shape of these graphs.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    except (RuntimeError, ValueError, onnxruntime.capi.onnxruntime_pybind11_state.Fail) as error:
        raise CheckpointError(f"{source} cannot be prepared: {str(error).splitlines()[0]}") from None
    return prepared


def calibrate(source: Path, signals: FloatArray, data: str, method: Method = Method.MINMAX) -> Ranges:
    """Ranges of all activations of the graph over ``signals`` [N, 12, samples]; ``data`` says whose they are."""
    methods = quantization.CalibrationMethod
    kind = {Method.MINMAX: methods.MinMax, Method.PERCENTILE: methods.Percentile, Method.ENTROPY: methods.Entropy}
    with tempfile.TemporaryDirectory() as scratch, _quietly():
        calibrator = quantization.create_calibrator(
            _prepare(source, Path(scratch)),
            list(_OPERATORS),
            augmented_model_path=str(Path(scratch) / "augmented.onnx"),
            calibrate_method=kind[method],
            extra_options={},
        )
        calibrator.collect_data(_Reader(signals))
        found = calibrator.compute_data()
    tensors = {name: tuple(float(np.ravel(v)[0]) for v in entry.range_value) for name, entry in found.items()}
    return Ranges(tensors, str(method), data, len(signals))  # type: ignore[arg-type]


def _options(target: Target) -> dict[str, Any]:
    options: dict[str, Any] = {"AddQDQPairToWeight": True}
    if target is Target.TENSORRT:
        # What TensorRT's explicit quantisation asks for: zero points of zero, no integer biases, pairs unshared.
        options |= {
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "DedicatedQDQPair": True,
            "OpTypesToExcludeOutputQuantization": list(_OPERATORS),
        }
    return options


def quantise(source: Path, ranges: Ranges, folder: Path, recipe: Recipe | None = None) -> Path:
    """Write ``model.onnx``, ``ranges.json`` and, if the source has them apart, its weights into ``folder``."""
    recipe = recipe or Recipe()
    integer = quantization.QuantType
    known = {node.name for node in read_onnx(source).graph.node}
    absent = [name for name in recipe.exclude if name not in known]
    if absent:
        raise WorkshopError(f"{source} has no node {absent[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, _quietly():
        prepared, cache, written = _prepare(source, Path(scratch)), Path(scratch, "cache"), Path(scratch, "q.onnx")
        values = {
            name: TensorData(lowest=np.float32(low), highest=np.float32(high))
            for name, (low, high) in ranges.tensors.items()
        }
        save_tensors_data(TensorsData(quantization.CalibrationMethod.MinMax, values), cache)
        try:
            quantization.quantize_static(
                str(prepared),
                str(written),
                None,
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(_OPERATORS),
                per_channel=True,
                reduce_range=recipe.reduce_range and recipe.target is Target.CPU,
                activation_type=integer.QUInt8 if recipe.target is Target.CPU else integer.QInt8,
                weight_type=integer.QInt8,
                nodes_to_exclude=list(recipe.exclude),
                extra_options=_options(recipe.target),
                calibration_cache_path=str(cache),
            )
        except ValueError as error:
            raise WorkshopError(f"the ranges do not fit {source}: {str(error).splitlines()[0]}") from None
        model = onnx.load(written)
    model.producer_name, model.producer_version = "cardiomesh-export", ""
    if source.with_name(WEIGHTS_FILE).is_file():
        relink_weights(model, onnx.load(source, load_external_data=False))
        if source.parent.resolve() != folder.resolve():
            shutil.copyfile(source.with_name(WEIGHTS_FILE), folder / WEIGHTS_FILE)
    path = folder / MODEL_FILE
    onnx.save(onnx.shape_inference.infer_shapes(model, strict_mode=True), path)
    onnx.checker.check_model(path, full_check=True)
    ranges.write(folder / RANGES_FILE)
    return path
