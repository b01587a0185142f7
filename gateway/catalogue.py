"""Which models can answer now: what Triton serves, with the cards that lie beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import CardError, CardStore, ModelCard
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import NotFound, Unavailable

__all__ = ["Catalogue", "Model"]

log = logging.getLogger("cardiomesh.catalogue")
_LOOK_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Model:
    """One served version of one model, with its card."""

    card: ModelCard
    ready: bool

    @property
    def ref(self) -> types_pb2.ModelRef:
        """As answers name it."""
        return types_pb2.ModelRef(name=self.card.name, version=self.card.version, card_digest=self.card.digest)


class Catalogue:
    """The served models; ``refresh`` looks again, and keeps what was known while Triton is away."""

    def __init__(self, repository: Path, channel: grpc.aio.Channel, default_model: str) -> None:
        self._repository = repository
        self._cards = CardStore(repository)
        self._triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._default = default_model
        self._know({})
        self._broken: set[tuple[str, int]] = set()

    async def refresh(self) -> Sequence[str]:
        """Ask Triton what it serves; returns what is missing for calls to succeed."""
        try:
            index = await self._triton.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(), timeout=_LOOK_TIMEOUT_S, wait_for_ready=False
            )
        except grpc.RpcError:
            self._know({key: Model(model.card, ready=False) for key, model in self._models.items()})
            return ["triton"]
        served = {(m.name, int(m.version)): m.state == "READY" for m in index.models if m.version.isdigit()}
        models = {}
        for (name, version), ready in served.items():
            card = self._card(name, version)
            if card is not None:
                models[name, version] = Model(card, ready)
        self._know(models)
        if not any(model.ready for model in self.versions(self._default)):
            log.warning("the default model is not served", extra={"model": self._default})
        # Requests may name a model: one that answers is enough to be ready.
        return [] if any(model.ready for model in models.values()) else ["models"]

    def _know(self, models: Mapping[tuple[str, int], Model]) -> None:
        self._models = dict(sorted(models.items()))
        cards = [model.card for model in self._models.values()]
        self._graphs = frozenset(card.name for card in cards) | {card.attribution for card in cards if card.attribution}
        self._by_name = {name: [m for m in self._models.values() if m.card.name == name] for name, _ in self._models}

    def _card(self, name: str, version: int) -> ModelCard | None:
        try:
            card = self._cards.get(name, version)
        except CardError:
            if (name, version) not in self._broken:
                self._broken.add((name, version))
                log.exception("model card refused", extra={"model": name, "model_version": version})
            return None
        if card is not None and card.input.leads != STANDARD_LEADS:
            log.error("model takes other leads", extra={"model": name, "model_version": version})
            return None
        return card

    def versions(self, name: str) -> list[Model]:
        """Every version of a model that Triton knows, ready or not, oldest first."""
        return self._by_name.get(name, [])

    def find(self, name: str, version: int) -> Model | None:
        """One version, ready or not."""
        return self._models.get((name, version))

    def resolve(self, name: str, version: int) -> Model:
        """The model by its name; empty is the default, version 0 the newest that is ready."""
        wanted = name or self._default
        versions = self.versions(wanted)
        if not versions:
            if not self._models:
                raise Unavailable("triton has not been reached yet; no model is known")
            known = sorted({known for known, _ in self._models})
            raise NotFound(f"no such model is served; there are: {', '.join(known)}")
        if version:
            exact = next((m for m in versions if m.card.version == version), None)
            if exact is None:
                there = ", ".join(str(m.card.version) for m in versions)
                raise NotFound(f"{wanted} has no such version; there are: {there}")
            return exact
        ready = [model for model in versions if model.ready]
        return (ready or versions)[-1]

    def all(self) -> Iterable[Model]:
        """Every served version that has a card, by name and version."""
        return self._models.values()

    def graphs(self) -> frozenset[str]:
        """Names that may be asked for by KServe v2: the published models and the graphs that explain them."""
        return self._graphs

    def card_bytes(self, model: Model) -> bytes:
        """The card's file, byte for byte."""
        return self._cards.path(model.card.name, model.card.version).read_bytes()
