"""One answer under one claim, whoever writes, however many at once, and gone with its study."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardiomesh.chassis.telemetry import Telemetry
from gateway.store import Claim, Entry, Journal, Ledger
from gateway.store.maintenance import erase_subject
from gateway.store.tables import answers, audit, claims
from tests.unit.gateway.store.conftest import KEYS
from tests.unit.gateway.store.test_ledger import count, entry, verdict

CLAIM = Claim("k" * 64, "q" * 64)


def claiming(number: int, claim: Claim = CLAIM, subject: str = "") -> Entry:
    return replace(entry(number, subject), claim=claim)


@pytest.fixture
async def other(engine: AsyncEngine) -> AsyncIterator[Ledger]:
    """A second replica on the same database."""
    telemetry = Telemetry("test")
    made = Ledger(engine, KEYS, telemetry)
    yield made
    await made.close()
    telemetry.close()


async def test_the_first_has_it_and_the_second_leaves_no_trace(ledger: Ledger, engine: AsyncEngine) -> None:
    assert await ledger.claimed(CLAIM.key) is None
    assert await ledger.write(claiming(1)) is True
    assert await ledger.write(claiming(2)) is False
    assert await ledger.claimed(CLAIM.key) == (CLAIM.request, b"answer 1")
    assert (await count(engine, answers), await count(engine, audit)) == (1, 1)
    assert (await verdict(engine)).broken == ""


async def test_replicas_that_race_agree_on_one(ledger: Ledger, other: Ledger, engine: AsyncEngine) -> None:
    plain = [asyncio.create_task(ledger.write(entry(100 + n))) for n in range(10)]
    won = await asyncio.gather(*((ledger, other)[n % 2].write(claiming(n)) for n in range(40)))
    assert sum(won) == 1
    assert all(await asyncio.gather(*plain))
    kept = await ledger.claimed(CLAIM.key)
    assert kept == (CLAIM.request, b"answer %d" % won.index(True))
    assert await count(engine, answers) == 11
    assert (await verdict(engine)).broken == ""


async def test_beside_a_journal_the_database_decides_at_once(engine: AsyncEngine, tmp_path: Path) -> None:
    telemetry = Telemetry("test")
    ledger = Ledger(engine, KEYS, telemetry, journal=Journal(tmp_path / "journal", 1_000_000), ship_every_s=3600)
    try:
        written = await asyncio.gather(*(ledger.write(e) for e in (entry(1), claiming(2), claiming(3), entry(4))))
        assert written == [True, True, False, True]
        assert await ledger.claimed(CLAIM.key) == (CLAIM.request, b"answer 2")
    finally:
        await ledger.close()
        telemetry.close()
    assert await count(engine, answers) == 3


async def test_erasing_a_subject_forgets_its_keys(ledger: Ledger, engine: AsyncEngine) -> None:
    lookup = ledger.pseudonyms.lookup("north", "subject-1")
    await ledger.write(claiming(1, subject=lookup))
    async with engine.begin() as connection:
        assert await erase_subject(connection, ledger.pseudonyms, "north", "subject-1") == 1
    assert await ledger.claimed(CLAIM.key) is None
    assert await count(engine, claims) == 0
    assert await ledger.write(claiming(2)) is True
