"""The written configuration against Triton's own schema."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from export.publishing.triton import attribution_config, prediction_config

model_config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2")
HEADS = {"statements": 30, "rhythm": 6}


def _parse(text: str) -> object:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_prediction_configuration() -> None:
    files = prediction_config("m", 12, 1000, HEADS)
    config = _parse(files["config.pbtxt"])
    assert config.backend == "onnxruntime"
    assert list(config.input[0].dims) == [12, 1000]
    assert {o.name: list(o.dims) for o in config.output} == {"statements": [30], "rhythm": [6]}
    assert config.HasField("dynamic_batching")
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    assert {w.batch_size for w in config.model_warmup} == {1, 8}
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU


def test_attribution_configuration() -> None:
    config = _parse(attribution_config("m_attribution", 12, 1000, HEADS, 50)["config.pbtxt"])
    assert {i.name: list(i.dims) for i in config.input} == {"ecg": [12, 1000], "target": [36]}
    assert {o.name: list(o.dims) for o in config.output}["gradient"] == [12, 1000]
    assert {o.name: list(o.dims) for o in config.output}["cam"] == [50]


@pytest.mark.parametrize(
    "files", [prediction_config("m", 12, 1000, HEADS), attribution_config("m", 12, 1000, HEADS, 50)]
)
def test_the_gpu_variant_differs_in_its_instances_alone(files: dict[str, str]) -> None:
    cpu, gpu = _parse(files["config.pbtxt"]), _parse(files["configs/gpu.pbtxt"])
    assert gpu.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    del cpu.instance_group[:], gpu.instance_group[:]
    assert cpu == gpu
