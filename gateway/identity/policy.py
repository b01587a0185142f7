"""Which role may call what. The one table; what is not in it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cardiomesh.errors import PermissionDenied
from gateway.identity.caller import Caller, Role

__all__ = ["AUDITED", "POLICY", "STREAMS", "permit"]

_MESH: Final = "/cardiomesh.gateway.v1.CardioMesh/"
_ADMIN: Final = "/cardiomesh.gateway.v1.ModelAdmin/"
_KSERVE: Final = "/inference.GRPCInferenceService/"

_CLINICIAN: Final = frozenset({Role.CLINICIAN})
_READERS: Final = frozenset({Role.READER, Role.CLINICIAN})
_OPERATOR: Final = frozenset({Role.OPERATOR})
_AUDITOR: Final = frozenset({Role.AUDITOR})
_ANYONE: Final = frozenset(Role)

#: Full gRPC method → roles of which one is enough.
POLICY: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        _MESH + "Analyze": _CLINICIAN,
        _MESH + "AnalyzeBatch": _CLINICIAN,
        _MESH + "AnalyzeLong": _CLINICIAN,
        _MESH + "AnalyzeStream": _CLINICIAN,
        _MESH + "Explain": _CLINICIAN,
        _MESH + "GetResult": _READERS,
        _MESH + "ListModels": _ANYONE,
        _MESH + "GetModelCard": _ANYONE,
        _MESH + "GetPerformance": _ANYONE,
        _ADMIN + "GetRoutes": _OPERATOR,
        _ADMIN + "SetCanary": _OPERATOR,
        _ADMIN + "SetShadow": _OPERATOR,
        _ADMIN + "Promote": _OPERATOR,
        _ADMIN + "Rollback": _OPERATOR,
        _ADMIN + "GetComparison": _OPERATOR,
        _KSERVE + "ServerLive": _ANYONE,
        _KSERVE + "ServerReady": _ANYONE,
        _KSERVE + "ServerMetadata": _ANYONE,
        _KSERVE + "ModelReady": _ANYONE,
        _KSERVE + "ModelMetadata": _ANYONE,
        _KSERVE + "ModelConfig": _ANYONE,
        _KSERVE + "ModelStatistics": _ANYONE,
        _KSERVE + "ModelInfer": _CLINICIAN,
        _KSERVE + "ModelStreamInfer": _CLINICIAN,
        _KSERVE + "RepositoryIndex": _OPERATOR,
        _KSERVE + "RepositoryModelLoad": _OPERATOR,
        _KSERVE + "RepositoryModelUnload": _OPERATOR,
        _KSERVE + "SystemSharedMemoryStatus": _OPERATOR,
        _KSERVE + "SystemSharedMemoryRegister": _OPERATOR,
        _KSERVE + "SystemSharedMemoryUnregister": _OPERATOR,
        _KSERVE + "CudaSharedMemoryStatus": _OPERATOR,
        _KSERVE + "CudaSharedMemoryRegister": _OPERATOR,
        _KSERVE + "CudaSharedMemoryUnregister": _OPERATOR,
        _KSERVE + "TraceSetting": _OPERATOR,
        _KSERVE + "LogSettings": _OPERATOR,
    }
)

#: What touches a recording, an answer or the models leaves a record; what everybody may look at does not.
AUDITED: Final[frozenset[str]] = frozenset(method for method, roles in POLICY.items() if roles != _ANYONE)
#: Answers leave before the call ends, so these are recorded when they start, too.
STREAMS: Final[frozenset[str]] = frozenset(
    {
        _MESH + "AnalyzeBatch",
        _MESH + "AnalyzeLong",
        _MESH + "AnalyzeStream",
        _MESH + "Explain",
        _KSERVE + "ModelStreamInfer",
    }
)


def permit(caller: Caller, method: str) -> None:
    """Raise PermissionDenied unless one of the caller's roles may call ``method`` (``/package.Service/Method``)."""
    allowed = POLICY.get(method, frozenset())
    if not caller.roles & allowed:
        name = method.rpartition("/")[2]
        needed = " or ".join(sorted(allowed)) if allowed else "no"
        raise PermissionDenied(f"{name} needs the role {needed}" if allowed else f"{name} is not offered here")
