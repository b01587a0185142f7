"""What can go wrong with the embedded mesh, each with words an operator can act on."""

from __future__ import annotations

from typing import Final

from cardiomesh.errors import Unavailable

__all__ = [
    "EXIT_ALREADY_RUNNING",
    "EXIT_FAILED",
    "AlreadyRunning",
    "MeshError",
    "MeshFailed",
    "MissingPart",
    "RuntimeBuildFailed",
]

#: Exit status of a supervisor process whose mesh failed, or found another mesh in its directory.
EXIT_FAILED: Final = 1
EXIT_ALREADY_RUNNING: Final = 3


class MeshError(Unavailable):
    """Base: the embedded mesh is not there to serve."""

    reason = "MESH_UNAVAILABLE"


class RuntimeBuildFailed(MeshError):
    """The Triton runtime environment could not be built; carries pip's last lines."""

    reason = "MESH_RUNTIME_BUILD_FAILED"


class MissingPart(MeshError):
    """This machine lacks something that pip cannot install; names it."""

    reason = "MESH_MISSING_PART"


class AlreadyRunning(MeshError):
    """A mesh already runs in this runtime directory; says where it listens."""

    reason = "MESH_ALREADY_RUNNING"


class MeshFailed(MeshError):
    """A part of the mesh died or did not become ready; carries its name, status and last log lines."""

    reason = "MESH_FAILED"
