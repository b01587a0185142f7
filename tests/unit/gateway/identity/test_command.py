"""``cardiomesh keys``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cardiomesh.errors import InvalidRequest, NotFound
from gateway.identity import IdentityFile
from gateway.identity.command import keys

RUNNER = CliRunner()


def run(*arguments: str, file: Path) -> str:
    done = RUNNER.invoke(keys, [*arguments, "--file", str(file)], catch_exceptions=True)
    if done.exception is not None:
        raise done.exception
    return done.stdout.strip()


def test_a_key_is_made_listed_and_withdrawn(tmp_path: Path) -> None:
    file = tmp_path / "identities.json"
    key = run("add", "ward-3", "--role", "clinician", "--tenant", "north", file=file)
    assert file.stat().st_mode & 0o077 == 0
    assert IdentityFile(file).by_key(key, datetime.now(UTC)) is not None
    listed = run("list", file=file)
    assert "ward-3" in listed
    assert key not in listed
    with pytest.raises(InvalidRequest, match="has a key already"):
        run("add", "ward-3", "--role", "reader", file=file)
    run("withdraw", "ward-3", file=file)
    assert IdentityFile(file).by_key(key, datetime.now(UTC)) is None
    with pytest.raises(NotFound):
        run("withdraw", "ward-3", file=file)


def test_a_wrong_tenant_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="tenant"):
        run("add", "ward-3", "--role", "clinician", "--tenant", "A:B", file=tmp_path / "identities.json")
    assert not (tmp_path / "identities.json").exists()
