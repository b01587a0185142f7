"""What the running gateway writes down, and that it answers nothing it could not write down."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cardiomesh.client import Client
from cardiomesh.errors import InvalidRequest, Unavailable
from cardiomesh.local import Mesh
from gateway.store.command import audit as audit_command

pytestmark = pytest.mark.mesh

SUBJECT = "MRN-4711-Maria-Exemplo"


def records(mesh: Mesh) -> list[dict[str, object]]:
    with sqlite3.connect(f"file:{mesh.directory / 'store.sqlite'}?mode=ro", uri=True) as store:
        return [json.loads(body) for (body,) in store.execute("SELECT body FROM audit ORDER BY seq")]


@pytest.fixture
def before(mesh: Mesh) -> int:
    return len(records(mesh))


def test_an_answer_and_its_record_come_together(client: Client, mesh: Mesh, ecg_file: Path, before: int) -> None:
    answer = client.analyze(file=ecg_file, subject_ref=SUBJECT, bypass_cache=True)
    (record,) = records(mesh)[before:]
    assert (record["caller"], record["tenant"], record["proof"]) == ("development", "default", "api_key")
    assert (record["method"], record["outcome"]) == ("/cardiomesh.gateway.v1.CardioMesh/Analyze", "OK")
    assert (record["result_id"], record["model"]) == (answer.result_id, answer.model.name)
    assert record["card_digest"] == answer.model.card_digest


def test_an_answer_outlives_the_cache(client: Client, mesh: Mesh, ecg_file: Path) -> None:
    answer = client.analyze(file=ecg_file, bypass_cache=True)  # never in the cache
    kept = client.result(answer.result_id)
    assert kept.from_cache
    assert kept.probabilities == pytest.approx(answer.probabilities)


def test_a_refusal_is_recorded_too(client: Client, mesh: Mesh, ecg_file: Path, before: int) -> None:
    with pytest.raises(InvalidRequest):
        client.analyze(file=b"no ecg at all")
    client.analyze(file=ecg_file)  # waits for its own record, and records keep their order
    assert [record["outcome"] for record in records(mesh)[before:]] == ["INVALID_REQUEST", "OK"]


def test_looking_at_models_leaves_no_record(client: Client, mesh: Mesh, before: int) -> None:
    client.models()
    client.model_card()
    assert len(records(mesh)) == before


def test_the_subject_is_nowhere_in_the_store(client: Client, mesh: Mesh, ecg_file: Path) -> None:
    client.analyze(file=ecg_file, subject_ref=SUBJECT)
    for file in mesh.directory.glob("store.sqlite*"):
        content = file.read_bytes()
        assert SUBJECT.encode() not in content
        assert b"Exemplo" not in content


def test_the_trail_proves_itself(client: Client, mesh: Mesh, ecg_file: Path) -> None:
    client.analyze(file=ecg_file)
    store = ["--store", f"sqlite:///{mesh.directory / 'store.sqlite'}", "--key", str(mesh.directory / "store-key")]
    done = CliRunner().invoke(audit_command, ["verify", *store, "--json"])
    assert done.exit_code == 0, done.stdout
    assert json.loads(done.stdout)["records"] == len(records(mesh))


def test_while_the_store_is_locked_no_answer_is_given(client: Client, mesh: Mesh, ecg_file: Path) -> None:
    with sqlite3.connect(mesh.directory / "store.sqlite", isolation_level=None) as store:
        store.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="audit"):
            client.analyze(file=ecg_file, timeout=20)
        store.execute("ROLLBACK")
    while True:
        try:
            client.analyze(file=ecg_file)
        except Unavailable:  # the breaker is still open
            continue
        break
