"""Under which keys the cache knows preparations and answers: all of the tenant of the call that is being served."""

from __future__ import annotations

import hashlib
from typing import Literal

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh.cards import ModelCard
from gateway.analysis.cache import CacheKey, cache_key
from gateway.door import current_call

__all__ = ["key_by_id", "key_of_answer", "key_of_preparation"]


def key_of_preparation(digest: str, measured: bool, card: ModelCard) -> CacheKey:
    """What the preprocessor found in the recording of this digest."""
    # What one model's card lets pass is not prepared for another.
    kind = ("measured" if measured else "prep") + "".join(sorted(card.input.may_miss))
    return cache_key(current_call().tenant, kind, card.input.preprocessing_version, digest)


def key_of_answer(prepared: preprocessor_pb2.PrepareResponse, card: ModelCard, circumstances: str) -> CacheKey:
    """The answer of one exact model on one signal, decided under these circumstances."""
    signal = prepared.signal_hash
    if circumstances:
        # An answer with another decision is another answer. One digest over both: circumstances alone could be guessed.
        signal = hashlib.sha256(f"{signal}:{circumstances}".encode()).hexdigest()
    return cache_key(
        current_call().tenant,
        "result",
        prepared.preprocessing_version,
        card.name,
        card.version,
        card.digest,
        signal,
    )


def key_by_id(kind: Literal["id", "recording", "tensor"], result_id: str) -> CacheKey:
    """What is kept of an answer by its id: itself, what was sent, or the tensor."""
    return cache_key(current_call().tenant, kind, hashlib.sha256(result_id.encode()).hexdigest())
