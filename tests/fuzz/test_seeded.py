"""A short, seeded turn of both fuzzers against the running mesh; ``make fuzz-gateway`` is the long one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from cardiomesh.local import Addresses
from tests.fuzz.gateway import CHECKS
from tests.fuzz.mutations import METHODS, broken, seeds
from tests.fuzz.rpcs import Sender

ROOT = Path(__file__).resolve().parents[2]


def test_a_seed_says_what_is_sent() -> None:
    method = "/cardiomesh.gateway.v1.CardioMesh/AnalyzeBatch"
    whole = seeds()[method][0]
    turns = [broken(whole, METHODS[method], random.Random(k).randrange) for k in (1, 1, 2)]
    assert turns[0] == turns[1] != turns[2]
    assert turns[0] != whole


@pytest.mark.mesh
def test_broken_calls_end_with_an_error_that_was_foreseen(addresses: Addresses, authorization: dict[str, str]) -> None:
    sender = Sender(addresses.gateway, tuple(authorization.items()))
    pick = random.Random(20).randrange
    try:
        wrong = [text for _ in range(60) if (text := sender.one(pick))]
        assert wrong == []
        assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= sender.outcomes.keys()
        assert sender.whole() == ""
    finally:
        sender.close()


@pytest.mark.mesh
def test_broken_requests_over_http_are_answered_as_the_document_says(
    addresses: Addresses, authorization: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://{addresses.http}/openapi.json", "--no-color"]
    command += ["-H", f"Authorization: {authorization['authorization']}", "--phases", "fuzzing", "-n", "6"]
    command += ["--seed", "20", "--request-timeout", "60", "--checks", CHECKS, "--warnings", "off", "--no-shrink"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
