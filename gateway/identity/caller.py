"""Who makes a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

__all__ = ["TENANT_PATTERN", "Caller", "Proof", "Role"]

#: A tenant is a part of cache keys and rows: short, and free of what separates keys.
TENANT_PATTERN: Final = r"^[a-z0-9-]{1,64}$"
#: "internal" is the gateway itself, when it decides something.
Proof = Literal["api_key", "jwt", "certificate", "anonymous", "internal"]


class Role(StrEnum):
    """What somebody may do; a caller can have several, and none includes another."""

    READER = "reader"  # looks up what others have asked for
    CLINICIAN = "clinician"  # sends recordings and reads answers
    OPERATOR = "operator"  # runs the models
    AUDITOR = "auditor"  # reads who did what


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated caller. The name goes to the audit trail alone, never into telemetry."""

    name: str
    tenant: str
    roles: frozenset[Role]
    proof: Proof
