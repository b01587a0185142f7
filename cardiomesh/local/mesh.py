"""The embedded mesh: real Triton, real Valkey and our services as processes on this machine.

::

    with Mesh(model_repository=Path("model_repository")) as mesh:
        Client(mesh.addresses.gateway, credential=mesh.api_key)

    with Mesh(repository, parts=("triton",)) as mesh:      # a part alone
        mesh.addresses.triton
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cardiomesh.local import parts as part
from cardiomesh.local.control import MeshStatus, down, mesh_directory, status
from cardiomesh.local.development import development_key, store_settings, write_identities
from cardiomesh.local.errors import EXIT_ALREADY_RUNNING, MeshError, MeshFailed
from cardiomesh.local.plan import Child, Plan, Restart
from cardiomesh.local.process import last_lines
from cardiomesh.local.progress import Progress, Step
from cardiomesh.local.runtime import TritonRuntime, default_runtime_dir, ensure_triton
from cardiomesh.local.state import MeshRecord, MeshState, StateFile
from cardiomesh.local.supervisor import Supervisor

__all__ = ["Addresses", "Mesh"]

#: Settings of the gateway that say who may call; a user who sets one needs no development key.
_WHO_MAY_CALL: Final = frozenset({"CARDIOMESH_IDENTITIES", "CARDIOMESH_JWKS", "CARDIOMESH_ANONYMOUS_ROLES"})


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where each listener is, as ``127.0.0.1:PORT``; empty for a part that is not run."""

    gateway: str = ""
    http: str = ""
    triton: str = ""
    triton_http: str = ""
    triton_metrics: str = ""
    preprocessor: str = ""
    preprocessor_http: str = ""
    explainer: str = ""
    explainer_http: str = ""
    redis: str = ""

    @classmethod
    def of(cls, addresses: Mapping[str, str]) -> Addresses:
        """From a state file, which a newer version may have written."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: where for name, where in addresses.items() if name in known})


class Mesh:
    """One mesh in one directory.

    ``run`` keeps it in the foreground, ``start`` leaves it running in the background, and as a context manager it
    lives as long as the block, or as long as this process if that dies first.
    """

    def __init__(
        self,
        model_repository: Path = Path("model_repository"),
        runtime_dir: Path | None = None,
        *,
        directory: Path | None = None,
        parts: Sequence[str] = part.ALL_PARTS,
        restart: Restart | str = Restart.BACKING,
        environment: Mapping[str, str] | None = None,
        ports: Mapping[str, int] | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        """``directory`` holds state and logs (default ``<runtime_dir>/mesh``; give one each to several meshes),
        ``environment`` is added to the services', ``ports`` fixes listeners by their name in ``Addresses``.
        """
        unknown = set(parts) - set(part.ALL_PARTS)
        if unknown:
            raise MeshError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(part.ALL_PARTS)}")
        self.model_repository = model_repository.resolve()
        self.runtime_dir = (runtime_dir or default_runtime_dir()).resolve()
        self.directory = (directory or mesh_directory(self.runtime_dir)).resolve()
        self._parts = [name for name in part.ALL_PARTS if name in parts]
        self._restart = Restart(restart)
        self._environment = dict(environment or {})
        self._ports = dict(ports or {})
        self._progress = progress
        self._file = StateFile(self.directory)
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None

    @property
    def addresses(self) -> Addresses:
        """Where the running mesh listens."""
        record = self._file.read() if self._file.locked() else None
        if record is None:
            raise MeshError(f"no mesh runs in {self.directory}")
        return Addresses.of(record.addresses)

    @property
    def api_key(self) -> str:
        """The development key that the gateway knows; empty where the user's own settings say who may call."""
        return development_key(self.directory)

    def status(self) -> MeshStatus:
        """What runs now."""
        return status(directory=self.directory)

    def run(self) -> None:
        """Run in the foreground, from the main thread, until Ctrl-C or SIGTERM; raise when the mesh fails."""
        plan = self._prepare()
        Supervisor(plan, self.directory, self._progress).run()

    def start(self) -> Addresses:
        """Start in the background and return when ready; it outlives this process."""
        supervisor = self._spawn(self._prepare(), lifeline=None)
        try:
            addresses = self._await_ready(supervisor)
        except BaseException:
            self.stop()
            raise
        # It is meant to outlive us: Popen would report that as a leak.
        supervisor.returncode = 0
        return addresses

    def stop(self) -> None:
        """Stop it and wait until all of it is gone; nothing happens when it is not running."""
        down(directory=self.directory)
        self._reap()

    def __enter__(self) -> Self:
        plan = self._prepare()
        read_end, write_end = os.pipe()
        try:
            supervisor = self._spawn(plan, lifeline=read_end)
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        self._lifeline = write_end
        try:
            self._await_ready(supervisor)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------------------------------------------------

    def _prepare(self) -> Plan:
        """Everything that can be found wanting before the first process starts."""
        if self._file.locked():
            raise self._file.already_running()
        if "triton" in self._parts and not any(self.model_repository.glob("*/config.pbtxt")):
            raise MeshError(f"no model in {self.model_repository}: it holds no NAME/config.pbtxt")
        runtime = self._ensure_runtime() if "triton" in self._parts else None
        self.directory.mkdir(parents=True, exist_ok=True)
        addresses = part.assign_ports(self._parts, self._ports)
        children: list[Child] = []
        if runtime is not None:
            otlp = (os.environ | self._environment).get("CARDIOMESH_OTLP_ENDPOINT", "")
            children.append(part.triton(runtime, self.model_repository, addresses, self.directory, otlp))
            children.append(part.parity(runtime, self.model_repository, addresses, self.directory))
        if "redis" in self._parts:
            children.append(part.valkey(addresses, self.directory))
        environment = dict(self._environment)
        if not (os.environ | environment).keys() & _WHO_MAY_CALL:
            environment["CARDIOMESH_IDENTITIES"] = str(write_identities(self.directory))
        if "CARDIOMESH_STORE_URL" not in os.environ | environment:
            environment |= store_settings(self.directory)
        for name in self._parts:
            if name in part.SERVICES:
                children.append(part.service(name, self.model_repository, addresses, environment))
        return Plan(children=tuple(children), addresses=addresses, restart=self._restart)

    def _ensure_runtime(self) -> TritonRuntime:
        began = time.monotonic()

        def tell(detail: str) -> None:
            self._progress(Step("runtime", "starting", time.monotonic() - began, detail))

        runtime = ensure_triton(self.runtime_dir, tell)
        self._progress(Step("runtime", "ready", time.monotonic() - began))
        return runtime

    @property
    def _log(self) -> Path:
        return self.directory / "logs" / "supervisor.log"

    def _spawn(self, plan: Plan, lifeline: int | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cardiomesh.local.supervise", "--directory", str(self.directory)]
        if lifeline is not None:
            command += ["--lifeline", str(lifeline)]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            supervisor = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=() if lifeline is None else (lifeline,),
            )
        self._supervisor = supervisor
        if supervisor.stdin is not None:
            with supervisor.stdin as stream:
                stream.write(plan.model_dump_json().encode())
        return supervisor

    def _await_ready(self, supervisor: subprocess.Popen[bytes]) -> Addresses:
        """Follow the state file of the supervisor we started, and tell every change."""
        told: dict[str, str] = {}
        while True:
            status_code = supervisor.poll()
            record = self._file.read()
            if record is not None and record.supervisor.pid == supervisor.pid:
                self._tell_changes(record, told)
                if record.state is MeshState.READY:
                    return Addresses.of(record.addresses)
                if status_code is not None and record.message:
                    raise MeshFailed(record.message)
            if status_code == EXIT_ALREADY_RUNNING:
                raise self._file.already_running()
            if status_code is not None:
                last = "\n".join(last_lines(self._log, start=self._log_start))
                raise MeshFailed(f"the supervisor ended with status {status_code}:\n{last}")
            time.sleep(0.05)

    def _tell_changes(self, record: MeshRecord, told: dict[str, str]) -> None:
        for name, process in record.processes.items():
            if told.get(name, "waiting") != process.state:
                self._progress(Step(name, process.state, process.seconds or 0.0))
                told[name] = process.state
        if told.get("mesh") != record.state:
            self._progress(Step("mesh", record.state, detail=record.message))
            told["mesh"] = record.state

    def _reap(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self._supervisor is not None:
            self._supervisor.wait()
            self._supervisor = None
