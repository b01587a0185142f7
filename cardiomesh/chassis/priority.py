"""The word that travels with a call and says how long it may wait."""

from __future__ import annotations

from typing import Final

__all__ = ["EXPLANATION", "PRIORITY_HEADER"]

#: gRPC metadata and HTTP header alike.
PRIORITY_HEADER: Final = "x-cardiomesh-priority"
#: Behind everything else.
EXPLANATION: Final = "explanation"
