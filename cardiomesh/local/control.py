"""Look at a mesh and stop it, from any process: all that is needed is its directory."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field

from cardiomesh.local import probes
from cardiomesh.local.errors import MeshError
from cardiomesh.local.runtime import default_runtime_dir
from cardiomesh.local.state import (
    MeshRecord,
    MeshState,
    ProcessRecord,
    ProcessState,
    StateFile,
    remove_shared_memory,
)

__all__ = ["MeshStatus", "ProcessStatus", "down", "mesh_directory", "status"]

_STOP_WITHIN: Final = 90.0  # seconds; the sum of what the children are given


class ProcessStatus(BaseModel):
    """One process, as it is now."""

    state: ProcessState
    pid: int | None = None
    restarts: int = 0
    log: str = ""


class MeshStatus(BaseModel):
    """The mesh, as it is now."""

    state: MeshState
    addresses: dict[str, str] = Field(default_factory=dict)
    processes: dict[str, ProcessStatus] = Field(default_factory=dict)
    models: dict[str, str] = Field(default_factory=dict, description="NAME:VERSION -> READY, or why not.")
    supervisor: int | None = None
    message: str = Field(default="", description="What went wrong last, if anything did.")

    def to_json(self) -> dict[str, Any]:
        """One flat object: ``state``, an address per listener, ``processes``, ``models``, ``message``."""
        values = self.model_dump(mode="json")
        return {"state": values.pop("state"), **values.pop("addresses"), **values}


def mesh_directory(runtime_dir: Path | None = None) -> Path:
    """Where the mesh of a runtime directory keeps its state and logs."""
    return (runtime_dir or default_runtime_dir()).resolve() / "mesh"


def status(runtime_dir: Path | None = None, *, directory: Path | None = None) -> MeshStatus:
    """What runs, asked of the processes themselves and not only read from the state file."""
    file = StateFile(directory or mesh_directory(runtime_dir))
    alive = file.locked()
    record = file.read()
    if not alive:
        return MeshStatus(state=MeshState.STOPPED, message=record.message if record else "")
    if record is None or not record.supervisor.alive():  # a new supervisor holds the lock and has not written yet
        return MeshStatus(state=MeshState.STARTING)
    processes = _ask(record)
    models = probes.model_states(record.addresses["triton_http"]) if "triton_http" in record.addresses else {}
    state = record.state
    unwell = any(process.state not in (ProcessState.READY, ProcessState.DONE) for process in processes.values())
    if state is MeshState.READY and (unwell or any(s != "READY" for s in (models or {}).values())):
        state = MeshState.DEGRADED
    return MeshStatus(
        state=state,
        addresses=record.addresses,
        processes=processes,
        models=models or {},
        supervisor=record.supervisor.pid,
        message=record.message,
    )


def _ask(record: MeshRecord) -> dict[str, ProcessStatus]:
    def ask(process: ProcessRecord) -> ProcessStatus:
        state = process.state
        if state is ProcessState.READY and process.probe is not None and not probes.ready(process.probe):
            state = ProcessState.UNREADY
        pid = process.identity.pid if process.identity else None
        return ProcessStatus(state=state, pid=pid, restarts=process.restarts, log=process.log)

    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = {name: pool.submit(ask, process) for name, process in record.processes.items()}
        return {name: answer.result() for name, answer in answers.items()}


def down(runtime_dir: Path | None = None, *, directory: Path | None = None) -> bool:
    """Stop the mesh and wait until all of it is gone; False when none was running."""
    file = StateFile(directory or mesh_directory(runtime_dir))
    if not file.locked():
        return False
    record = _written(file)
    with suppress(ProcessLookupError):
        os.kill(record.supervisor.pid, signal.SIGTERM)
    if not _gone(file, record, _STOP_WITHIN):
        with suppress(ProcessLookupError):  # the kernel kills its children with it
            os.kill(record.supervisor.pid, signal.SIGKILL)
        if not _gone(file, record, 10.0):
            raise MeshError(f"the mesh in {file.directory} (supervisor {record.supervisor.pid}) does not stop")
        for prefix in record.shared_memory:
            remove_shared_memory(prefix)
    return True


def _written(file: StateFile) -> MeshRecord:
    """The state of a supervisor that holds the lock; it writes within milliseconds of taking it."""
    give_up = time.monotonic() + 10.0
    while time.monotonic() < give_up:
        record = file.read()
        if record is not None and record.supervisor.alive():
            return record
        time.sleep(0.05)
    raise MeshError(f"something holds the lock in {file.directory} and is not a mesh")


def _gone(file: StateFile, record: MeshRecord, within: float) -> bool:
    give_up = time.monotonic() + within
    while time.monotonic() < give_up:
        last = file.read() or record
        children = [p.identity for p in last.processes.values() if p.identity is not None]
        if not file.locked() and not any(identity.alive() for identity in (record.supervisor, *children)):
            return True
        time.sleep(0.05)
    return False
