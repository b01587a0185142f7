"""``cardiomesh watch`` on a running mesh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cardiomesh.client import Client
from cardiomesh.local import Addresses
from cardiomesh.watch import Baseline, look

pytestmark = pytest.mark.mesh


def watch(*arguments: str | Path, gateway: str, **environment: str) -> tuple[int, dict[str, str]]:
    """Exit status, and what is wrong with each check."""
    command = [
        sys.executable,
        "-m",
        "cardiomesh.cli",
        "watch",
        "--json",
        "--slower-than",
        "60000",
        *map(str, arguments),
    ]
    done = subprocess.run(
        command, env=os.environ | environment | {"CARDIOMESH_GATEWAY": gateway}, capture_output=True, text=True
    )
    return done.returncode, {check["name"]: check["wrong"] for check in json.loads(done.stdout)["checks"]}


def test_a_mesh_that_is_well(addresses: Addresses, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    for _ in range(2):
        status, checks = watch("--baseline", baseline, gateway=addresses.gateway)
        assert (status, checks) == (0, dict.fromkeys(("models", "analysis", "cache", "explanation"), ""))


def test_another_answer_than_before_is_an_alarm(addresses: Addresses, client: Client, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    assert look(client, Baseline(baseline), slower_than_ms=60_000).ok
    known = json.loads(baseline.read_text())
    (answer,) = known.values()
    answer["NORM"] += 0.01
    baseline.write_text(json.dumps(known))
    status, checks = watch("--baseline", baseline, gateway=addresses.gateway)
    assert status == 3
    assert "NORM" in checks["analysis"]


def test_a_door_that_stays_shut_is_an_alarm(addresses: Addresses) -> None:
    status, checks = watch(gateway=addresses.gateway, CARDIOMESH_API_KEY="wrong")
    assert status == 3
    assert checks["models"].startswith("UNAUTHENTICATED")


def test_slow_is_not_well(client: Client) -> None:
    report = look(client, Baseline(), slower_than_ms=0.001)
    assert [check.name for check in report.checks if not check.ok] == ["analysis"]
