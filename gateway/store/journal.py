"""A local file in which entries are durable before the database has them: appended, synced, shipped, forgotten.

Two files: new entries go to one, while what the other holds is on its way to the database.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from cardiomesh.errors import InvalidRequest
from gateway.store.entries import Entry

__all__ = ["Journal"]


class Journal:
    """One line an entry. A line that a crash cut short was never promised to anybody, and is left out.

    It belongs to one process: InvalidRequest when another has it.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._shipping = path.with_name(path.name + ".shipping")
        self._limit = limit_bytes
        self._lock = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._owned = path.with_name(path.name + ".lock").open("a")
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._owned.close()
            raise InvalidRequest.field("store_journal", f"{path} is in use by another process", "IN_USE") from error
        except OSError as error:
            raise InvalidRequest.field("store_journal", f"{path}: {error.strerror}", "UNREADABLE") from error

    def append(self, entries: Sequence[Entry]) -> None:
        """On disk when it returns; OSError when it cannot be, or when both files have reached the limit."""
        lines = "".join(entry.to_json() + "\n" for entry in entries).encode()
        with self._lock:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size + _size(self._shipping) + len(lines) > self._limit:
                    raise OSError(f"the journal has reached {self._limit} bytes")
                if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a torn line must not swallow this one
                    lines = b"\n" + lines
                if os.write(descriptor, lines) != len(lines):  # the disk is full: no half line may stay
                    os.ftruncate(descriptor, size)
                    raise OSError("the journal could not be written whole")
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def take(self) -> list[Entry]:
        """What waits for the database, oldest first; the same again until ``shipped`` is called."""
        with self._lock:
            if not self._shipping.exists() and self._path.exists():
                self._path.rename(self._shipping)
        try:
            lines = self._shipping.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            try:
                entries.append(Entry.from_json(line))
            except (ValueError, TypeError, KeyError):
                continue
        return entries

    def shipped(self) -> None:
        """Forget what was taken."""
        self._shipping.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process have it."""
        self._owned.close()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(_size(self._path) or _size(self._shipping))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
