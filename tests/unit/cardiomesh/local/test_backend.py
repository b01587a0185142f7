"""The pure parts of the Triton backend; Triton's own module is replaced, the rest is real."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime
import pytest

import cardiomesh.local


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # exists only inside Triton's stub; nothing that is tested here calls it
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
    source = Path(cardiomesh.local.__file__).parent / "backend" / "onnxruntime" / "model.py"
    spec = importlib.util.spec_from_file_location("onnxruntime_backend", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("version", "fits"), [("1.26.4", True), ("1.9.0", True), ("2.0.0", False), ("2.4.6", False)])
def test_numpy_2_is_refused(backend: Any, version: str, fits: bool) -> None:
    if fits:
        backend.check_numpy(version)
    else:
        with pytest.raises(backend.CannotServe, match="would empty every output"):
            backend.check_numpy(version)


def version(repository: Path, name: str, **files: bytes) -> Path:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    for stem, content in files.items():
        (folder / stem.replace("__", ".")).write_bytes(content)
    return folder / "model.onnx"


def write_card(repository: Path, name: str, **artifacts: str) -> None:
    values = {key.replace("__", ".").replace("_of_", "/1/"): {"sha256": digest} for key, digest in artifacts.items()}
    (repository / name / "1" / "card.json").write_text(json.dumps({"artifacts": values}))


def test_the_cards_digests_must_be_the_files(backend: Any, tmp_path: Path) -> None:
    right, wrong = hashlib.sha256(b"weights").hexdigest(), "0" * 64
    model = version(tmp_path, "ecg", model__onnx=b"graph", weights__bin=b"weights")
    graph = hashlib.sha256(b"graph").hexdigest()
    write_card(tmp_path, "ecg", ecg_of_model__onnx=graph, ecg_of_weights__bin=right, ecg_of_model__plan=wrong)
    backend.check_artifact(model)  # the plan is of another backend, and not here
    write_card(tmp_path, "ecg", ecg_of_model__onnx=graph, ecg_of_weights__bin=wrong)
    with pytest.raises(backend.CannotServe, match=rf"weights\.bin has sha256 {right}"):
        backend.check_artifact(model)
    write_card(tmp_path, "ecg", ecg_of_model__onnx=wrong, other_of_model__onnx=wrong)
    with pytest.raises(backend.CannotServe, match=r"model\.onnx has sha256"):
        backend.check_artifact(model)
    write_card(tmp_path, "ecg", ecg_of_model__onnx=graph, ecg_of_more__bin=right)
    with pytest.raises(backend.CannotServe, match=r"more\.bin is in card\.json but not"):
        backend.check_artifact(model)


def test_a_part_without_a_card_is_checked_by_the_card_of_its_whole(backend: Any, tmp_path: Path) -> None:
    right, wrong = hashlib.sha256(b"graph").hexdigest(), "0" * 64
    version(tmp_path, "ecg", model__onnx=b"graph")
    part = version(tmp_path, "ecg_attribution", model__onnx=b"graph")
    values = {"ecg/1/model.onnx": {"sha256": right}, "ecg_attribution/1/model.onnx": {"sha256": right}}
    (tmp_path / "ecg" / "1" / "card.json").write_text(json.dumps({"artifacts": values}))
    backend.check_artifact(part)
    values["ecg_attribution/1/model.onnx"]["sha256"] = wrong
    (tmp_path / "ecg" / "1" / "card.json").write_text(json.dumps({"artifacts": values}))
    with pytest.raises(backend.CannotServe, match=rf"has sha256 {right}"):
        backend.check_artifact(part)


def test_without_a_card_nothing_is_claimed(backend: Any, tmp_path: Path) -> None:
    backend.check_artifact(tmp_path / "model.onnx")


def test_the_defaults_are_the_production_backends(backend: Any) -> None:
    options = backend.session_options({})
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (0, 0)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.enable_cpu_mem_arena
    assert options.enable_mem_pattern
    assert backend.run_options({}) is None


def parameters(**values: str) -> dict[str, Any]:
    return {"parameters": {key: {"string_value": value} for key, value in values.items()}}


def test_parameters_are_honoured(backend: Any) -> None:
    config = parameters(
        intra_op_thread_count="3",
        inter_op_thread_count="2",
        execution_mode="1",
        enable_mem_arena="0",
        enable_mem_pattern="false",
    )
    options = backend.session_options(config)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (-1, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC),
        (0, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL),
        (1, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED),
        (2, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL),
    ],
)
def test_graph_levels_mean_what_they_mean_in_production(backend: Any, level: int, expected: object) -> None:
    options = backend.session_options({"optimization": {"graph": {"level": level}}})
    assert options.graph_optimization_level == expected


@pytest.mark.parametrize(
    "wrong", [{"execution_mode": "2"}, {"intra_op_thread_count": "many"}, {"enable_mem_arena": "perhaps"}]
)
def test_a_wrong_parameter_is_named(backend: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(backend.CannotServe, match=next(iter(wrong))):
        backend.session_options(parameters(**wrong))


def test_the_contract(backend: Any) -> None:
    graph = {"ecg": backend.Tensor("ecg", "TYPE_FP32", (-1, 12, 1000))}

    def compare(**entry: Any) -> None:
        config = {"name": "ecg", "data_type": "TYPE_FP32", "dims": ["12", "1000"]} | entry
        backend.check_contract(backend.declared([config], batched=True), graph, "input")

    compare()
    compare(dims=["12", "-1"])
    compare(dims=["12000"], reshape={"shape": ["12", "1000"]})
    for wrong in (
        {"dims": ["12", "5000"]},
        {"dims": ["12000"]},
        {"data_type": "TYPE_FP16"},
        {"name": "signal"},
        {"allow_ragged_batch": True},
        {"optional": True},
    ):
        with pytest.raises(backend.CannotServe):
            compare(**wrong)
