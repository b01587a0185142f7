"""Records become durable, in one unbroken chain, whatever the database does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import InvalidRequest, Unavailable
from gateway.store import AuditRecord, Entry, Journal, Ledger, StoredAnswer, open_engine
from gateway.store.chain import Verdict, verify
from gateway.store.tables import answers, audit, metadata, studies
from tests.unit.gateway.store.conftest import KEYS


def entry(number: int, subject: str = "", signal: str = "a" * 64, **more: Any) -> Entry:
    record = AuditRecord(
        caller="ward-3", tenant="north", proof="api_key", method="/x/Analyze", outcome="OK", subject=subject, **more
    )
    answer = StoredAnswer(f"r{number}", signal, "hybrid_mobile", 1, "2026-06-01T10:00:00+00:00", b"answer %d" % number)
    return Entry(record, answer)


async def verdict(engine: AsyncEngine, anchor: str = "") -> Verdict:
    async with engine.connect() as connection:
        return await verify(connection, KEYS.chain, anchor)


async def count(engine: AsyncEngine, table: Any) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


async def test_migrations_and_tables_say_the_same(engine: AsyncEngine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    async with engine.connect() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    assert difference == []


async def test_an_empty_trail_is_whole(engine: AsyncEngine) -> None:
    assert await verdict(engine) == Verdict(0, "0:" + "0" * 64)


async def test_calls_at_once_share_transactions_and_make_one_chain(ledger: Ledger, engine: AsyncEngine) -> None:
    await asyncio.gather(*(ledger.write(entry(number)) for number in range(300)))
    found = await verdict(engine)
    assert (found.records, found.broken) == (300, "")
    assert await count(engine, answers) == 300


async def test_two_writers_never_fork_the_chain(ledger: Ledger, engine: AsyncEngine) -> None:
    telemetry = Telemetry("other")
    other = Ledger(engine, KEYS, telemetry)
    await asyncio.gather(*((ledger, other)[number % 2].write(entry(number)) for number in range(100)))
    await other.close()
    telemetry.close()
    assert (await verdict(engine)).records == 100


async def test_the_same_study_again_is_one_study(ledger: Ledger, engine: AsyncEngine) -> None:
    lookup = ledger.pseudonyms.lookup("north", "MRN-1")
    for number in range(3):
        await ledger.write(entry(number, lookup))
    await ledger.write(entry(3, lookup, signal="b" * 64))
    assert await count(engine, studies) == 2


async def test_the_trail_holds_no_subject_reference(ledger: Ledger, engine: AsyncEngine) -> None:
    lookup = ledger.pseudonyms.lookup("north", "MRN-1")
    await ledger.write(entry(0, lookup))
    await ledger.write(entry(1, lookup))
    async with engine.connect() as connection:
        bodies = list(await connection.scalars(select(audit.c.body)))
    subjects = {json.loads(body)["subject"] for body in bodies}
    assert len(subjects) == 1
    assert not any("MRN-1" in body or lookup in body for body in bodies)


async def test_answers_are_found_by_their_tenant_alone(ledger: Ledger) -> None:
    await ledger.write(entry(7))
    assert await ledger.answer("north", "r7") == b"answer 7"
    assert await ledger.answer("south", "r7") is None


@pytest.mark.parametrize(
    ("statement", "says", "seq"),
    [
        ("UPDATE audit SET body = replace(body, 'ward-3', 'nobody') WHERE seq = 3", "record 3 is not what", 3),
        ("DELETE FROM audit WHERE seq = 3", "record 3 is missing", 3),
        ("DELETE FROM audit WHERE seq > 3", "the trail ends at record 3", 4),
        (
            "UPDATE audit_ends SET seq = 3, mac = (SELECT mac FROM audit WHERE seq = 3) WHERE name = 'head'",
            "the head of the chain was moved",
            3,
        ),
        (
            "UPDATE audit_ends SET seq = 3, mac = (SELECT mac FROM audit WHERE seq = 3) WHERE name = 'tail'",
            "the tail of the chain was moved",
            3,
        ),
        ("DELETE FROM audit_ends WHERE name = 'tail'", "the ends of the chain are missing", None),
    ],
)
async def test_tampering_is_found_and_named(
    ledger: Ledger, engine: AsyncEngine, statement: str, says: str, seq: int | None
) -> None:
    for number in range(5):
        await ledger.write(entry(number))
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    found = await verdict(engine)
    assert says in found.broken
    assert found.seq == seq


async def test_an_anchor_shows_what_a_stolen_backup_put_back_would_hide(ledger: Ledger, engine: AsyncEngine) -> None:
    for number in range(3):
        await ledger.write(entry(number))
    async with engine.connect() as connection:
        old_head = (await connection.execute(text("SELECT seq, mac, proof FROM audit_ends WHERE name = 'head'"))).one()
    for number in range(3, 6):
        await ledger.write(entry(number))
    anchor = (await verdict(engine)).head
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM audit WHERE seq > 3"))
        await connection.execute(
            text("UPDATE audit_ends SET seq = :seq, mac = :mac, proof = :proof WHERE name = 'head'"),
            {"seq": old_head.seq, "mac": old_head.mac, "proof": old_head.proof},
        )
    assert (await verdict(engine)).broken == ""
    assert "was anchored" in (await verdict(engine, anchor)).broken


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[Any]:
    """A ledger whose SQLite file cannot be opened until ``arrive`` is called."""
    folder = tmp_path / "mount"
    engine = open_engine(f"sqlite:///{folder / 'store.sqlite'}", timeout_s=0.5)
    telemetry = Telemetry("test")
    made: list[Ledger] = []

    def ledger(journal: Journal | None) -> Ledger:
        made.append(Ledger(engine, KEYS, telemetry, journal=journal, cool_down_s=0.0, ship_every_s=0.01))
        return made[-1]

    async def arrive() -> None:
        from gateway.store import migrate

        folder.mkdir()
        await migrate(engine)

    yield ledger, arrive, engine
    for one in made:
        await one.close()
    telemetry.close()


async def test_without_a_journal_no_record_means_no_answer(away: Any) -> None:
    make, arrive, engine = away
    ledger = make(None)
    with pytest.raises(Unavailable, match="no answer is given"):
        await ledger.write(entry(0))
    await arrive()
    await ledger.write(entry(1))
    assert (await verdict(engine)).records == 1


async def test_with_a_journal_answers_go_on_while_the_store_is_away(away: Any, tmp_path: Path) -> None:
    make, arrive, engine = away
    journal = Journal(tmp_path / "journal", 1_000_000)
    ledger = make(journal)
    await asyncio.gather(*(ledger.write(entry(number)) for number in range(5)))
    assert await ledger.answer("north", "r0") == b"answer 0"
    assert await ledger.answer("south", "r0") is None
    await arrive()
    await ledger.close()  # ships what can be shipped
    assert not journal
    assert (await verdict(engine)).records == 5
    assert await ledger.answer("north", "r0") == b"answer 0"


async def test_what_a_killed_process_left_is_shipped_once(away: Any, tmp_path: Path) -> None:
    make, arrive, engine = away
    await arrive()
    left = Journal(tmp_path / "journal", 1_000_000)
    entries = [entry(number) for number in range(3)]
    left.append(entries)
    left.take()  # killed while they were on their way …
    left.append([entry(3)])
    left.close()
    first = make(Journal(tmp_path / "journal", 1_000_000))
    await first.close()  # … and after the database had them
    again = Journal(tmp_path / "journal", 1_000_000)
    again.append(entries)
    again.close()
    second = make(Journal(tmp_path / "journal", 1_000_000))
    await second.close()
    assert (await verdict(engine)).records == 4


async def test_a_full_journal_refuses(away: Any, tmp_path: Path) -> None:
    make, _, _ = away
    ledger = make(Journal(tmp_path / "journal", 100))
    with pytest.raises(Unavailable):
        await ledger.write(entry(0))


def test_a_line_that_a_crash_cut_short_is_left_out_and_swallows_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", 1_000_000)
    first, second = entry(0), entry(1)
    journal.append([first])
    journal.close()
    with (tmp_path / "journal").open("a") as file:
        file.write('{"record": {"caller": "wa')
    journal = Journal(tmp_path / "journal", 1_000_000)
    journal.append([second])
    assert journal.take() == [first, second]
    journal.close()


def test_whatever_a_caller_is_called_takes_one_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", 1_000_000)
    record = replace(entry(0).record, caller="ward\u2028three\x85\n")
    journal.append([Entry(record)])
    assert journal.take() == [Entry(record)]
    journal.close()


def test_what_comes_while_entries_are_shipped_is_not_forgotten_with_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", 1_000_000)
    first, second = entry(0), entry(1)
    journal.append([first])
    assert journal.take() == [first]
    journal.append([second])
    assert journal.take() == [first]
    journal.shipped()
    assert journal.take() == [second]
    journal.shipped()
    assert not journal
    journal.close()


def test_a_journal_belongs_to_one_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", 1_000_000)
    with pytest.raises(InvalidRequest, match="in use"):
        Journal(tmp_path / "journal", 1_000_000)
    journal.close()
