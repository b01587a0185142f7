"""Logits become findings by the card alone."""

from __future__ import annotations

import math
import struct

import pytest

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import ModelCard
from cardiomesh.errors import CardioMeshError
from gateway.findings import findings, mean_logits
from tests.cards import card_of


def packed(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def test_logits_are_averaged_over_windows() -> None:
    assert mean_logits(packed(1, 2, 3, 4, 5, 6), classes=3, windows=2) == [2.5, 3.5, 4.5]


@pytest.mark.parametrize("raw", [b"", packed(1), packed(1, 2, 3) + b"\0"])
def test_an_answer_of_the_wrong_length_is_an_error(raw: bytes) -> None:
    with pytest.raises(CardioMeshError, match="bytes"):
        mean_logits(raw, classes=3, windows=1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_answer_that_is_not_finite_is_an_error(value: float) -> None:
    with pytest.raises(CardioMeshError, match="finite"):
        mean_logits(packed(0, value), classes=2, windows=1)


@pytest.fixture
def card() -> ModelCard:
    return card_of("tiny", classes=("NORM", "MI"), temperature=2.0, threshold=0.5)


def test_sigmoid_temperature_and_threshold_come_from_the_card(card: ModelCard) -> None:
    normal, infarction = findings(card, {"statements": [2.0, -2.0]})
    assert normal.probability == pytest.approx(1 / (1 + math.exp(-1.0)))
    assert infarction.probability == pytest.approx(1 / (1 + math.exp(1.0)))
    assert (normal.present, infarction.present) == (True, False)
    assert normal.urgency == types_pb2.URGENCY_ROUTINE


def test_a_probability_exactly_at_the_threshold_is_present(card: ModelCard) -> None:
    (finding, _) = findings(card, {"statements": [0.0, 0.0]})
    assert finding.present


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_do_not_overflow(card: ModelCard, logit: float) -> None:
    (finding, _) = findings(card, {"statements": [logit, 0.0]})
    assert finding.probability == (1.0 if logit > 0 else 0.0)


def test_softmax_heads_add_up_to_one() -> None:
    card = card_of("tiny", classes=("A", "B", "C"), activation="softmax")
    total = sum(f.probability for f in findings(card, {"statements": [1000.0, 0.0, -3.0]}))
    assert total == pytest.approx(1.0)


def test_the_prediction_set_comes_from_the_card(card: ModelCard) -> None:
    head = card.heads[0]
    bounded = head.classes[0].model_copy(update={"absent_to": 0.7, "present_from": 0.3})
    known = card.model_copy(update={"heads": (head.model_copy(update={"classes": (bounded, head.classes[1])}),)})

    def found(logit: float) -> list[int]:
        return [f.prediction_set for f in findings(known, {"statements": [logit, logit]})]

    unspecified = types_pb2.PREDICTION_SET_UNSPECIFIED
    assert found(0.0) == [types_pb2.PREDICTION_SET_BOTH, unspecified]
    assert found(6.0) == [types_pb2.PREDICTION_SET_PRESENT, unspecified]
    assert found(-6.0) == [types_pb2.PREDICTION_SET_ABSENT, unspecified]
