"""The parent's side of isolated decoding: a few worker processes, each with a limit on time and memory."""

from __future__ import annotations

import os
import queue
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, cast

from cardiomesh.ecg.recording import Recording
from cardiomesh.errors import InvalidRequest, Overloaded
from preprocessor.decoding.worker import read_frame, recording_from, write_frame

__all__ = ["WorkerPool", "child_environment"]

FIELD: Final = "recording.file.content"
_ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 60.0
#: A worker is replaced after so many files, so that nothing a library leaks lives for ever.
_FILES_PER_WORKER: Final = 500


def child_environment() -> dict[str, str]:
    """The environment of a process that decodes."""
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    # One thread: a recording is too small for more, and each thread maps memory that counts against the limit.
    limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    return {**os.environ, **limits, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class _Died(Exception):
    """The worker ended, or did not answer in time."""


class _Worker:
    """One child process."""

    def __init__(self, memory_mib: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "preprocessor.decoding.worker", str(memory_mib), "--warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's message may quote the file
            env=child_environment(),
        )
        self._in = cast("IO[bytes]", self._process.stdin)
        self._out = cast("IO[bytes]", self._process.stdout)
        self._ready = False
        self.files = 0

    def decode(self, name: str, content: bytes, seconds: float) -> Recording:
        if not self._ready:
            self._answer(_START_SECONDS)
            self._ready = True
        self.files += 1
        timer = threading.Timer(seconds, self._process.kill)  # ends a write or read that hangs, whatever it hangs on
        timer.start()
        try:
            write_frame(cast(Any, self._in), {"format": name}, [content])
            head, data = self._answer(seconds)
        except (BrokenPipeError, EOFError, OSError, ValueError):
            raise _Died from None
        finally:
            timer.cancel()
        return recording_from(head, data)

    def _answer(self, seconds: float) -> tuple[dict[str, Any], bytes]:
        poller = select.poll()  # not select(), which knows the first 1,024 descriptors only
        poller.register(self._out, select.POLLIN)
        if not poller.poll(seconds * 1e3):
            raise _Died
        try:
            return read_frame(cast(Any, self._out))
        except (EOFError, ValueError):
            raise _Died from None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(OSError):  # what was not yet written goes nowhere
            self._in.close()
        self._out.close()


class WorkerPool:
    """Decodes isolated formats. Safe to call from several threads; a call waits for a free worker.

    ``seconds`` limits one file, ``memory_mib`` what a worker may map on top of its libraries. A worker that dies or is
    late costs its own file and is replaced.
    """

    def __init__(self, workers: int, *, seconds: float, memory_mib: int) -> None:
        self._seconds, self._memory_mib = seconds, memory_mib
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._closed = threading.Event()
        for _ in range(workers):
            self._idle.put(None)

    def start(self) -> None:
        """Start one worker now, so that the first file need not wait for it."""
        worker = self._idle.get()
        self._idle.put(worker or _Worker(self._memory_mib))

    def decode(self, name: str, content: bytes) -> Recording:
        """Decode content of a known format in a worker."""
        if self._closed.is_set():
            raise Overloaded("this service is stopping; try another")
        started = time.monotonic()
        worker = self._idle.get()
        keep: _Worker | None = None
        try:
            worker = worker or _Worker(self._memory_mib)
            recording = worker.decode(name, content, self._seconds)
            keep = worker if worker.files < _FILES_PER_WORKER else None
            return recording
        except _Died:
            late = time.monotonic() - started >= self._seconds
            what = (
                f"takes longer than {self._seconds:g} s"
                if late
                else "takes more memory than allowed or breaks its reader"
            )
            raise InvalidRequest.field(FIELD, f"decoding it {what}", "TOO_SLOW" if late else "UNREADABLE") from None
        except InvalidRequest:
            keep = worker
            raise
        finally:
            self._idle.put(keep)
            if keep is None and worker is not None:
                worker.stop()
            if self._closed.is_set():
                self.close()

    def close(self) -> None:
        """Stop the workers that are idle; the others stop when their file is done."""
        self._closed.set()
        stopped = 0
        while True:
            try:
                worker = self._idle.get_nowait()
            except queue.Empty:
                break
            stopped += 1
            if worker is not None:
                worker.stop()
        for _ in range(stopped):
            self._idle.put(None)
