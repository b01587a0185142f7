"""A published verdict is of the card beside it: of any other it would say nothing, and every method would be on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cardiomesh.cards import CARD_FILE, VERDICT_FILE, load_card
from tests.conftest import ROOT

VERDICTS = sorted((ROOT / "model_repository").glob(f"*/*/{VERDICT_FILE}"))


def test_the_default_model_has_a_verdict() -> None:
    assert any(path.parents[1].name == "hybrid_mobile" for path in VERDICTS)


@pytest.mark.parametrize("path", VERDICTS, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_a_verdict_is_of_the_card_beside_it(path: Path) -> None:
    card = load_card(path.with_name(CARD_FILE))
    verdict = json.loads(path.read_text())
    assert (verdict["model"], verdict["version"], verdict["card_digest"]) == (card.name, card.version, card.digest)
