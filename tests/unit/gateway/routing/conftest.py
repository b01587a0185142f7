"""A catalogue of small models, as Triton would have told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import grpc
import pytest

from gateway.catalogue import Catalogue, Model
from gateway.routing import Router
from gateway.routing.book import MemoryBook
from tests.cards import card_of
from tests.conftest import ROOT

ORDER = ("ensemble", "hybrid_full", "hybrid_mobile", "edge_optimized")
Serve = Callable[..., None]


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    async with grpc.aio.insecure_channel("localhost:1") as channel:  # nobody is there
        yield Catalogue(ROOT / "model_repository", channel, "hybrid_mobile")


@pytest.fixture
def serve(catalogue: Catalogue) -> Serve:
    """``serve("hybrid_mobile:2", ...)``: these are ready; with a ``!`` behind it one is known and is not."""

    def known(*names: str) -> None:
        models = []
        for name in names:
            model, _, version = name.rstrip("!").partition(":")
            models.append(Model(card_of(model, version=int(version or 1)), ready=not name.endswith("!")))
        catalogue._know({(m.card.name, m.card.version): m for m in models})

    return known


@pytest.fixture
def book() -> MemoryBook:
    return MemoryBook()


@pytest.fixture
async def router(catalogue: Catalogue, book: MemoryBook, serve: Serve) -> Router:
    """One on an empty table, in front of five models of one version."""
    serve(*ORDER, "hybrid_full_pruned")
    made = Router(
        catalogue,
        book,
        default_model="hybrid_mobile",
        modes={"fast": "edge_optimized", "accurate": "ensemble"},
        fallback=ORDER,
    )
    await made.refresh()
    return made
