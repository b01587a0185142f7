"""What schemathesis has to know of this API: its lines of JSON, and that a 503 or a 504 with a reason is an answer."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

#: What may go wrong without being wrong: a part is away, or the deadline that the request itself set has passed.
_TYPED = frozenset({"unavailable", "deadline_exceeded"})


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> bytes:
    """One line an item; schemathesis makes one of them."""
    items = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(item, default=str).encode() for item in items)


@schemathesis.check
def typed_server_error(ctx: Any, response: Any, case: Any) -> None:
    """A 5xx says what happened, and it is nothing that this gateway did not foresee."""
    if response.status_code < 500:
        return
    problem = json.loads(response.content) if "problem+json" in "".join(response.headers["content-type"]) else {}
    reason = str(problem.get("type", "")).rpartition(":")[2]
    assert reason in _TYPED, f"{response.status_code} {response.content[:300]!r}"
