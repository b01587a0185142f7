"""Ensembles over published members; the members here are linear, so that the test costs no training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper

from cardiomesh.cards import Artifact, load_card
from export.architectures import HybridConfig
from export.calibration.heads import calibrated_heads, head_logits, judge
from export.errors import GateError, WorkshopError
from export.publishing.card import draft_card, hybrid_facts
from export.publishing.ensemble import publish_ensemble
from export.publishing.repository import file_digest
from export.publishing.rollback import check_members_stay, rollback
from export.training.labels import build_label_space, targets
from export.training.ptbxl import Records
from export.training.settings import TRAINING_FOLDS, VALIDATION_FOLD
from export.validation.metrics import macro_auc
from export.validation.scoring import OnnxModel, open_model


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
    patients = validation.table["patient_id"].to_numpy()
    heads = calibrated_heads(space, logits, targets(validation, space), patients, 160)
    facts = hybrid_facts(name, HybridConfig(heads=space.sizes()[0]), 10, attribution=False)
    artifact = Artifact(sha256=file_digest(path), bytes=path.stat().st_size, precision="FP32")
    card = draft_card(facts, 1, heads, records).model_copy(update={"artifacts": {f"{name}/1/model.onnx": artifact}})
    (folder / "card.json").write_text(card.model_dump_json())


@pytest.fixture(scope="module")
def members(records: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two members; tests that publish work on copies of it."""
    repository = tmp_path_factory.mktemp("members")
    for seed, name in enumerate(("a", "b")):
        _member(repository, name, records, seed, noise=0.8)
    return repository


@pytest.fixture(scope="module")
def joined(members: Path, records: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with their ensemble ``both``; tests only read it."""
    repository = Path(shutil.copytree(members, tmp_path_factory.mktemp("joined") / "models"))
    assert publish_ensemble("both", ("a", "b"), records, repository) == repository / "both" / "1"
    return repository


def _auc(repository: Path, name: str, records: Records) -> float:
    card = load_card(repository / name / "1" / "card.json")
    validation = records.select((VALIDATION_FOLD,))
    scores = judge(card.heads, open_model(repository, card).logits(np.array(validation.signals))).probability
    truth = targets(validation, build_label_space(records))["statements"]
    return macro_auc(truth[:, :5], scores[:, :5])


def test_joins_members_and_beats_them(records: Records, joined: Path) -> None:
    card = load_card(joined / "both" / "1" / "card.json")
    assert set(card.artifacts) == {"a/1/model.onnx", "b/1/model.onnx", "both_combination/1/model.onnx"}
    assert card.attribution is None
    assert _auc(joined, "both", records) > max(_auc(joined, name, records) for name in ("a", "b"))

    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    config = text_format.Parse((joined / "both" / "config.pbtxt").read_text(), schema.ModelConfig())
    steps = config.ensemble_scheduling.step
    assert [(s.model_name, s.model_version) for s in steps] == [("a", 1), ("b", 1), ("both_combination", 1)]
    produced = {v for s in steps[:2] for v in s.output_map.values()}
    assert set(steps[2].input_map.values()) == produced
    combination = text_format.Parse((joined / "both_combination" / "config.pbtxt").read_text(), schema.ModelConfig())
    inputs = {i.name for i in OnnxModel.open(joined / "both_combination/1/model.onnx").session.get_inputs()}
    assert {i.name for i in combination.input} == inputs == set(steps[2].input_map)


def test_the_graph_is_the_weighted_mean_of_calibrated_logits(records: Records, joined: Path) -> None:
    signals = np.array(records.signals[:3])
    cards = [load_card(joined / name / "1" / "card.json") for name in ("a", "b")]
    single = [OnnxModel.open(joined / name / "1" / "model.onnx").logits(signals) for name in ("a", "b")]
    both = load_card(joined / "both" / "1" / "card.json")
    answered = open_model(joined, both).logits(signals)
    for head in ("statements", "rhythm"):
        weights = [m["weights"][head] for m in both.architecture.config["members"]]
        heads = [next(h for h in card.heads if h.output == head) for card in cards]
        parts = zip(weights, heads, single, strict=True)
        expected = sum(w * head_logits(h, logits[head]) for w, h, logits in parts)
        np.testing.assert_allclose(answered[head], expected, rtol=1e-5, atol=1e-6)


def test_the_card_says_whether_the_gain_is_shown(joined: Path) -> None:
    card = load_card(joined / "both" / "1" / "card.json")
    (gain,) = (m for m in card.metrics if m.name.startswith("superclass_macro_auc_gain_over_"))
    assert gain.low is not None
    assert ("not shown to be better" in card.description) is (gain.low <= 0)
    readme = (joined / "both" / "README.md").read_text(encoding="utf-8")
    assert gain.name in readme
    assert card.description in readme


def test_an_ensemble_to_which_a_member_adds_nothing_is_refused(records: Records, tmp_path: Path, contents: Any) -> None:
    _member(tmp_path, "good", records, 0, noise=0.2)
    _member(tmp_path, "poor", records, 1, noise=50.0)
    before = contents(tmp_path)
    with pytest.raises(GateError, match="falls to good"):
        publish_ensemble("both", ("good", "poor"), records, tmp_path)
    assert contents(tmp_path) == before


def test_a_member_is_not_withdrawn_from_under_an_ensemble(records: Records, joined: Path, contents: Any) -> None:
    before = contents(joined)
    with pytest.raises(GateError, match="both 1 answers with a 1; roll it back first"):
        rollback(joined, "a")
    check_members_stay(joined, "a", 2)  # the two newest are served
    (joined / "a" / "2").mkdir()
    with pytest.raises(GateError, match="would no longer be served beside version 3"):
        check_members_stay(joined, "a", 3)
    (joined / "a" / "2").rmdir()
    assert contents(joined) == before


@pytest.mark.parametrize(
    ("names", "reason"),
    [(("a",), "two different models"), (("a", "a"), "two different models"), (("a", "both"), "cannot be a member")],
)
def test_what_is_no_ensemble_is_named(names: tuple[str, ...], reason: str, records: Records, joined: Path) -> None:
    with pytest.raises(WorkshopError, match=reason):
        publish_ensemble("more", names, records, joined)


def test_a_member_that_is_not_published_is_named(records: Records, members: Path) -> None:
    with pytest.raises(WorkshopError, match="no such version of nowhere"):
        publish_ensemble("both", ("a", "nowhere"), records, members)
