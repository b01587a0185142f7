"""A card is read whole or refused with the reason."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from cardiomesh.cards import CardError, CardStore, PredictionSet, load_card
from tests.cards import card_of
from tests.conftest import ROOT


def write(folder: Path, change: Any = None) -> Path:
    path = folder / "tiny" / "1" / "card.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = json.loads(card_of("tiny").model_dump_json())
    if change:
        change(plain)
    path.write_text(json.dumps(plain))
    return path


def test_the_digest_is_of_the_files_bytes(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert load_card(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_card_of_the_first_schema_is_read_as_it_always_was(tmp_path: Path) -> None:
    def older(plain: dict[str, Any]) -> None:
        plain["schema_version"] = 1
        del plain["calibration"], plain["data"]["training_records"]
        for statement in plain["heads"][0]["classes"]:
            for name in ("scale", "bias", "absent_to", "present_from"):
                del statement[name]

    head = load_card(write(tmp_path, older)).heads[0]
    assert head.probabilities([0.0, 0.0]) == [0.5, 0.5]
    assert head.classes[0].prediction_set(0.5) is None


def test_each_class_has_its_own_line() -> None:
    head = card_of("tiny", temperature=2.0).heads[0]
    lines = (head.classes[0].model_copy(update={"scale": 3.0, "bias": -1.0}), head.classes[1])
    first, second = head.model_copy(update={"classes": lines}).probabilities([2.0, 2.0])
    assert first == pytest.approx(1 / (1 + math.exp(-(3.0 * 2.0 / 2.0 - 1.0))))
    assert second == pytest.approx(1 / (1 + math.exp(-1.0)))
    for statement, probability in zip(lines, (first, second), strict=True):
        assert head.logit_at(statement, probability) == pytest.approx(2.0)


def test_logits_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match=r"argument 2 is (shorter|longer)"):
        card_of("tiny").heads[0].probabilities([0.0])


@pytest.mark.parametrize(
    ("absent_to", "present_from", "probability", "expected"),
    [
        (0.6, 0.4, 0.3, PredictionSet.ABSENT),
        (0.6, 0.4, 0.4, PredictionSet.BOTH),
        (0.6, 0.4, 0.6, PredictionSet.BOTH),
        (0.6, 0.4, 0.61, PredictionSet.PRESENT),
        (0.4, 0.6, 0.5, PredictionSet.NONE),
        (1.0, 0.0, 0.5, PredictionSet.BOTH),
    ],
)
def test_the_limits_belong_to_the_set(
    absent_to: float, present_from: float, probability: float, expected: PredictionSet
) -> None:
    statement = card_of("tiny").statements[0]
    bounded = statement.model_copy(update={"absent_to": absent_to, "present_from": present_from})
    assert bounded.prediction_set(probability) is expected


def repeat_a_code(plain: dict[str, Any]) -> None:
    plain["heads"].append({**plain["heads"][0], "output": "other"})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda plain: plain.pop("heads"), "heads"),
        (lambda plain: plain.update(surprise=1), "surprise"),
        (lambda plain: plain["heads"][0].update(temperature=0), "temperature"),
        (lambda plain: plain["heads"][0]["classes"][0].update(threshold=1.5), "threshold"),
        (repeat_a_code, "unique"),
        (lambda plain: plain.update(version=2), "not where it lies"),
        (lambda plain: plain.update(name="other"), "not where it lies"),
    ],
)
def test_a_wrong_card_is_refused_with_the_place(tmp_path: Path, change: Any, word: str) -> None:
    with pytest.raises(CardError, match=word):
        load_card(write(tmp_path, change))


def test_a_card_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text("{")
    with pytest.raises(CardError):
        load_card(path)


def test_a_version_without_a_card_has_none(tmp_path: Path) -> None:
    assert CardStore(tmp_path).get("tiny", 1) is None
    with pytest.raises(CardError):
        load_card(tmp_path / "card.json")


@pytest.mark.parametrize("path", sorted((ROOT / "model_repository").glob("*/*/card.json")), ids=str)
def test_published_cards_describe_the_files_beside_them(path: Path) -> None:
    card = load_card(path)
    assert card.limits
    assert card.data.licence
    assert card.artifacts
    for name, artifact in card.artifacts.items():
        content = (ROOT / "model_repository" / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (artifact.bytes, artifact.sha256)
