"""Ensembles over published members; the members here are linear, so that the test costs no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper

from cardiomesh.cards import Artifact, load_card
from export.architectures import Hybrid, HybridConfig
from export.errors import GateError, WorkshopError
from export.publishing.card import calibrated_heads, draft_card
from export.publishing.ensemble import publish_ensemble
from export.publishing.repository import file_digest
from export.training.labels import build_label_space, targets
from export.training.ptbxl import Records
from export.training.settings import TRAINING_FOLDS, VALIDATION_FOLD
from export.validation.metrics import macro_auc
from export.validation.scoring import OnnxModel, open_model, probabilities


def _features(records: Records) -> np.ndarray:
    return np.asarray(records.signals).reshape(len(records), -1)


def _member(repository: Path, name: str, records: Records, seed: int, noise: float) -> None:
    """A published model whose logits point along the labels, disturbed by noise of its own."""
    space = build_label_space(records.select(TRAINING_FOLDS))
    random = np.random.default_rng(seed)
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    basis = np.linalg.pinv(_features(records)).astype(np.float32)
    truth = targets(records, space)
    nodes, constants = [helper.make_node("Flatten", ["ecg"], ["flat"])], []
    for head in space.heads:
        wanted = truth[head] + noise * random.standard_normal(truth[head].shape)
        constants.append(numpy_helper.from_array((basis @ wanted).astype(np.float32), f"w_{head}"))
        nodes.append(helper.make_node("MatMul", ["flat", f"w_{head}"], [head]))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("ecg", TensorProto.FLOAT, ["batch", 12, 1000])],
        [helper.make_tensor_value_info(h, TensorProto.FLOAT, ["batch", len(c)]) for h, c in space.heads.items()],
        constants,
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    validation = records.select((VALIDATION_FOLD,))
    logits = OnnxModel.open(path).logits(np.array(validation.signals))
    heads = calibrated_heads(space, logits, targets(validation, space), 160)
    network = Hybrid(HybridConfig(heads=space.sizes()[0]))
    card = draft_card(name, 1, network, 10, heads, records).model_copy(
        update={
            "attribution": None,
            "artifacts": {
                f"{name}/1/model.onnx": Artifact(sha256=file_digest(path), bytes=path.stat().st_size, precision="FP32")
            },
        }
    )
    (folder / "card.json").write_text(card.model_dump_json())


def _auc(repository: Path, name: str, records: Records) -> float:
    card = load_card(repository / name / "1" / "card.json")
    validation = records.select((VALIDATION_FOLD,))
    scores = probabilities(card, open_model(repository, card).logits(np.array(validation.signals)))
    truth = targets(validation, build_label_space(records))["statements"]
    return macro_auc(truth[:, :5], scores[:, :5])


def test_joins_members_and_beats_them(records: Records, tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        _member(tmp_path, name, records, seed, noise=0.8)
    place = publish_ensemble("both", ("a", "b"), records, tmp_path)
    card = load_card(place / "card.json")
    assert set(card.artifacts) == {"a/1/model.onnx", "b/1/model.onnx", "both_combination/1/model.onnx"}
    assert card.attribution is None
    assert _auc(tmp_path, "both", records) > max(_auc(tmp_path, name, records) for name in ("a", "b"))

    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    config = text_format.Parse((tmp_path / "both" / "config.pbtxt").read_text(), schema.ModelConfig())
    steps = config.ensemble_scheduling.step
    assert [(s.model_name, s.model_version) for s in steps] == [("a", 1), ("b", 1), ("both_combination", 1)]
    produced = {v for s in steps[:2] for v in s.output_map.values()}
    assert set(steps[2].input_map.values()) == produced
    combination = text_format.Parse((tmp_path / "both_combination" / "config.pbtxt").read_text(), schema.ModelConfig())
    inputs = {i.name for i in OnnxModel.open(tmp_path / "both_combination/1/model.onnx").session.get_inputs()}
    assert {i.name for i in combination.input} == inputs == set(steps[2].input_map)


def test_the_graph_is_the_mean_of_calibrated_logits(records: Records, tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        _member(tmp_path, name, records, seed, noise=0.8)
    publish_ensemble("both", ("a", "b"), records, tmp_path)
    signals = np.array(records.signals[:3])
    cards = [load_card(tmp_path / name / "1" / "card.json") for name in ("a", "b")]
    single = [OnnxModel.open(tmp_path / name / "1" / "model.onnx").logits(signals) for name in ("a", "b")]
    joined = open_model(tmp_path, load_card(tmp_path / "both" / "1" / "card.json")).logits(signals)
    for head in ("statements", "rhythm"):
        temperatures = [next(h.temperature for h in card.heads if h.output == head) for card in cards]
        expected = sum(s[head] / t for s, t in zip(single, temperatures, strict=True)) / 2
        np.testing.assert_allclose(joined[head], expected, rtol=1e-5, atol=1e-6)


def test_an_ensemble_that_does_not_beat_its_best_member_is_refused(
    records: Records, tmp_path: Path, contents: Any
) -> None:
    _member(tmp_path, "good", records, 0, noise=0.2)
    _member(tmp_path, "poor", records, 1, noise=50.0)
    before = contents(tmp_path)
    with pytest.raises(GateError, match="below that of its member good"):
        publish_ensemble("both", ("good", "poor"), records, tmp_path)
    assert contents(tmp_path) == before


def test_a_member_that_is_not_published_is_named(records: Records, tmp_path: Path) -> None:
    with pytest.raises(WorkshopError, match="no version of nowhere"):
        publish_ensemble("both", ("nowhere",), records, tmp_path)
