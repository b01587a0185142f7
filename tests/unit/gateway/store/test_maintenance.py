"""Erasure and retention leave a chain that still proves itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from cardiomesh.errors import Unavailable
from gateway.store import Ledger
from gateway.store.command import audit as audit_command
from gateway.store.command import store as store_command
from gateway.store.maintenance import erase_subject, prune_answers, prune_audit
from gateway.store.tables import audit, studies, subjects
from tests.unit.gateway.store.conftest import KEYS
from tests.unit.gateway.store.test_ledger import count, entry, verdict


async def test_an_erased_subject_is_gone_and_the_chain_is_whole(ledger: Ledger, engine: AsyncEngine) -> None:
    names = ledger.pseudonyms
    for number in range(2):
        await ledger.write(entry(number, names.lookup("north", "MRN-1"), signal=f"{number}" * 64))
    await ledger.write(entry(2, names.lookup("north", "MRN-2")))
    async with engine.begin() as connection:
        assert await erase_subject(connection, names, "north", "MRN-1") == 2
        assert await erase_subject(connection, names, "north", "MRN-1") == 0
    assert await ledger.answer("north", "r0") is None
    assert await ledger.answer("north", "r2") is not None
    assert await count(engine, subjects) == 1
    assert (await verdict(engine)).records == 3

    # The same person again is somebody new: what is left of the old pseudonym leads nowhere.
    await ledger.write(entry(3, names.lookup("north", "MRN-1")))
    async with engine.connect() as connection:
        bodies = [json.loads(body) for body in await connection.scalars(select(audit.c.body).order_by(audit.c.seq))]
    assert bodies[0]["subject"] == bodies[1]["subject"] != bodies[3]["subject"]


async def test_another_tenants_subject_of_the_same_name_stays(ledger: Ledger, engine: AsyncEngine) -> None:
    await ledger.write(entry(0, ledger.pseudonyms.lookup("north", "MRN-1")))
    async with engine.begin() as connection:
        assert await erase_subject(connection, ledger.pseudonyms, "south", "MRN-1") == 0
    assert await count(engine, studies) == 1


async def test_old_answers_go_and_young_ones_stay(ledger: Ledger, engine: AsyncEngine) -> None:
    await ledger.write(entry(0))
    async with engine.begin() as connection:
        assert await prune_answers(connection, datetime(2026, 6, 1, tzinfo=UTC)) == 0
        assert await prune_answers(connection, datetime(2026, 6, 2, tzinfo=UTC)) == 1


async def test_old_records_go_and_the_chain_begins_later(ledger: Ledger, engine: AsyncEngine) -> None:
    now = datetime.now(UTC)
    for number, age in enumerate((30, 20, 10, 0)):
        await ledger.write(entry(number, at=(now - timedelta(days=age)).isoformat(timespec="milliseconds")))
    async with engine.begin() as connection:
        assert await prune_audit(connection, KEYS.chain, now - timedelta(days=15)) == 2
        assert await prune_audit(connection, KEYS.chain, now - timedelta(days=15)) == 0
    found = await verdict(engine)
    assert (found.records, found.broken) == (2, "")
    assert found.head.startswith("4:")
    await ledger.write(entry(9))
    assert (await verdict(engine)).records == 3


def test_the_commands_on_a_store_of_their_own(tmp_path: Path) -> None:
    runner, url, key = CliRunner(), f"sqlite:///{tmp_path / 'store.sqlite'}", tmp_path / "key"
    key.write_bytes(b"k" * 32)
    with_key = ["--store", url, "--key", str(key)]
    assert runner.invoke(store_command, ["migrate", "--store", url]).exit_code == 0
    verified = runner.invoke(audit_command, ["verify", *with_key, "--json"])
    assert json.loads(verified.stdout) == {"records": 0, "head": "0:" + "0" * 64, "broken": "", "seq": None}
    assert runner.invoke(audit_command, ["read", "--store", url]).stdout == ""
    erased = runner.invoke(store_command, ["erase", *with_key, "--tenant", "north", "--subject-ref", "MRN-1"])
    assert erased.stdout == "0 studies erased\n"
    pruned = runner.invoke(store_command, ["prune", *with_key, "--answer-days", "30", "--audit-days", "365"])
    assert pruned.stdout == "0 answers pruned\n0 audit records pruned\n"


def test_a_store_that_is_not_there_is_one_typed_error(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    done = CliRunner().invoke(audit_command, ["verify", "--store", f"sqlite:///{tmp_path}/no/store", "--key", str(key)])
    assert isinstance(done.exception, Unavailable)
