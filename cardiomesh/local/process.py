"""One child of the mesh: started to die with us, watched, and stopped with all it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

from cardiomesh.local.plan import Child
from cardiomesh.local.state import Identity, ProcessRecord, ProcessState, kill_group, remove_shared_memory

__all__ = ["Process", "last_lines"]

_LAUNCHER: Final = str(Path(__file__).with_name("launch.py"))


class Process:
    """A child and what became of it. Start it from a thread that lives as long as it should (PR_SET_PDEATHSIG)."""

    def __init__(self, child: Child, log: Path) -> None:
        self.child = child
        self.log = log
        self.record = ProcessRecord(log=str(log), probe=child.probe)
        self.deaths: deque[float] = deque(maxlen=16)  # monotonic seconds
        self.since = 0.0  # when it was started
        self.probe_next = 0.0  # when to ask again whether it is ready
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Run the command in a process group of its own; what it prints is appended to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.since = time.monotonic()
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), *self.child.command],
                env=os.environ | self.child.environment,
                cwd=self.child.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Not a session: the kernel's autogroups give each session an equal share of the processor, and a
                # priority within one says nothing to another.
                process_group=0,
            )
        self.record.identity = Identity.of(self._popen.pid)
        self.record.state = ProcessState.STARTING

    def exit_status(self) -> int | None:
        """None while it runs; once it is dead, everything it left behind is removed."""
        if self._popen is None:
            return None
        status = self._popen.poll()
        if status is not None:
            self._sweep()
        return status

    @property
    def running(self) -> bool:
        """Whether there is a process to stop."""
        return self._popen is not None and self._popen.poll() is None

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._popen is not None and self.running:
            self._popen.terminate()

    def wait_or_kill(self, deadline: float) -> None:
        """Wait until ``deadline`` (monotonic seconds), then kill it and all it started."""
        if self._popen is None:
            return
        try:
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._sweep()

    def _sweep(self) -> None:
        """Kill what is left of its process group, and remove its shared memory."""
        if self.record.identity is not None:
            kill_group(self.record.identity, signal.SIGKILL)
            self.record.identity = None
        if self.child.shared_memory:
            remove_shared_memory(self.child.shared_memory)

    def post_mortem(self, status: int) -> str:
        """Which child, how it ended, and the last lines it logged in this life."""
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
        return f"{self.child.name} {how}; {self.last_words()}"

    def last_words(self) -> str:
        """The last lines it logged since it was started, indented under its log's path."""
        lines = last_lines(self.log, start=self._log_start)
        if not lines:
            return f"it logged nothing to {self.log}"
        return f"last lines of {self.log}:\n" + "\n".join(f"    {line}" for line in lines)


def last_lines(log: Path, count: int = 12, start: int = 0) -> list[str]:
    """The last lines of a log, from byte ``start`` on; reads no more than its last 16 KiB."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(start, log.stat().st_size - 16_384))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
