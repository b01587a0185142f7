"""A local file for what the database cannot take just now: appended, synced, replayed, emptied."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gateway.store.entries import Entry

__all__ = ["Journal"]


class Journal:
    """One line an entry. A line that a crash cut short was never promised to anybody, and is left out."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._limit = limit_bytes

    def append(self, entries: Sequence[Entry]) -> None:
        """On disk when it returns; OSError when it cannot be, or when the file has reached its limit."""
        lines = "".join(entry.to_json() + "\n" for entry in entries).encode()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size + len(lines) > self._limit:
                raise OSError(f"the journal has reached {self._limit} bytes")
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a torn line must not swallow this one
                lines = b"\n" + lines
            written = os.write(descriptor, lines)
            if written != len(lines):  # the disk is full: take it back, so that no half line stays
                os.ftruncate(descriptor, size)
                raise OSError("the journal could not be written whole")
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> list[Entry]:
        """What waits to be replayed, oldest first."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            try:
                entries.append(Entry.from_json(line))
            except (ValueError, TypeError, KeyError):
                continue
        return entries

    def empty(self) -> None:
        """Forget what was replayed."""
        self._path.unlink(missing_ok=True)

    def __bool__(self) -> bool:
        try:
            return self._path.stat().st_size > 0
        except OSError:
            return False
