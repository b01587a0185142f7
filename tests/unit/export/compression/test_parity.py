from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiomesh.cards import ModelCard, load_card
from export.compression.parity import compare_answers, open_variant, parity_metrics
from export.errors import WorkshopError

EDGE = Path(__file__).resolve().parents[4] / "model_repository" / "edge_optimized" / "1"


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return load_card(EDGE / "card.json")


def _logits(card: ModelCard, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {h.output: random.normal(-1, 2, (60, len(h.classes))).astype(np.float32) for h in card.heads}


TRUTH = (np.random.default_rng(5).random((60, 5)) < 0.4).astype(np.float32)
PATIENTS = np.arange(60) // 2


def test_equal_answers_have_no_difference(card: ModelCard) -> None:
    found = compare_answers((card, _logits(card)), (card, _logits(card)), TRUTH, PATIENTS, draws=50)
    assert (found.max_probability_change, found.flips, found.flip_share) == (0.0, 0, 0.0)
    assert (found.auc_change.value, found.auc_change.low, found.auc_change.high) == (0.0, 0.0, 0.0)
    assert found.decisions == 60 * len(card.statements)


def test_one_flip_is_counted_in_its_class(card: ModelCard) -> None:
    head, k = card.heads[0], 7
    before, after = _logits(card), _logits(card)
    before[head.output][3, k], after[head.output][3, k] = -40.0, 40.0
    found = compare_answers((card, before), (card, after), TRUTH, PATIENTS, draws=50)
    assert (found.flips, found.worst_class, found.worst_class_flips) == (1, head.classes[k].code, 1)
    assert found.max_probability_change == pytest.approx(1, abs=1e-3)
    assert found.mean_probability_change == pytest.approx(1 / found.decisions, abs=1e-5)


def test_the_auc_change_has_the_sign_of_the_variant(card: ModelCard) -> None:
    better = _logits(card)
    better[card.heads[0].output][:, :5] += 3 * TRUTH
    found = compare_answers((card, _logits(card)), (card, better), TRUTH, PATIENTS, draws=100)
    assert 0 < found.auc_change.low < found.auc_change.value < found.auc_change.high


def test_each_answer_is_read_by_its_own_card(card: ModelCard) -> None:
    head = card.heads[0]
    strict = head.model_copy(update={"classes": tuple(c.model_copy(update={"threshold": 1.0}) for c in head.classes)})
    other = card.model_copy(update={"heads": (strict, *card.heads[1:])})
    found = compare_answers((card, _logits(card)), (other, _logits(card)), TRUTH, PATIENTS, draws=20)
    assert found.max_probability_change == 0.0
    assert found.flips > 0


def test_other_classes_are_refused(card: ModelCard) -> None:
    other = card.model_copy(update={"heads": tuple(reversed(card.heads)), "name": "reversed"})
    with pytest.raises(WorkshopError, match="reversed answers other classes than edge_optimized"):
        compare_answers((card, _logits(card)), (other, _logits(card)), TRUTH, PATIENTS)


def test_rows_of_a_card(card: ModelCard) -> None:
    found = compare_answers((card, _logits(card)), (card, _logits(card, 1)), TRUTH, PATIENTS, draws=50)
    rows = {m.name: m for m in parity_metrics(found, "noise", "python -m export parity")}
    assert rows["parity_flip_share"].value == pytest.approx(found.flips / found.decisions, abs=1e-6)
    change = rows["parity_superclass_macro_auc_change"]
    assert change.low is not None
    assert change.high is not None
    assert change.low <= change.value <= change.high


def test_a_variant_that_is_not_there_is_named(card: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(WorkshopError, match=r"none\.onnx does not exist"):
        open_variant(tmp_path / "none.onnx", card)
    (tmp_path / "model.plan").write_bytes(b"plan")
    with pytest.raises(WorkshopError, match="can be run here"):
        open_variant(tmp_path / "model.plan", card)
