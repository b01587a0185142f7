"""Binds an explanation to one prediction: same tensor, same model version, or none at all."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.cards import CardStore, ModelCard
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import InvalidRequest, NotFound, ResultMismatch
from explainer.attribution import METHOD, attribute
from explainer.rules import load_rules, rule_evaluation
from explainer.served import ServedModel

__all__ = ["Explanation"]


class Explanation:
    """Makes the parts of an explanation, in the order in which they are ready."""

    def __init__(self, cards: CardStore, served: ServedModel, telemetry: Telemetry) -> None:
        self._cards = cards
        self._served = served
        self._telemetry = telemetry

    async def parts(self, request: explainer_pb2.ExplainRequest) -> AsyncIterator[explainer_pb2.ExplainResponse]:
        """The parts; refuses with ResultMismatch when tensor or card are not those of the prediction."""
        card = self._card(request)
        ecg = _tensor(request, card)
        known = {statement.code for statement in card.statements}
        unknown = [code for code in request.finding_codes if code not in known]
        if unknown or not request.finding_codes:
            raise InvalidRequest.field("finding_codes", "name findings that the model knows", "UNKNOWN")
        wanted = set(request.methods)
        if not wanted or explainer_pb2.METHOD_RULES in wanted:
            yield self._rules(request)
            if wanted == {explainer_pb2.METHOD_RULES}:
                return
        predicted = await self._served.predict(card, ecg)
        for code in dict.fromkeys(request.finding_codes):
            started = time.perf_counter()
            found = await attribute(self._served, card, ecg, predicted, code)
            self._telemetry.count("explanations", {"cardiomesh.method": METHOD, "cardiomesh.model": card.name})
            yield explainer_pb2.ExplainResponse(
                model=request.model,
                tensor_hash=request.tensor_hash,
                attribution=explainer_pb2.Attribution(
                    finding_code=code,
                    method=METHOD,
                    leads=card.input.leads,
                    sampling_rate=card.input.sampling_rate_hz,
                    values=found.values.astype("<f4").tobytes(),
                    window_starts=request.window_starts,
                    probability=found.probability,
                    lead_shares=found.lead_shares,
                    prediction_gap=found.prediction_gap,
                    compute_milliseconds=(time.perf_counter() - started) * 1e3,
                ),
            )

    def _rules(self, request: explainer_pb2.ExplainRequest) -> explainer_pb2.ExplainResponse:
        """The first part: it needs no model, so it comes even when Triton is away."""
        started = time.perf_counter()
        part = explainer_pb2.ExplainResponse(
            model=request.model,
            tensor_hash=request.tensor_hash,
            method=explainer_pb2.METHOD_RULES,
            rules=rule_evaluation(load_rules(), request),
        )
        part.compute_milliseconds = (time.perf_counter() - started) * 1e3
        self._telemetry.count("explanations", {"cardiomesh.method": "rules", "cardiomesh.model": request.model.name})
        return part

    def _card(self, request: explainer_pb2.ExplainRequest) -> ModelCard:
        card = self._cards.get(request.model.name, request.model.version)
        if card is None:
            raise NotFound(f"no card of {request.model.name!r} version {request.model.version}")
        if card.digest != request.model.card_digest:
            raise ResultMismatch("the model card is not the one the prediction was made with")
        return card


def _tensor(request: explainer_pb2.ExplainRequest, card: ModelCard) -> npt.NDArray[np.float32]:
    shape = (len(request.window_starts), len(card.input.leads), card.input.samples)
    if not shape[0] or len(request.tensor) != 4 * int(np.prod(shape)):
        raise InvalidRequest.field("tensor", f"is not float32 of shape {list(shape)}", "SHAPE")
    if hashlib.sha256(request.tensor).hexdigest() != request.tensor_hash:
        raise ResultMismatch("the tensor is not the one the prediction was made on")
    ecg = np.frombuffer(request.tensor, "<f4").reshape(shape)
    if not np.isfinite(ecg).all():
        raise InvalidRequest.field("tensor", "holds numbers that are not finite", "NOT_FINITE")
    return ecg
