"""Start a plan's children in order, watch them, and stop them in the reverse order.

One thread, one loop: every child is started from here, so that PR_SET_PDEATHSIG ties it to this process.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from cardiomesh.local import probes
from cardiomesh.local.errors import MeshFailed
from cardiomesh.local.plan import Child, Plan, Restart, Role
from cardiomesh.local.process import Process
from cardiomesh.local.progress import Progress, Step
from cardiomesh.local.state import (
    Identity,
    MeshRecord,
    MeshState,
    ProcessState,
    StateFile,
    boot_id,
    kill_group,
    remove_shared_memory,
)

__all__ = ["Supervisor"]

_TICK: Final = 0.05  # seconds between two looks at the children
_PROBE_EVERY: Final = 0.15
#: More deaths than this within the window are a crash loop: restarting does not help.
MAX_DEATHS: Final = 3
DEATH_WINDOW: Final = 60.0
#: Nothing is left to stop, or there never was.
_ENDED: Final = (ProcessState.WAITING, ProcessState.DONE, ProcessState.FAILED)
_FIRST_BACKOFF: Final = 0.25
_SETTLED: Final = (ProcessState.READY, ProcessState.DONE)


class Supervisor:
    """Runs one plan until it is told to stop, or until a death that the plan's restart policy does not mend."""

    def __init__(
        self, plan: Plan, directory: Path, progress: Progress = lambda _: None, lifeline: int | None = None
    ) -> None:
        self.plan = plan
        self._file = StateFile(directory)
        self._progress = progress
        self._lifeline = lifeline
        self._processes = {c.name: Process(c, directory / "logs" / f"{c.name}.log") for c in plan.children}
        self._resume: dict[str, float] = {}  # when to start a dead child again, monotonic seconds
        self._stop = False
        self._up_since: float | None = None
        me = Identity.of(os.getpid())
        if me is None:
            raise MeshFailed("/proc is not mounted; the embedded mesh needs it to know its processes")
        self._record = MeshRecord(
            supervisor=me,
            boot=boot_id(),
            addresses=plan.addresses,
            processes={name: process.record for name, process in self._processes.items()},
            shared_memory=[c.shared_memory for c in plan.children if c.shared_memory],
        )

    def run(self) -> None:
        """Return after a clean stop; raise ``MeshFailed`` when the mesh stopped itself, and says why."""
        with self._file.lock(), self._signals():
            self._bury_predecessor()
            self._note(MeshState.STARTING)
            began = time.monotonic()
            try:
                while not self._told_to_stop():
                    self._look_for_home()
                    self._look_at_children()
                    if self._up_since is None and self._settled():
                        self._up_since = time.monotonic()
                        self._note(MeshState.READY, seconds=self._up_since - began)
            except MeshFailed as failure:
                self._record.message = failure.message
                raise
            finally:
                failed = bool(self._record.message) and not self._stop
                self._note(MeshState.STOPPING)
                self._stop_all()
                self._note(MeshState.FAILED if failed else MeshState.STOPPED, detail=self._record.message)

    # -- signals ---------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_signal: int, _frame: FrameType | None) -> None:
            self._stop = True

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _told_to_stop(self) -> bool:
        """Sleep one tick; true after a signal, or when whoever holds our lifeline is gone."""
        if self._lifeline is None:
            time.sleep(_TICK)
        elif select.select([self._lifeline], [], [], _TICK)[0]:
            self._stop = True
        return self._stop

    # -- the loop --------------------------------------------------------------------------------------------

    def _look_for_home(self) -> None:
        """Stop when our directory was deleted: nobody could find this mesh any more to stop it."""
        if not self._file.path.exists():
            raise MeshFailed(f"{self._file.directory} was removed while its mesh was running")

    def _look_at_children(self) -> None:
        for name, process in self._processes.items():
            match process.record.state:
                case ProcessState.WAITING if self._all_settled(process.child.after):
                    self._start(process)
                case ProcessState.RESTARTING if time.monotonic() >= self._resume[name]:
                    self._start(process)
                case ProcessState.STARTING | ProcessState.READY:
                    self._watch(process)
                case _:
                    pass

    def _start(self, process: Process) -> None:
        try:
            process.start()
        except OSError as error:
            raise MeshFailed(f"{process.child.name} cannot be started: {error}") from error
        self._note_child(process)

    def _watch(self, process: Process) -> None:
        child = process.child
        status = process.exit_status()
        if status is not None:
            if child.role is Role.CHECK and status == 0:
                process.record.seconds = time.monotonic() - process.since
                process.record.state = ProcessState.DONE
                self._note_child(process)
                return
            self._died(process, process.post_mortem(status))
        elif process.record.state is ProcessState.STARTING and child.role is not Role.CHECK:
            self._await_ready(process)

    def _await_ready(self, process: Process) -> None:
        child, now = process.child, time.monotonic()
        if now < process.probe_next:
            return
        process.probe_next = now + _PROBE_EVERY
        waited = now - process.since
        if child.probe is None or probes.ready(child.probe):
            process.record.seconds = waited
            process.record.state = ProcessState.READY
            self._note_child(process)
            if self._up_since is not None and self._settled():
                self._note(MeshState.READY)
        elif waited > child.ready_within:
            process.wait_or_kill(0.0)
            self._died(process, f"{child.name} was not ready after {waited:.0f} s; {process.last_words()}")

    def _died(self, process: Process, why: str) -> None:
        """Start it again, if it may be; else the mesh is over."""
        process.record.state = ProcessState.FAILED
        now = time.monotonic()
        process.deaths.append(now)
        recent = sum(now - death <= DEATH_WINDOW for death in process.deaths)
        if self._up_since is None or not self._may_restart(process.child):
            raise MeshFailed(why)
        if recent > MAX_DEATHS:
            raise MeshFailed(f"{process.child.name} died {recent} times within {DEATH_WINDOW:.0f} s; {why}")
        self._resume[process.child.name] = now + _FIRST_BACKOFF * 2 ** (recent - 1)
        process.record.restarts += 1
        process.record.state = ProcessState.RESTARTING
        self._record.message = why
        self._record.state = MeshState.DEGRADED  # before anything is written: never "ready" with a dead part
        self._note_child(process, detail=why)
        self._note(MeshState.DEGRADED)

    def _may_restart(self, child: Child) -> bool:
        match self.plan.restart:
            case Restart.NONE:
                return False
            case Restart.BACKING:
                return child.role is Role.BACKING
            case Restart.ALL:
                return child.role is not Role.CHECK

    def _all_settled(self, names: tuple[str, ...]) -> bool:
        return all(self._processes[name].record.state in _SETTLED for name in names)

    def _settled(self) -> bool:
        return self._all_settled(tuple(self._processes))

    # -- the end ---------------------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        for wave in reversed(self.plan.waves()):
            began = time.monotonic()
            processes = [self._processes[child.name] for child in wave]
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait_or_kill(began + process.child.stop_within)
                if process.record.state not in _ENDED:
                    process.record.state = ProcessState.STOPPED
                self._note_child(process)

    def _bury_predecessor(self) -> None:
        """Remove what a supervisor that was killed may have left: we hold its lock, so it is dead."""
        old = self._file.read()
        if old is None or old.boot != self._record.boot:
            return
        for record in old.processes.values():
            # While a group has members, its id is given to no new process: unless another process has the id now,
            # whoever is in the group was started by our predecessor's child.
            if record.identity is not None and Identity.of(record.identity.pid) in (None, record.identity):
                kill_group(record.identity, signal.SIGKILL)
        for prefix in old.shared_memory:
            remove_shared_memory(prefix)

    # -- telling others --------------------------------------------------------------------------------------

    def _note(self, state: MeshState, seconds: float = 0.0, detail: str = "") -> None:
        self._record.state = state
        self._write()
        self._progress(Step("mesh", state, seconds, detail))

    def _write(self) -> None:
        with suppress(FileNotFoundError):  # the directory was deleted; ``_look_for_home`` ends the mesh
            self._file.write(self._record)

    def _note_child(self, process: Process, detail: str = "") -> None:
        self._write()
        record = process.record
        self._progress(Step(process.child.name, record.state, record.seconds or 0.0, detail))
