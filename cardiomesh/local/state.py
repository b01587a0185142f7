"""What a supervisor writes down about its mesh: ``mesh/state.json``, and the lock that says it lives.

The kernel drops the lock when its holder dies, so a state without a held lock is a dead mesh's, whatever it says.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cardiomesh.local.errors import AlreadyRunning
from cardiomesh.local.plan import Probe

__all__ = [
    "Identity",
    "MeshRecord",
    "MeshState",
    "ProcessRecord",
    "ProcessState",
    "StateFile",
    "boot_id",
    "kill_group",
    "remove_shared_memory",
]


class ProcessState(StrEnum):
    """Where one child is in its life."""

    WAITING = "waiting"  # for what it depends on
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"  # it runs, and its probe says no (only seen by ``status``)
    RESTARTING = "restarting"
    DONE = "done"  # a check that passed
    STOPPED = "stopped"
    FAILED = "failed"


class MeshState(StrEnum):
    """Where the mesh is in its life."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"  # serving, and some part is not well
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Identity(_Record):
    """A process, told apart from a later one with the same id by when it started."""

    pid: int
    started: int = Field(description="Clock ticks after boot; /proc/PID/stat, field 22.")

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this id now; None when there is none (a zombie is none)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()  # the command name before it may hold anything
        return None if fields[0] == "Z" else cls(pid=pid, started=int(fields[19]))

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self


class ProcessRecord(_Record):
    """One child."""

    state: ProcessState = ProcessState.WAITING
    identity: Identity | None = None
    restarts: int = 0
    seconds: float | None = Field(default=None, description="From start to ready, last time.")
    log: str = ""
    probe: Probe | None = None


class MeshRecord(_Record):
    """The whole state file."""

    state: MeshState = MeshState.STARTING
    supervisor: Identity
    boot: str = Field(default="", description="Of the machine; process ids of another boot mean nothing.")
    addresses: dict[str, str] = Field(default_factory=dict)
    processes: dict[str, ProcessRecord] = Field(default_factory=dict)
    shared_memory: list[str] = Field(default_factory=list, description="Prefixes to remove from /dev/shm.")
    message: str = Field(default="", description="Why it failed, or what went wrong last.")


_STATE: Final = "state.json"
_LOCK: Final = "lock"


class StateFile:
    """The state and the lock of one mesh directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / _STATE

    def read(self) -> MeshRecord | None:
        """What was written last; None when nothing readable was."""
        try:
            return MeshRecord.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, record: MeshRecord) -> None:
        """Replace the state; a reader sees the old or the new one, never half of one."""
        temporary = self.path.with_suffix(".new")
        temporary.write_text(record.model_dump_json(indent=2) + "\n")
        temporary.replace(self.path)

    def locked(self) -> bool:
        """Whether a supervisor lives."""
        try:
            with (self.directory / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the supervisor of this directory; raises ``AlreadyRunning`` when there is one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self.already_running() from None
            yield

    def already_running(self) -> AlreadyRunning:
        """The error that says where the running mesh listens."""
        record = self.read()
        where = ", ".join(f"{name} {address}" for name, address in (record.addresses if record else {}).items())
        pid = f" (supervisor {record.supervisor.pid})" if record else ""
        return AlreadyRunning(f"a mesh already runs in {self.directory}{pid}: {where or 'still starting'}")


def boot_id() -> str:
    """Differs after every reboot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def remove_shared_memory(prefix: str) -> None:
    """Remove the regions that a killed Triton leaves behind."""
    for region in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108
        with suppress(OSError):
            region.unlink()


def kill_group(identity: Identity, signal_number: int) -> None:
    """Signal a child and all it started; each child leads a group of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(identity.pid, signal_number)
