"""The committed model repository: cards, files and graphs belong together. No patient data is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from cardiomesh.cards import CARD_FILE, ModelCard, load_card
from cardiomesh.ecg.conditioning import PREPROCESSING_VERSION
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.statements import taxonomy
from export.publishing.gate import neighbour_effect, neighbour_limit
from export.publishing.rollback import verify
from export.validation.scoring import OnnxModel

REPOSITORY = Path(__file__).parents[3] / "model_repository"
CARDS = {
    (card.name, card.version): card
    for card in (load_card(path) for path in sorted(REPOSITORY.glob(f"*/[0-9]*/{CARD_FILE}")))
}
#: Models that are one network; an ensemble has no file of its own.
NETWORKS = {key: card for key, card in CARDS.items() if f"{key[0]}/{key[1]}/model.onnx" in card.artifacts}


def _ecg(count: int) -> np.ndarray:
    random = np.random.default_rng(12)
    seconds = np.arange(1000) / 100
    beat = np.mod(seconds * random.uniform(0.8, 1.6, (count, 1, 1)), 1)
    qrs = random.uniform(-0.5, 1.2, (count, 12, 1)) * np.exp(-(((beat - 0.3) / 0.02) ** 2))
    t = random.uniform(-0.1, 0.3, (count, 12, 1)) * np.exp(-(((beat - 0.6) / 0.07) ** 2))
    return (qrs + t + 0.01 * random.standard_normal((count, 12, 1000))).astype(np.float32)


def test_the_first_models_are_published() -> None:
    assert {"edge_optimized", "hybrid_mobile"} <= {name for name, _ in CARDS}


def test_every_file_is_the_one_its_card_describes() -> None:
    good, wrong = verify(REPOSITORY)
    assert wrong == []
    assert {f"{name}/{version}/model.onnx" for name, version in NETWORKS} <= set(good)


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: f"{card.name}-{card.version}")
def test_card_describes_what_lies_beside_it(card: ModelCard) -> None:
    assert card.input.leads == STANDARD_LEADS
    assert card.input.preprocessing_version == PREPROCESSING_VERSION
    known = taxonomy()
    for statement in card.statements:
        entry = known[statement.code]
        assert (statement.name, statement.name_pt, statement.snomed_ct) == (
            entry.name,
            entry.name_pt,
            entry.snomed_ct,
        )


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: f"{card.name}-{card.version}")
def test_triton_configuration_fits_the_card(card: ModelCard) -> None:
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    text = (REPOSITORY / card.name / "config.pbtxt").read_text()
    config = text_format.Parse(text, schema.ModelConfig())
    assert config.name == card.name
    assert list(config.input[0].dims) == [12, card.input.samples]
    assert {o.name: list(o.dims) for o in config.output} == {h.output: [len(h.classes)] for h in card.heads}


@pytest.mark.parametrize("card", NETWORKS.values(), ids=lambda card: f"{card.name}-{card.version}")
def test_answers_do_not_depend_on_their_neighbours(card: ModelCard) -> None:
    artifact = card.artifacts[f"{card.name}/{card.version}/model.onnx"]
    model = OnnxModel.open(REPOSITORY / card.name / str(card.version) / "model.onnx")
    assert neighbour_effect(model, _ecg(32)) <= neighbour_limit(artifact.precision)


@pytest.mark.parametrize("card", NETWORKS.values(), ids=lambda card: f"{card.name}-{card.version}")
def test_attribution_explains_the_very_prediction(card: ModelCard) -> None:
    if card.attribution is None:
        pytest.skip(f"{card.name} is published without an attribution graph")
    ecg = _ecg(2)
    logits = OnnxModel.open(REPOSITORY / card.name / str(card.version) / "model.onnx").logits(ecg)
    session = OnnxModel.open(REPOSITORY / card.attribution / str(card.version) / "model.onnx").session
    names = [o.name for o in session.get_outputs()]
    target = np.zeros((2, len(card.statements)), dtype=np.float32)
    target[:, 1] = 1.0
    answers = dict(zip(names, session.run(names, {"ecg": ecg, "target": target}), strict=True))
    for name, value in logits.items():
        np.testing.assert_allclose(answers[name], value, rtol=1e-4, atol=1e-4)

    # The gradient predicts what a small change of the signal does to the explained logit.
    direction = answers["gradient"] / np.linalg.norm(answers["gradient"], axis=(1, 2), keepdims=True)
    step = 1e-3
    model = OnnxModel.open(REPOSITORY / card.name / str(card.version) / "model.onnx")
    ahead = model.logits((ecg + step * direction).astype(np.float32))["statements"][:, 1]
    back = model.logits((ecg - step * direction).astype(np.float32))["statements"][:, 1]
    slope = np.linalg.norm(answers["gradient"], axis=(1, 2))
    np.testing.assert_allclose((ahead - back) / (2 * step), slope, rtol=0.05)
