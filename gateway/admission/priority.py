"""Who goes first: the header that says so, what holds without it, and Triton's word for it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from cardiomesh.chassis.priority import PRIORITY_HEADER
from cardiomesh.errors import InvalidRequest, PermissionDenied
from gateway.identity import Caller, Role

__all__ = ["COSTLY", "Priority", "priority_of", "said_priority"]

_MESH: Final = "/cardiomesh.gateway.v1.CardioMesh/"
_KSERVE: Final = "/inference.GRPCInferenceService/"


class Priority(IntEnum):
    """Lower goes first. The number is Triton's priority level: ``export/publishing/triton.py`` gives models as many."""

    EMERGENCY = 1
    ROUTINE = 2
    BATCH = 3
    EXPLANATION = 4


#: Methods that compute, with what they are where the caller does not say. An explanation is one whatever is said.
COSTLY: Final[Mapping[str, Priority]] = {
    _MESH + "Analyze": Priority.ROUTINE,
    _MESH + "AnalyzeBatch": Priority.BATCH,
    _MESH + "AnalyzeLong": Priority.BATCH,
    _MESH + "AnalyzeStream": Priority.ROUTINE,
    _MESH + "Explain": Priority.EXPLANATION,
    _KSERVE + "ModelInfer": Priority.ROUTINE,
    _KSERVE + "ModelStreamInfer": Priority.ROUTINE,
}
_SAID: Final = {p.name.lower(): p for p in (Priority.EMERGENCY, Priority.ROUTINE, Priority.BATCH)}
#: Who sends recordings knows what is urgent; others have nothing that could be.
_MAY_CLAIM_EMERGENCY: Final = Role.CLINICIAN


def said_priority(method: str, metadata: Mapping[str, str]) -> Priority:
    """What a call says it is, or is by default; InvalidRequest for a word that is none."""
    default = COSTLY.get(method, Priority.ROUTINE)
    word = metadata.get(PRIORITY_HEADER)
    if word is None:
        return default
    said = _SAID.get(word.strip().lower())
    if said is None:
        raise InvalidRequest.field(PRIORITY_HEADER, f"is none of {', '.join(_SAID)}", "UNKNOWN")
    return default if default is Priority.EXPLANATION else said


def priority_of(caller: Caller, method: str, metadata: Mapping[str, str]) -> Priority:
    """The same of a known caller; PermissionDenied for an emergency of somebody who cannot have one."""
    priority = said_priority(method, metadata)
    if priority is Priority.EMERGENCY and _MAY_CLAIM_EMERGENCY not in caller.roles:
        raise PermissionDenied(f"an emergency needs the role {_MAY_CLAIM_EMERGENCY}")
    return priority
