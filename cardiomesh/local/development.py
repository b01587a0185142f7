"""What an embedded mesh keeps of its own: the key that opens it, and the store with its secret. Made once, kept."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Final

__all__ = ["development_key", "store_settings", "write_identities"]

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


def store_settings(directory: Path) -> dict[str, str]:
    """The gateway's settings for studies, answers and the audit trail in this directory."""
    directory.mkdir(parents=True, exist_ok=True)
    key = directory / "store-key"
    if not key.exists():
        _write_privately(key, secrets.token_hex(32))
    return {
        "CARDIOMESH_STORE_URL": f"sqlite:///{directory / 'store.sqlite'}",
        "CARDIOMESH_STORE_KEY": str(key),
        "CARDIOMESH_STORE_MIGRATE": "true",
        # On one machine the journal is as durable as the database, and costs a call a tenth.
        "CARDIOMESH_STORE_DURABILITY": "journal",
        "CARDIOMESH_STORE_JOURNAL": str(directory / "store-journal"),
    }


def _write_privately(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
