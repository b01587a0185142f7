"""Versions of the model repository: each appears whole, by one rename, or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import GateError, WorkshopError

__all__ = [
    "file_digest",
    "install_version",
    "newest_folder",
    "next_version",
    "staging",
    "versions",
    "withdraw_version",
    "write_text",
]

#: Triton ignores folders of a model whose names are not numbers.
_WITHDRAWN = "withdrawn-"


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
        raise WorkshopError(f"{repository} holds no such version of {name}")
    return repository / name / str(number)


def _withdrawn(repository: Path, name: str) -> list[int]:
    folder = repository / name
    return [int(p.name.removeprefix(_WITHDRAWN)) for p in folder.glob(f"{_WITHDRAWN}*")]


def next_version(repository: Path, *names: str) -> int:
    """One more than the newest version ever given to any of these models, which share their numbering."""
    used = [v for name in names for v in versions(repository, name) + _withdrawn(repository, name)]
    return 1 + max(used, default=0)


def withdraw_version(repository: Path, *names: str) -> int:
    """Take the newest version of a model (first name) and of its companions out of service; returns its number.

    The folder is renamed, so that Triton no longer counts it as a version and nothing is lost. The last
    version cannot be withdrawn.
    """
    present = versions(repository, names[0])
    if len(present) < 2:
        raise GateError(f"{names[0]} has {len(present)} published version(s); there is none to go back to")
    newest = present[-1]
    for name in names:
        place = repository / name / str(newest)
        if place.is_dir():
            place.rename(repository / name / f"{_WITHDRAWN}{newest}")
    return newest


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def staging(repository: Path) -> Iterator[Path]:
    """A scratch folder on the repository's own file system, so that moving out of it is one rename."""
    repository.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".publish-", dir=repository.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace a small file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def install_version(staged: Path, repository: Path, name: str, version: int, overwrite: bool = False) -> Path:
    """Move a staged version into its place."""
    place = repository / name / str(version)
    if place.exists():
        if not overwrite:
            raise GateError(f"{name} version {version} is already published; versions are never changed")
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp made the parent private; a served version is readable by the server's own user.
    for path in [staged, *staged.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    os.rename(staged, place)  # noqa: PTH104  # one system call, or nothing
    return place
