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
        #: The new entries' file while it is open; opened by the first of them.
        self._file: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._owned = path.with_name(path.name + ".lock").open("a")
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._owned.close()
            raise InvalidRequest.field("store_journal", f"{path} is in use by another process", "IN_USE") from error
        except OSError as error:
            raise InvalidRequest.field("store_journal", f"{path}: {error.strerror}", "UNREADABLE") from error
        self._size = _size(path)
        self._shipping_size = _size(self._shipping)

    def append(self, entries: Sequence[Entry]) -> None:
        """On disk when it returns; OSError when it cannot be, or when both files have reached the limit."""
        lines = "".join(entry.to_json() + "\n" for entry in entries).encode()
        with self._lock:
            if self._size + self._shipping_size + len(lines) > self._limit:
                raise OSError(f"the journal has reached {self._limit} bytes")
            file = self._opened()
            try:
                if os.write(file, lines) != len(lines):
                    raise OSError("the journal could not be written whole")
                os.fdatasync(file)
            except OSError:
                os.ftruncate(file, self._size)  # the disk is full, or broken: no half line may stay
                raise
            self._size += len(lines)

    def _opened(self) -> int:
        """The file for new entries, whose name is on disk as well, and which ends with a whole line."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
                self._size += os.write(self._file, b"\n")  # a torn line must not swallow the next
        return self._file

    def take(self) -> list[Entry]:
        """What waits for the database, oldest first; the same again until ``shipped`` is called."""
        with self._lock:
            if not self._shipping_size and self._size:
                self._leave_file()
                self._path.rename(self._shipping)
                self._size, self._shipping_size = 0, self._size
        try:
            # Not splitlines(): JSON may hold what else that takes for the end of a line.
            lines = self._shipping.read_text(encoding="utf-8").split("\n")
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
        self._shipping_size = 0

    def close(self) -> None:
        """Let another process have it."""
        self._leave_file()
        self._size = self._shipping_size = 0
        self._owned.close()

    def _leave_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._size or self._shipping_size)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
