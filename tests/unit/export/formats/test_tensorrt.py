"""Everything up to the library, with ``FakeTensorRT`` in its place: no GPU, no engine is built here."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from export.errors import WorkshopError
from export.formats.tensorrt import Gpu, Precision, Profile, build_engine, chosen_config, find_gpu, mismatch
from export.publishing.triton import tensorrt_config

T4, A100 = Gpu("Tesla T4", "7.5"), Gpu("A100", "8.0")


@dataclass
class FakeTensorRT:
    """Records what a builder is told; its engine is the word ENGINE."""

    readable: bool = True
    builds: bool = True
    flags: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    parsed: list[str] = field(default_factory=list)
    cache: bytes = b""
    __version__: str = "10.3.0"

    def __post_init__(self) -> None:
        self.BuilderFlag = SimpleNamespace(FP16="FP16", INT8="INT8")
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="WORKSPACE")
        self.Logger = type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None})
        self.Builder = lambda logger: self
        self.OnnxParser = lambda network, logger: self
        self.num_errors = 1

    def create_network(self, flags: int) -> object:
        return "network"

    def parse_from_file(self, path: str) -> bool:
        self.parsed.append(path)
        return self.readable

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: "no importer registered for op: GRU")

    def create_builder_config(self) -> FakeTensorRT:
        return self

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        assert (pool, size > 0) == ("WORKSPACE", True)

    def set_flag(self, flag: str) -> None:
        self.flags.append(flag)

    def create_optimization_profile(self) -> FakeTensorRT:
        return self

    def set_shape(self, name: str, *shapes: Any) -> None:
        self.shapes[name] = shapes

    def add_optimization_profile(self, profile: object) -> None:
        assert profile is self

    def create_timing_cache(self, known: bytes) -> bytes:
        self.cache = known
        return known

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> None:
        assert not ignore_mismatch

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: self.cache + b"+timed")

    def build_serialized_network(self, network: object, config: object) -> bytes | None:
        return b"ENGINE" if self.builds else None


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    fake = FakeTensorRT()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return fake


def _graph(path: Path, quantised: bool = False) -> Path:
    nodes = [helper.make_node("Relu", ["ecg"], ["y"])]
    constants = []
    if quantised:
        constants = [
            helper.make_tensor("s", TensorProto.FLOAT, [], [0.1]),
            helper.make_tensor("z", TensorProto.INT8, [], [0]),
        ]
        nodes = [
            helper.make_node("QuantizeLinear", ["ecg", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ]
    shape = ["batch", 12, 1000]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ecg", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_an_fp16_engine(library: FakeTensorRT, tmp_path: Path) -> None:
    source = _graph(tmp_path / "model.onnx")
    (tmp_path / "weights.bin").write_bytes(b"weights")
    cache = tmp_path / "kept" / "cache"
    plan = build_engine(source, tmp_path / "v", Precision.FP16, Profile(1, 4, 16), T4, cache)
    assert plan.read_bytes() == b"ENGINE"
    assert library.flags == ["FP16"]
    assert library.parsed == [str(source)]
    assert library.shapes == {"ecg": ((1, 12, 1000), (4, 12, 1000), (16, 12, 1000))}
    assert cache.read_bytes() == b"+timed"
    sidecar = json.loads((tmp_path / "v" / "model.plan.json").read_text())
    assert (sidecar["tensorrt"], sidecar["compute_capability"]) == ("10.3.0", "7.5")
    assert set(sidecar["source_sha256"]) == {"model.onnx", "weights.bin"}
    build_engine(source, tmp_path / "v", Precision.FP16, Profile(), T4, cache)
    assert cache.read_bytes() == b"+timed+timed"  # the kept timings were used


def test_an_int8_engine_comes_from_a_qdq_file_only(library: FakeTensorRT, tmp_path: Path) -> None:
    plain, quantised = _graph(tmp_path / "a.onnx"), _graph(tmp_path / "b.onnx", quantised=True)
    build_engine(quantised, tmp_path / "v", Precision.INT8, Profile(), T4)
    assert library.flags == ["FP16", "INT8"]
    with pytest.raises(WorkshopError, match="not in QDQ form: not for int8"):
        build_engine(plain, tmp_path / "w", Precision.INT8, Profile(), T4)
    with pytest.raises(WorkshopError, match="is in QDQ form: not for fp16"):
        build_engine(quantised, tmp_path / "w", Precision.FP16, Profile(), T4)
    assert not (tmp_path / "w").exists()


def test_what_the_library_cannot_do_is_one_line(library: FakeTensorRT, tmp_path: Path) -> None:
    source = _graph(tmp_path / "model.onnx")
    library.builds = False
    with pytest.raises(WorkshopError, match="built no engine"):
        build_engine(source, tmp_path / "v", Precision.FP16, Profile(), T4)
    library.readable = False
    with pytest.raises(WorkshopError, match=r"cannot read .*: no importer registered for op: GRU"):
        build_engine(source, tmp_path / "v", Precision.FP16, Profile(), T4)
    del library.BuilderFlag.FP16
    with pytest.raises(WorkshopError, match=r"install tensorrt 10\.x"):
        build_engine(source, tmp_path / "v", Precision.FP16, Profile(), T4)


def test_an_engine_of_another_gpu_version_or_file_is_refused(library: FakeTensorRT, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    folder = repository / "m" / "1"
    plan = build_engine(_graph(tmp_path / "model.onnx"), folder, Precision.FP16, Profile(), T4)
    assert mismatch(plan, T4, "10.3.0") is None
    assert chosen_config(repository, T4) == ("tensorrt", [])
    name, reasons = chosen_config(repository, A100)
    assert name == "gpu"
    assert "built for compute capability 7.5, and A100 has 8.0" in reasons[0]
    assert "built by TensorRT 10.3.0, and 10.9.0 serves" in (mismatch(plan, T4, "10.9.0") or "")
    assert chosen_config(repository, None)[0] == ""
    plan.write_bytes(b"OTHER")
    assert "is not the engine" in (mismatch(plan, T4) or "")
    (folder / "model.plan.json").unlink()
    assert "has no readable" in (mismatch(plan, T4) or "")


def test_without_engines_onnx_answers_where_there_is_a_gpu(tmp_path: Path) -> None:
    assert chosen_config(tmp_path, T4) == ("gpu", [])
    assert chosen_config(tmp_path, None) == ("", [])


def test_no_gpu_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkshopError, match=r"^no NVIDIA GPU"):
        find_gpu()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Tesla T4, 7.5'\n")
    tool.chmod(0o755)
    assert find_gpu() == T4


@pytest.mark.parametrize("sizes", [(0, 1, 2), (4, 2, 8), (1, 8, 4)])
def test_an_impossible_profile_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(WorkshopError, match="min ≤ opt ≤ max"):
        Profile(*sizes)


def test_the_configuration_is_tritons() -> None:
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    (text,) = tensorrt_config("m", 3, 16, 12, 1000, {"statements": 30, "rhythm": 6}).values()
    config = text_format.Parse(text, schema.ModelConfig())
    assert (config.backend, config.default_model_filename, config.max_batch_size) == ("tensorrt", "model.plan", 16)
    assert list(config.version_policy.specific.versions) == [3]
    assert [o.name for o in config.output] == ["statements", "rhythm"]
