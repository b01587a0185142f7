"""TensorRT engines: FP16, or INT8 from the explicit QDQ form. **Not verified on hardware**: no GPU was at hand.

Everything up to the library is tested with a stand-in for it. An engine belongs to the GPU's compute capability and to
the TensorRT version that built it; both are written beside it, and an engine that does not match is never chosen: ONNX
Runtime answers instead (``chosen_config``). ``tensorrt`` is imported inside ``build_engine`` only.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from export.errors import WorkshopError
from export.formats.published import read_onnx
from export.formats.weights import WEIGHTS_FILE
from export.publishing.repository import file_digest

__all__ = [
    "PLAN_FILE",
    "SIDECAR_FILE",
    "Gpu",
    "Precision",
    "Profile",
    "build_engine",
    "chosen_config",
    "find_gpu",
    "mismatch",
]

PLAN_FILE: Final = "model.plan"
SIDECAR_FILE: Final = "model.plan.json"
_WORKSPACE_BYTES: Final = 2 << 30


class Precision(StrEnum):
    """Arithmetic of the engine."""

    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Gpu:
    """What an engine depends on."""

    name: str
    compute_capability: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Batch sizes that the engine accepts, and the one it is fastest at."""

    smallest: int = 1
    best: int = 8
    largest: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.best <= self.largest:
            raise WorkshopError(
                f"an optimisation profile needs 1 ≤ min ≤ opt ≤ max, not {tuple(asdict(self).values())}"
            )


def find_gpu() -> Gpu:
    """The first NVIDIA GPU of this machine; ``WorkshopError`` where there is none."""
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    try:
        result = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        raise WorkshopError("no NVIDIA GPU: nvidia-smi does not run here, and engines are built on their GPU") from None
    line = result.stdout.strip().splitlines()
    if result.returncode != 0 or not line:
        raise WorkshopError("no NVIDIA GPU: nvidia-smi lists none, and engines are built on their GPU")
    name, _, capability = line[0].rpartition(",")
    return Gpu(name.strip(), capability.strip())


def _library() -> ModuleType:
    try:
        import tensorrt
    except ImportError:
        raise WorkshopError("the Python package tensorrt (10.x) is not installed") from None
    if not hasattr(tensorrt.BuilderFlag, "FP16"):
        raise WorkshopError(
            f"tensorrt {tensorrt.__version__} builds strongly typed networks only; install tensorrt 10.x, the version "
            "of the Triton image that will serve the engine"
        )
    return tensorrt  # type: ignore[no-any-return]


def _parse(trt: ModuleType, builder: Any, logger: Any, source: Path) -> Any:
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    # By path, so that the parser finds the weights file beside the graph.
    if not parser.parse_from_file(str(source)):
        reason = parser.get_error(0).desc() if parser.num_errors else "no reason given"
        raise WorkshopError(f"TensorRT cannot read {source}: {reason}")
    return network


def build_engine(
    source: Path, folder: Path, precision: Precision, profile: Profile, gpu: Gpu, timing_cache: Path | None = None
) -> Path:
    """Build ``model.plan`` with its sidecar into ``folder`` from an ONNX file; INT8 needs one in QDQ form."""
    model = read_onnx(source)
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if quantised != (precision is Precision.INT8):
        raise WorkshopError(f"{source} is {'in QDQ form' if quantised else 'not in QDQ form'}: not for {precision}")
    trt = _library()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = _parse(trt, builder, logger, source)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    config.set_flag(trt.BuilderFlag.FP16)
    if precision is Precision.INT8:
        config.set_flag(trt.BuilderFlag.INT8)
    shapes = builder.create_optimization_profile()
    for value in model.graph.input:
        rest = [d.dim_value for d in value.type.tensor_type.shape.dim[1:]]
        shapes.set_shape(value.name, *((batch, *rest) for batch in (profile.smallest, profile.best, profile.largest)))
    config.add_optimization_profile(shapes)
    known = timing_cache.read_bytes() if timing_cache is not None and timing_cache.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise WorkshopError(f"TensorRT built no engine of {source}; its log above says why")
    if timing_cache is not None:
        timing_cache.parent.mkdir(parents=True, exist_ok=True)
        timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))
    folder.mkdir(parents=True, exist_ok=True)
    plan = folder / PLAN_FILE
    plan.write_bytes(bytes(engine))
    sources = [source, source.with_name(WEIGHTS_FILE)]
    sidecar = {
        "tensorrt": trt.__version__,
        **asdict(gpu),
        "precision": str(precision),
        "profile": asdict(profile),
        "plan_sha256": file_digest(plan),
        "source_sha256": {path.name: file_digest(path) for path in sources if path.is_file()},
    }
    (folder / SIDECAR_FILE).write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
    return plan


def mismatch(plan: Path, gpu: Gpu, tensorrt: str | None = None) -> str | None:
    """Why an engine must not be used here; None when nothing speaks against it."""
    try:
        sidecar: Mapping[str, Any] = json.loads(plan.with_name(SIDECAR_FILE).read_text(encoding="utf-8"))
        built, capability, digest = sidecar["tensorrt"], sidecar["compute_capability"], sidecar["plan_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{plan} has no readable {SIDECAR_FILE}"
    if not plan.is_file() or file_digest(plan) != digest:
        return f"{plan} is not the engine that {SIDECAR_FILE} describes"
    if capability != gpu.compute_capability:
        return f"{plan} was built for compute capability {capability}, and {gpu.name} has {gpu.compute_capability}"
    if tensorrt is not None and built != tensorrt:
        return f"{plan} was built by TensorRT {built}, and {tensorrt} serves"
    return None


def chosen_config(repository: Path, gpu: Gpu | None, tensorrt: str | None = None) -> tuple[str, list[str]]:
    """Triton's ``--model-config-name`` for this machine, and why it is not ``tensorrt`` where there are engines.

    ``tensorrt`` when every engine of the repository fits; else ``gpu`` (ONNX Runtime on the GPU), and without a GPU
    the empty name, with which Triton reads ``config.pbtxt``.
    """
    plans = sorted(repository.glob(f"*/*/{PLAN_FILE}"))
    if gpu is None:
        return "", ["no NVIDIA GPU"] if plans else []
    reasons = [reason for plan in plans if (reason := mismatch(plan, gpu, tensorrt))]
    return ("tensorrt" if plans and not reasons else "gpu"), reasons
