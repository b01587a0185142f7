"""The file of identities: hashed keys, certificates, expiry, change while running."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cardiomesh.errors import InvalidRequest
from gateway.identity import IdentityFile, Role, new_key
from gateway.identity.directory import digest_of, read_identities

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def written(path: Path, *keys: dict[str, Any], certificates: tuple[dict[str, Any], ...] = ()) -> Path:
    path.write_text(json.dumps({"keys": keys, "certificates": certificates}))
    # Two writes within one tick of the file system's clock must still be told apart.
    os.utime(path, ns=(0, path.stat().st_size * 1_000 + len(keys)))
    return path


def entry(key: str, **more: Any) -> dict[str, Any]:
    return {"name": "ward-3", "sha256": digest_of(key), "tenant": "north", "roles": ["clinician"]} | more


def test_a_key_leads_to_its_owner_and_the_file_does_not_hold_it(tmp_path: Path) -> None:
    key = new_key()
    file = written(tmp_path / "identities.json", entry(key))
    assert key not in file.read_text()
    caller = IdentityFile(file).by_key(key, NOW)
    assert caller is not None
    assert (caller.name, caller.tenant, caller.roles, caller.proof) == (
        "ward-3",
        "north",
        frozenset({Role.CLINICIAN}),
        "api_key",
    )
    assert IdentityFile(file).by_key(key + "x", NOW) is None


@pytest.mark.parametrize(("offset", "known"), [(timedelta(0), False), (timedelta(seconds=1), True)])
def test_an_expired_key_is_unknown(tmp_path: Path, offset: timedelta, known: bool) -> None:
    file = written(tmp_path / "identities.json", entry("k", expires=(NOW + offset).isoformat()))
    assert (IdentityFile(file).by_key("k", NOW) is not None) == known


def test_a_certificate_is_known_by_the_first_name_that_is_listed(tmp_path: Path) -> None:
    pacs = {"name": "pacs", "subject": "pacs.example", "tenant": "north", "roles": ["clinician"]}
    identities = IdentityFile(written(tmp_path / "identities.json", certificates=(pacs,)))
    found = identities.by_certificate(("other.example", "pacs.example"))
    assert found is not None
    assert (found.name, found.proof) == ("pacs", "certificate")
    assert identities.by_certificate(("other.example",)) is None


def test_a_changed_file_counts_without_a_restart(tmp_path: Path) -> None:
    file = written(tmp_path / "identities.json", entry("old"))
    identities = IdentityFile(file)
    written(file, entry("new"), entry("newer", name="ward-4"))
    identities.refresh(now=True)
    assert identities.by_key("old", NOW) is None
    assert identities.by_key("newer", NOW) is not None


def test_a_broken_file_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    file = written(tmp_path / "identities.json", entry("good"))
    identities = IdentityFile(file)
    file.write_text("{")
    identities.refresh(now=True)
    file.unlink()
    identities.refresh(now=True)
    assert identities.by_key("good", NOW) is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ('{"keys": [{"name": "x"}]}', "keys.0.tenant"),
        ('{"keys": [{"name": "x", "tenant": "A:B", "roles": ["reader"], "sha256": "00"}]}', "keys.0.tenant"),
        ('{"users": []}', "users"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "identities.json"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=says) as caught:
        read_identities(file)
    assert "\n" not in str(caught.value)
