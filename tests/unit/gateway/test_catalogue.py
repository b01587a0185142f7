from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from cardiomesh.cards import CARD_FILE, ModelCard, load_card
from gateway.catalogue import Catalogue, Model

REPOSITORY = Path(__file__).parents[3] / "model_repository"


def _card(name: str, version: int) -> ModelCard:
    published = load_card(next(iter(sorted(REPOSITORY.glob(f"{name}/[0-9]*/{CARD_FILE}")))))
    return published.model_copy(update={"version": version})


@pytest.mark.parametrize(("newest_ready", "expected"), [(True, 2), (False, 1)])
async def test_of_two_served_versions_one_is_the_default(newest_ready: bool, expected: int) -> None:
    async with grpc.aio.insecure_channel("localhost:1") as channel:
        catalogue = Catalogue(REPOSITORY, channel, "hybrid_mobile")
        assert not any(map(catalogue.answers_by_default, catalogue.all()))
        models = [
            Model(_card("edge_optimized", 1), True),
            Model(_card("hybrid_mobile", 1), True),
            Model(_card("hybrid_mobile", 2), newest_ready),
        ]
        catalogue._models = {(m.card.name, m.card.version): m for m in models}
        (default,) = [m for m in catalogue.all() if catalogue.answers_by_default(m)]
        assert (default.card.name, default.card.version) == ("hybrid_mobile", expected)
        assert catalogue.resolve("", 0) is default
