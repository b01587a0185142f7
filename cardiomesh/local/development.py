"""The key that opens an embedded mesh to whoever may read its directory: made once, kept, never sent anywhere else."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Final

__all__ = ["development_key", "write_identities"]

_KEY: Final = "api-key"
_IDENTITIES: Final = "identities.json"
#: All but administration: what unloads a model should be asked for on purpose.
_ROLES: Final = ("reader", "clinician", "auditor")


def development_key(directory: Path) -> str:
    """The key of the mesh in ``directory``; empty where there is none."""
    try:
        return (directory / _KEY).read_text().strip()
    except OSError:
        return ""


def write_identities(directory: Path) -> Path:
    """Make sure of a key, and write the file that the gateway knows it by."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / _IDENTITIES
    key = development_key(directory)
    if key and path.exists():  # the developer may have added callers
        return path
    if not key:
        key = "cmk_" + secrets.token_urlsafe(32)
        _write_privately(directory / _KEY, key + "\n")
    entry = {
        "name": "development",
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "tenant": "default",
        "roles": _ROLES,
    }
    _write_privately(path, json.dumps({"keys": [entry]}, indent=1) + "\n")
    return path


def _write_privately(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
