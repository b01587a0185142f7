"""The embedded mesh: ``cardiomesh up`` without Docker, and what integration tests stand on.

``Mesh`` runs it, ``status`` and ``down`` work on one that runs, ``ensure_triton`` builds what it needs.
"""

from cardiomesh.local.control import MeshStatus, ProcessStatus, down, mesh_directory, status
from cardiomesh.local.development import development_key
from cardiomesh.local.errors import AlreadyRunning, MeshError, MeshFailed, MissingPart, RuntimeBuildFailed
from cardiomesh.local.mesh import Addresses, Mesh
from cardiomesh.local.plan import Restart
from cardiomesh.local.progress import Progress, Step, progress_table
from cardiomesh.local.runtime import TritonRuntime, default_runtime_dir, ensure_triton

__all__ = [
    "Addresses",
    "AlreadyRunning",
    "Mesh",
    "MeshError",
    "MeshFailed",
    "MeshStatus",
    "MissingPart",
    "ProcessStatus",
    "Progress",
    "Restart",
    "RuntimeBuildFailed",
    "Step",
    "TritonRuntime",
    "default_runtime_dir",
    "development_key",
    "down",
    "ensure_triton",
    "mesh_directory",
    "progress_table",
    "status",
]
