"""Binds an explanation to one prediction: same tensor, same model version, or none at all."""

from __future__ import annotations

import hashlib

import numpy as np

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.cards import CardStore, ModelCard
from cardiomesh.errors import InvalidRequest, NotFound, ResultMismatch
from explainer.model import FloatArray

__all__ = ["bound_card", "bound_tensor"]


def bound_card(cards: CardStore, request: explainer_pb2.ExplainRequest) -> ModelCard:
    """The card of the model that predicted; ResultMismatch when it is another by now."""
    card = cards.get(request.model.name, request.model.version)
    if card is None:
        raise NotFound(f"no card of {request.model.name!r} version {request.model.version}")
    if card.digest != request.model.card_digest:
        raise ResultMismatch("the model card is not the one the prediction was made with")
    return card


def bound_tensor(request: explainer_pb2.ExplainRequest, card: ModelCard) -> FloatArray:
    """The tensor ``[windows, leads, samples]`` in mV; ResultMismatch when it is not the one that was predicted on."""
    shape = (len(request.window_starts), len(card.input.leads), card.input.samples)
    if not shape[0] or len(request.tensor) != 4 * int(np.prod(shape)):
        raise InvalidRequest.field("tensor", f"is not float32 of shape {list(shape)}", "SHAPE")
    if hashlib.sha256(request.tensor).hexdigest() != request.tensor_hash:
        raise ResultMismatch("the tensor is not the one the prediction was made on")
    ecg = np.frombuffer(request.tensor, "<f4").reshape(shape)
    if not np.isfinite(ecg).all():
        raise InvalidRequest.field("tensor", "holds numbers that are not finite", "NOT_FINITE")
    return ecg
