"""From a checkpoint to a published version, and what happens when the gate says no."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh.cards import load_card
from export.architectures import HybridConfig
from export.errors import GateError
from export.publishing import publish as publishing
from export.publishing.publish import publish
from export.publishing.repository import file_digest
from export.training.loop import train
from export.training.ptbxl import Records
from export.training.settings import TrainingSettings
from export.validation.scoring import OnnxModel


@pytest.fixture
def tiny_config() -> HybridConfig:
    return HybridConfig(
        stem_channels=8,
        growth=4,
        dense_layers=(1, 1),
        token_pool=20,
        gru_hidden=8,
        encoder_layers=1,
        encoder_heads=2,
    )


def test_published_version_and_refused_successor(
    tiny_config: HybridConfig,
    records: Records,
    tmp_path: Path,
    contents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = train(
        "tiny", tiny_config, records, TrainingSettings(epochs=1, batch=20), tmp_path / "run", progress=False
    )
    repository = tmp_path / "models"
    place = publish("tiny", checkpoint, records, repository, attribution=False)
    assert place == repository / "tiny" / "1"

    card = load_card(place / "card.json")
    assert card.artifacts["tiny/1/model.onnx"].sha256 == file_digest(place / "model.onnx")
    assert set(card.artifacts) == {
        f"tiny{part}/1/{f}" for part in ("", "_attribution") for f in ("model.onnx", "weights.bin")
    }
    assert card.artifacts["tiny/1/weights.bin"] == card.artifacts["tiny_attribution/1/weights.bin"]
    assert card.artifacts["tiny/1/model.onnx"].bytes == (place / "model.onnx").stat().st_size
    assert [s.code for s in card.statements][:5] == ["NORM", "MI", "STTC", "CD", "HYP"]
    assert card.attribution is None
    assert card.data.sha256 == records.digest()
    logits = OnnxModel.open(place / "model.onnx").logits(np.array(records.signals[:3]))
    assert {head.output: len(head.classes) for head in card.heads} == {k: v.shape[1] for k, v in logits.items()}
    text = (repository / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "Research use, not cleared" in text
    assert "CC BY 4.0" in text

    before = contents(tmp_path)
    monkeypatch.setattr(publishing, "neighbour_effect", lambda model, signals: 1.0)
    with pytest.raises(GateError, match="neighbours"):
        publish("tiny", checkpoint, records, repository, attribution=False)
    assert contents(tmp_path) == before
