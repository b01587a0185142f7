"""Looks for an earlier answer to the same recording of the same subject, and remembers this one.

Sub-linear: one look-up for each landmark, whatever the number of recordings. Only within one tenant and one subject:
every key holds a hash keyed with both, so that Redis knows neither who it is nor whose recordings belong together.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from typing import Final

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from gateway.analysis.cache import CacheKey, ResultCache, cache_key
from gateway.duplicates.alike import ALIKE, similarity

__all__ = ["NearDuplicates"]

Fingerprint = preprocessor_pb2.Fingerprint
Found = gateway_pb2.NearDuplicate
#: Recordings under one landmark; a paced heart has the same intervals in all of them.
_NEWEST: Final = 16
#: Of those that share landmarks, so many are compared, the ones that share most.
_COMPARED: Final = 8


class NearDuplicates:
    """Marks, and never answers: what is found is named in the answer that was computed as always."""

    def __init__(self, cache: ResultCache, key: bytes, ttl_s: int) -> None:
        self._cache = cache
        self._key = key
        self._ttl_s = ttl_s

    async def look(self, tenant: str, subject_ref: str, result_id: str, fingerprint: Fingerprint) -> Found:
        """The most alike earlier answer, if any is alike enough; whatever fails is a "not looked up"."""
        if not fingerprint.landmarks:
            return Found(reason="TOO_FEW_BEATS")
        subject = hmac.new(self._key, f"{tenant}\0{subject_ref}".encode(), hashlib.sha256).digest()
        places = [_name(tenant, subject, f"landmark:{landmark}") for landmark in fingerprint.landmarks]
        sharing = await self._cache.indexed(places)
        if sharing is None:
            return Found(reason="CACHE_AWAY")
        votes = Counter(name for names in sharing for name in names)
        del votes[result_id]
        ids = [name for name, _ in votes.most_common(_COMPARED)]
        earlier = await self._cache.get_all([_name(tenant, subject, f"print:{name}") for name in ids], Fingerprint)
        if earlier is None:
            return Found(reason="CACHE_AWAY")
        await self._cache.put({_name(tenant, subject, f"print:{result_id}"): fingerprint}, self._ttl_s)
        await self._cache.index(places, result_id, newest=_NEWEST, ttl_s=self._ttl_s)
        alike = [
            (similarity(fingerprint.beats, print_.beats), name)
            for name, print_ in zip(ids, earlier, strict=True)
            if print_ is not None
        ]
        most, name = max(alike, default=(0.0, ""))
        if most < ALIKE:
            return Found(looked_up=True)
        return Found(looked_up=True, result_id=name, similarity=most)


def _name(tenant: str, subject: bytes, what: str) -> CacheKey:
    """One key; nobody without the subject's own key can tell what it is about."""
    return cache_key(tenant, "near", hashlib.blake2b(what.encode(), key=subject, digest_size=16).hexdigest())
