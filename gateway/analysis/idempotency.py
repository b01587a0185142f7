"""The same request sent twice makes one record: its idempotency key finds the answer that was given the first time.

The key is a field of the request and not metadata: every item of a batch has its own, and JSON has it for free.
"""

from __future__ import annotations

import hashlib

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.errors import InvalidRequest, KeyReused, Unsupported
from gateway.store import Claim, Ledger

__all__ = ["MAX_KEY", "claim_of", "earlier_answer"]

MAX_KEY = 128


def claim_of(request: gateway_pb2.AnalyzeRequest, tenant: str, ledger: Ledger | None) -> Claim | None:
    """What a request with a key claims; None where it has none. Unsupported where nothing is stored."""
    key = request.idempotency_key
    if not key:
        return None
    if ledger is None:
        raise Unsupported("idempotency keys need a store (CARDIOMESH_STORE_URL)")
    if len(key) > MAX_KEY:
        raise InvalidRequest.field("idempotency_key", f"is longer than {MAX_KEY} characters", "TOO_LONG")
    if request.include_signal:
        raise InvalidRequest.field("include_signal", "cannot be repeated: signals are not stored", "UNSUPPORTED")
    seen = gateway_pb2.AnalyzeRequest()
    seen.CopyFrom(request)
    seen.ClearField("idempotency_key")
    seen.ClearField("bypass_cache")  # how it is computed does not change what is asked
    digest = hashlib.sha256(seen.SerializeToString(deterministic=True)).hexdigest()
    # A key may be made of anything, a patient's number for one: what is stored leads back to nothing.
    return Claim(key=ledger.pseudonyms.lookup(tenant, f"idempotency\0{key}"), request=digest)


async def earlier_answer(claim: Claim, ledger: Ledger) -> gateway_pb2.AnalyzeResponse | None:
    """The answer that was given under this key, marked as repeated; KeyReused where it was to another request."""
    kept = await ledger.claimed(claim.key)
    if kept is None:
        return None
    request, answer = kept
    if request != claim.request:
        raise KeyReused("the idempotency key was used for another request")
    repeated = gateway_pb2.AnalyzeResponse.FromString(answer)
    repeated.replayed = True
    return repeated
