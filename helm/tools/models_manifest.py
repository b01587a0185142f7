"""``SHA256SUMS`` of a model repository, for the models image and for ``models.sha256``.

``python -m helm.tools.models_manifest FOLDER`` writes FOLDER/SHA256SUMS and prints the digest of that file.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Final

__all__ = ["MANIFEST", "manifest", "write"]

MANIFEST: Final = "SHA256SUMS"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def manifest(folder: Path) -> str:
    """One line per file, as ``sha256sum -c`` reads them, sorted so that equal folders have equal manifests."""
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    if not any(name.endswith("config.pbtxt") for name in files):
        raise FileNotFoundError(f"{folder} holds no config.pbtxt: it is no model repository")
    return "".join(f"{_digest(folder / name)}  {name}\n" for name in files)


def write(folder: Path) -> str:
    """Write the manifest; returns its own digest."""
    text = manifest(folder)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """The command."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m helm.tools.models_manifest FOLDER")
    try:
        print(write(Path(sys.argv[1])))
    except FileNotFoundError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
