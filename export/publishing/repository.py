"""Versions of the model repository, and changes to it that happen whole or not at all.

A change is prepared in a scratch folder beside the repository and then carried out as a list of renames that is
written down first. An error undoes the renames that were done; after a crash (power, SIGKILL) the next change finds
the list and undoes them. One publisher at a time: the repository's folder is locked.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from export.errors import GateError, WorkshopError

__all__ = ["Change", "changing", "file_digest", "newest_folder", "next_version", "versions", "withdraw_version"]

#: Triton ignores folders of a model whose names are not numbers.
_WITHDRAWN: Final = "withdrawn-"
#: What publishing a version replaced: the files that describe the served model as a whole.
_BEFORE: Final = "before-"
_DESCRIPTIONS: Final = ("config.pbtxt", "configs", "README.md")
_JOURNAL: Final = "journal.json"

Move = tuple[Path, Path]


def versions(repository: Path, name: str) -> list[int]:
    """The published versions of a model, oldest first."""
    folder = repository / name
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.is_dir() and re.fullmatch(r"[1-9]\d*", p.name))


def newest_folder(repository: Path, name: str, version: int | None = None) -> Path:
    """Folder of a published version, the newest unless one is named; ``WorkshopError`` where there is none."""
    present = versions(repository, name)
    number = version if version is not None else (present[-1] if present else 0)
    if number not in present:
        have = ", ".join(map(str, present)) or "none"
        raise WorkshopError(f"{repository} holds no such version of {name} (it has: {have})")
    return repository / name / str(number)


def _withdrawn(repository: Path, name: str) -> list[int]:
    folder = repository / name
    return [int(p.name.removeprefix(_WITHDRAWN)) for p in folder.glob(f"{_WITHDRAWN}*")]


def next_version(repository: Path, *names: str) -> int:
    """One more than the newest version ever given to any of these models, which share their numbering."""
    used = [v for name in names for v in versions(repository, name) + _withdrawn(repository, name)]
    return 1 + max(used, default=0)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Change:
    """One change of a repository in preparation; nothing of it is visible until the ``with`` block ends well."""

    def __init__(self, repository: Path, scratch: Path) -> None:
        self.repository = repository
        self._new, self._old = scratch / "new", scratch / "old"
        self._journal = scratch / _JOURNAL
        self._moves: list[Move] = []
        self._new.mkdir()
        self._old.mkdir()

    def version_folder(self, name: str, version: int, overwrite: bool = False) -> Path:
        """An empty folder that becomes ``NAME/VERSION``; what describes the model now is kept for a rollback."""
        if (self.repository / name / str(version)).exists() and not overwrite:
            raise GateError(f"{name} version {version} is already published; versions are never changed")
        before = f"{_BEFORE}{version}"
        if [v for v in versions(self.repository, name) if v != version]:
            for part in _DESCRIPTIONS:
                source, kept = self.repository / name / part, self._new / name / before / part
                if source.exists() and not (self.repository / name / before).exists():
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    (shutil.copytree if source.is_dir() else shutil.copy2)(source, kept)
        folder = self._new / name / str(version)
        folder.mkdir(parents=True)
        return folder

    def write_text(self, relative: Path, text: str) -> None:
        """A small file ``NAME/…`` that is created or replaced with the rest of the change."""
        path = self._new / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def move(self, source: Path, target: Path) -> None:
        """Rename something that is already in the repository; ``target`` must be free by then."""
        self._moves.append((source, target))

    def commit(self) -> None:
        """Carry out the renames; any error undoes those that were done."""
        moves = [*self._moves, *self._replacements()]
        self._journal.write_text(json.dumps([[str(a), str(b)] for a, b in moves]))
        _sync(self._journal)
        try:
            for source, target in moves:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(source, target)  # noqa: PTH104  # one system call, or nothing
        except BaseException:
            _undo(moves, self.repository)
            self._journal.unlink()
            raise
        self._journal.unlink()

    def _replacements(self) -> list[Move]:
        """Staged entries of a model's folder in place of the present ones; the version folders come last."""
        # mkdtemp made the scratch folder private; a served version is readable by the server's own user.
        for path in self._new.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        staged = sorted(self._new.glob("*/*"), key=lambda p: (p.name.isdigit(), p))
        moves = []
        for path in staged:
            relative = path.relative_to(self._new)
            if (self.repository / relative).exists():
                moves.append((self.repository / relative, self._old / relative))
            moves.append((path, self.repository / relative))
        return moves


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _undo(moves: Sequence[Move], repository: Path) -> None:
    """Rename back what was renamed, in reverse; what was not yet renamed is left alone."""
    for source, target in reversed(moves):
        if target.exists() and not source.exists():
            source.parent.mkdir(parents=True, exist_ok=True)
            target.rename(source)
        folder = target.parent
        if folder.parent == repository and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _recover(repository: Path) -> None:
    """Undo what a publisher that died has left half done."""
    for scratch in repository.parent.glob(f"{_prefix(repository)}*"):
        # Eight characters of mkdtemp's alphabet: "models" must not clean up after "models-2", which has its own lock.
        if not re.fullmatch(r"[a-z0-9_]{8}", scratch.name.removeprefix(_prefix(repository))):
            continue
        journal = scratch / _JOURNAL
        if journal.is_file():
            try:
                moves = [(Path(a), Path(b)) for a, b in json.loads(journal.read_text())]
            except ValueError:  # it died while writing the list: nothing had been renamed
                moves = []
            _undo(moves, repository)
        shutil.rmtree(scratch)


def _prefix(repository: Path) -> str:
    return f".publish-{repository.name}-"


@contextmanager
def changing(repository: Path) -> Iterator[Change]:
    """Prepare a change and commit it at the end of the block; an error leaves the repository as it was."""
    repository = repository.resolve()
    fresh = not repository.exists()
    repository.mkdir(parents=True, exist_ok=True)
    handle = os.open(repository, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkshopError(f"{repository} is being changed by another publisher") from None
        _recover(repository)
        # On the repository's own file system, so that moving out of it is a rename.
        scratch = Path(tempfile.mkdtemp(prefix=_prefix(repository), dir=repository.parent))
        try:
            change = Change(repository, scratch)
            yield change
            change.commit()
        finally:
            if not (scratch / _JOURNAL).exists():  # else undoing failed too, and only this folder knows how
                shutil.rmtree(scratch, ignore_errors=True)
            if fresh and not any(repository.iterdir()):
                repository.rmdir()
    finally:
        os.close(handle)


def withdraw_version(repository: Path, *names: str) -> int:
    """Take the newest version of a model (first name) and of its companions out of service; returns its number.

    Its folder is renamed, so that Triton no longer counts it as a version and nothing is lost; configuration and
    README become those of the version before. The last version cannot be withdrawn.
    """
    present = versions(repository, names[0])
    if len(present) < 2:
        raise GateError(f"{names[0]} has {len(present)} published version(s); there is none to go back to")
    newest = present[-1]
    with changing(repository) as change:
        for name in names:
            folder = change.repository / name
            withdrawn, before = folder / f"{_WITHDRAWN}{newest}", folder / f"{_BEFORE}{newest}"
            if not (folder / str(newest)).is_dir():
                continue
            change.move(folder / str(newest), withdrawn)
            for part in _DESCRIPTIONS:
                if (before / part).exists():
                    change.move(folder / part, withdrawn / part)
                    change.move(before / part, folder / part)
    return newest
