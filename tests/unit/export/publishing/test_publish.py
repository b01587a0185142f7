"""From a checkpoint to a published version, and what happens when the gate says no."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from cardiomesh.cards import load_card
from export.architectures import HybridConfig
from export.calibration.heads import card_space
from export.errors import CheckpointError, GateError, WorkshopError
from export.publishing import release as releasing
from export.publishing.card import Facts
from export.publishing.publish import publish, publish_files, recalibrate
from export.publishing.repository import file_digest
from export.publishing.rollback import rollback, verify
from export.training.loop import train
from export.training.ptbxl import Records
from export.training.settings import TrainingSettings
from export.validation.scoring import OnnxModel

FILES = {f"{name}/1/{file}" for name in ("tiny", "tiny_attribution") for file in ("model.onnx", "weights.bin")}


@pytest.fixture(scope="module")
def checkpoint(records: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = HybridConfig(
        stem_channels=8,
        growth=4,
        dense_layers=(1, 1),
        token_pool=20,
        gru_hidden=8,
        encoder_layers=1,
        encoder_heads=2,
    )
    folder = tmp_path_factory.mktemp("run")
    return train("tiny", config, records, TrainingSettings(epochs=1, batch=20), folder, progress=False)


@pytest.fixture(scope="module")
def published(checkpoint: Path, records: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with version 1 of ``tiny`` and of its attribution graph; tests work on copies of it."""
    repository = tmp_path_factory.mktemp("published") / "models"
    assert publish("tiny", checkpoint, records, repository) == repository / "tiny" / "1"
    return repository


@pytest.fixture
def repository(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "models"))


def test_a_published_version_is_described_by_its_card(repository: Path, records: Records) -> None:
    place = repository / "tiny" / "1"
    card = load_card(place / "card.json")
    assert set(card.artifacts) == FILES
    assert card.artifacts["tiny/1/model.onnx"].sha256 == file_digest(place / "model.onnx")
    assert [s.code for s in card.statements][:5] == ["NORM", "MI", "STTC", "CD", "HYP"]
    assert card.data.sha256 == records.digest()
    assert card.calibration is not None
    assert {"superclass_macro_auc", "superclass_ece", "conformal_coverage"} <= {m.name for m in card.metrics}
    logits = OnnxModel.open(place / "model.onnx").logits(np.array(records.signals[:3]))
    assert {head.output: len(head.classes) for head in card.heads} == {k: v.shape[1] for k, v in logits.items()}
    text = (repository / "tiny" / "README.md").read_text(encoding="utf-8")
    for part in ("Research use, not cleared", "CC BY 4.0", "Subgroups", "prediction sets", "## Limits"):
        assert part in text
    assert verify(repository) == (sorted(FILES), [])


def test_recalibrating_makes_a_version_of_the_same_weights_and_rollback_takes_it_back(
    repository: Path, records: Records, contents: Any
) -> None:
    before = contents(repository)
    place = recalibrate("tiny", records, repository)
    assert place == repository / "tiny" / "2"
    old, new = (load_card(repository / "tiny" / n / "card.json") for n in ("1", "2"))
    assert new.artifacts["tiny/2/model.onnx"].sha256 == old.artifacts["tiny/1/model.onnx"].sha256
    assert new.heads == old.heads
    assert verify(repository)[1] == []
    assert rollback(repository, "tiny") == 2
    after = contents(repository)
    assert {path: after[path] for path in before} == before


def _edit(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        model = onnx.load(path)
        change(model)
        onnx.save(model, path)

    return apply


def _nan(model: onnx.ModelProto) -> None:
    weights = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    values = numpy_helper.to_array(weights).copy()
    values.flat[3] = np.nan
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))


def _old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


def _renamed(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.output[:] = ["rhythms" if name == "rhythm" else name for name in node.output]
    for output in model.graph.output:
        output.name = output.name.replace("rhythm", "rhythms")


def _fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _other_weights(model: onnx.ModelProto) -> None:
    weights = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    values = -numpy_helper.to_array(weights)
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_edit(_nan), "not finite"),
        (_edit(_old_opset), "not a valid ONNX file|opset 12"),
        (_edit(_renamed), "the card promises"),
        (_edit(_fixed_batch), "batch of an input is fixed|not a valid ONNX file"),
        (_edit(_other_weights), "disagree"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "not a valid ONNX file"),
        (lambda path: path.write_bytes(b""), "not a valid ONNX file|opset 0"),
    ],
    ids=["nan", "opset", "output", "batch", "attribution", "cut", "empty"],
)
def test_a_spoilt_file_is_refused_and_the_repository_is_byte_identical(
    spoil: Callable[[Path], None], reason: str, repository: Path, records: Records, tmp_path: Path, contents: Any
) -> None:
    for name in ("tiny", "tiny_attribution"):
        shutil.copytree(repository / name / "1", tmp_path / name)
    spoil(tmp_path / "tiny" / "model.onnx")
    card = load_card(repository / "tiny" / "1" / "card.json")
    facts = Facts("tiny", card.description, card.architecture, card.input, card.attribution)
    before = contents(repository)
    files = tmp_path / "tiny" / "model.onnx", tmp_path / "tiny_attribution" / "model.onnx"
    with pytest.raises(WorkshopError, match=reason) as refusal:
        publish_files(facts, card_space(card), *files, records, repository)
    assert len(str(refusal.value).splitlines()) == 1
    assert contents(repository) == before
    assert not list(repository.parent.glob(".publish-*"))


def test_a_refusal_of_the_gate_leaves_the_repository_byte_identical(
    repository: Path, records: Records, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(repository)
    monkeypatch.setattr(releasing, "neighbour_effect", lambda model, signals: 1.0)
    with pytest.raises(GateError, match="neighbours"):
        recalibrate("tiny", records, repository)
    assert contents(repository) == before


def test_a_checkpoint_that_holds_nan_is_refused(
    checkpoint: Path, repository: Path, records: Records, tmp_path: Path, contents: Any
) -> None:
    stored = torch.load(checkpoint, weights_only=True)
    next(iter(stored["average"].values())).view(-1)[0] = float("nan")
    torch.save(stored, tmp_path / "nan.pt")
    before = contents(repository)
    with pytest.raises(CheckpointError, match="finite"):
        publish("tiny", tmp_path / "nan.pt", records, repository)
    assert contents(repository) == before


def test_a_file_that_was_changed_behind_the_cards_back_is_found(
    repository: Path, records: Records, contents: Any
) -> None:
    file = repository / "tiny" / "1" / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    (repository / "tiny" / "1" / "stray.bin").write_text("?")
    good, wrong = verify(repository)
    assert set(good) == FILES - {"tiny/1/model.onnx"}
    assert wrong == [
        "tiny/1/model.onnx: is not the file that the card of tiny 1 describes",
        "tiny/1/stray.bin: no card describes it",
    ]
    before = contents(repository)
    with pytest.raises(GateError, match="not the file that the card"):
        recalibrate("tiny", records, repository)
    assert contents(repository) == before
