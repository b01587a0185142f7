"""What a running gateway writes down, and that it answers nothing it could not write down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cardiomesh.client import AsyncClient, Client
from cardiomesh.errors import InvalidRequest, Unavailable
from cardiomesh.local import Addresses
from cardiomesh.local.ports import address, free_ports
from gateway.identity import Role
from gateway.store.command import audit as audit_command
from tests.conftest import ROOT
from tests.gateways import gateway

pytestmark = pytest.mark.mesh

SUBJECT = "MRN-4711-Maria-Exemplo"


@dataclass(frozen=True)
class Store:
    """A SQLite store in a folder of its own."""

    folder: Path

    @property
    def settings(self) -> dict[str, str]:
        (self.folder / "key").write_bytes(b"k" * 32)
        return {
            "store_url": f"sqlite:///{self.folder / 'store.sqlite'}",
            "store_key": str(self.folder / "key"),
            "store_migrate": "true",
        }

    def records(self) -> list[dict[str, Any]]:
        with sqlite3.connect(f"file:{self.folder / 'store.sqlite'}?mode=ro", uri=True) as store:
            return [json.loads(body) for (body,) in store.execute("SELECT body FROM audit ORDER BY seq")]

    def verified(self) -> dict[str, Any]:
        where = ["--store", self.settings["store_url"], "--key", self.settings["store_key"], "--json"]
        return dict(json.loads(CliRunner().invoke(audit_command, ["verify", *where]).stdout))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
async def caller(addresses: Addresses, store: Store) -> AsyncIterator[AsyncClient]:
    """A client of a gateway whose answers wait for the database."""
    everybody = frozenset({Role.CLINICIAN})
    async with (
        gateway(addresses, anonymous_roles=everybody, store_timeout_s=2.0, **store.settings) as service,
        AsyncClient(service.grpc_address, credential="") as client,
    ):
        yield client


async def test_what_an_explanation_told_is_written_down(caller: AsyncClient, store: Store, ecg_file: Path) -> None:
    answer = await caller.analyze(file=ecg_file)
    why = await caller.explain("SR", result_id=answer.result_id, methods=["rules", "counterfactual"])
    assert [part.method for part in why.missing] == ["counterfactual"]  # a rhythm has none
    record = store.records()[-1]
    assert (record["method"], record["outcome"]) == ("/cardiomesh.gateway.v1.CardioMesh/Explain", "OK")
    assert (record["result_id"], record["model"]) == (answer.result_id, answer.model.name)
    told, _, digest = record["detail"].rpartition("; sha256 ")
    assert told == "rules; missing counterfactual SR"
    assert len(digest) == 64


async def test_an_answer_and_its_record_come_together(caller: AsyncClient, store: Store, ecg_file: Path) -> None:
    answer = await caller.analyze(file=ecg_file, subject_ref=SUBJECT, bypass_cache=True)
    (record,) = store.records()
    assert (record["caller"], record["tenant"], record["proof"]) == ("anonymous", "default", "anonymous")
    assert (record["method"], record["outcome"]) == ("/cardiomesh.gateway.v1.CardioMesh/Analyze", "OK")
    assert (record["result_id"], record["model"]) == (answer.result_id, answer.model.name)
    assert record["card_digest"] == answer.model.card_digest
    kept = await caller.result(answer.result_id)  # it was never in the cache
    assert kept.from_cache
    assert kept.probabilities == pytest.approx(answer.probabilities)


async def test_a_refusal_is_recorded_and_a_look_at_the_models_is_not(
    caller: AsyncClient, store: Store, ecg_file: Path
) -> None:
    with pytest.raises(InvalidRequest):
        await caller.analyze(file=b"no ecg at all")
    await caller.models()
    await caller.analyze(file=ecg_file)  # waits for its own record, and records keep their order
    assert [record["outcome"] for record in store.records()] == ["INVALID_REQUEST", "OK"]
    assert (await asyncio.to_thread(store.verified))["broken"] == ""


async def test_every_item_of_a_batch_is_recorded(caller: AsyncClient, store: Store, ecg_file: Path) -> None:
    recordings: list[tuple[str, Any]] = [("good", {"file": ecg_file}), ("bad", {"file": b"no ecg at all"})]
    outcomes = [outcome async for outcome in caller.analyze_batch(recordings)]
    assert len(outcomes) == 2
    recorded = sorted(record["outcome"] for record in store.records())
    assert recorded == ["INVALID_REQUEST", "OK", "OK", "STARTED"]  # the call itself begins and ends, too


async def test_the_subject_is_nowhere_in_the_store(caller: AsyncClient, store: Store, ecg_file: Path) -> None:
    await caller.analyze(file=ecg_file, subject_ref=SUBJECT)
    assert store.records()[-1]["subject"]
    for content in [file.read_bytes() for file in store.folder.glob("store.sqlite*")]:
        assert SUBJECT.encode() not in content
        assert b"Exemplo" not in content


async def test_while_the_store_is_locked_no_answer_is_given(caller: AsyncClient, store: Store, ecg_file: Path) -> None:
    await caller.analyze(file=ecg_file)
    refused = 0
    with sqlite3.connect(store.folder / "store.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="audit"):
            await caller.analyze(file=ecg_file)
        refused += 1
        other.execute("ROLLBACK")
    while True:
        try:
            await caller.analyze(file=ecg_file)
        except Unavailable:  # the breaker is still open
            refused += 1
            continue
        break
    first, *between, last = (record["outcome"] for record in store.records())
    assert (first, last) == ("OK", "OK")
    # A refused call has a record where the store came back in time for it, and never more than one.
    assert len(between) <= refused
    assert set(between) <= {"UNAVAILABLE"}


def test_no_answered_call_is_lost_by_kill_9(addresses: Addresses, store: Store, ecg_file: Path) -> None:
    """A gateway with a journal is killed in the middle of its work; the next one ships what it left."""
    settings = store.settings | {
        "grpc_address": address(free_ports(1)[0]),
        "http_address": "127.0.0.1:0",
        "triton_address": addresses.triton,
        "preprocessor_address": addresses.preprocessor,
        "redis_url": f"redis://{addresses.redis}/0",
        "model_repository": str(ROOT / "model_repository"),
        "anonymous_roles": '["clinician"]',
        "store_durability": "journal",
        "store_journal": str(store.folder / "journal"),
    }
    environment = os.environ | {f"CARDIOMESH_{name.upper()}": value for name, value in settings.items()}
    answered: set[str] = set()
    for _ in range(2):
        with (
            subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, cwd=ROOT) as process,
            Client(settings["grpc_address"], credential="") as client,
        ):
            while len(answered) % 20 < 19 or not answered:
                try:
                    answered.add(client.analyze(file=ecg_file, bypass_cache=True).result_id)
                except Unavailable:  # it is still starting
                    continue
            answered.add(client.analyze(file=ecg_file, bypass_cache=True).result_id)
            process.send_signal(signal.SIGKILL if len(answered) == 20 else signal.SIGTERM)
    recorded = [record["result_id"] for record in store.records()]
    assert answered <= set(recorded)
    assert len(recorded) == len(set(recorded))
    assert store.verified()["broken"] == ""
