"""Writes audit records and answers, many calls at once, and lets each caller wait until its own is durable.

Group commit: while one batch is on its way to disk the next calls gather, so a busy gateway pays for few commits and a
quiet one waits for none. ``Durability`` says what a caller waits for: the database's commit, or a synced local journal
that is shipped to the database in the background.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, Select, Table, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import Unavailable
from gateway.backends.breaker import Breaker
from gateway.store.chain import attest, link
from gateway.store.engine import bounded, settled
from gateway.store.entries import Entry
from gateway.store.journal import Journal
from gateway.store.keys import LedgerKeys
from gateway.store.subjects import Pseudonyms
from gateway.store.tables import answers, audit, audit_ends, claims, studies

__all__ = ["Durability", "Ledger"]

log = logging.getLogger("cardiomesh.ledger")
_MOST_AT_ONCE: Final = 256
#: Calls that may wait for the ledger; beyond, it is the bottleneck and says so.
_MOST_WAITING: Final = 10_000
_FAILURES: Final = (SQLAlchemyError, OSError, TimeoutError)


class Durability(StrEnum):
    """What a caller waits for."""

    #: The database has it. While the database is away there are no answers.
    DATABASE = "database"
    #: The local journal has it. While the database is away the journal grows, up to its limit.
    JOURNAL = "journal"


#: Each with what its caller waits for: whether the entry was written, or was another's to write.
_Batch = Sequence[tuple[Entry, "asyncio.Future[bool]"]]


class Ledger:
    """One writer per process. Several may share a database: the head of the chain is locked while one writes."""

    def __init__(
        self,
        engine: AsyncEngine,
        keys: LedgerKeys,
        telemetry: Telemetry,
        *,
        journal: Journal | None = None,
        timeout_s: float = 2.0,
        cool_down_s: float = 1.0,
        ship_every_s: float = 0.5,
    ) -> None:
        """``journal`` makes it ``Durability.JOURNAL``; without one it is ``DATABASE``."""
        self.engine = engine
        self.pseudonyms = Pseudonyms(keys.pseudonyms)
        self._key = keys.chain
        self._telemetry = telemetry
        self._journal = journal
        self._timeout_s = timeout_s
        self._ship_every_s = ship_every_s
        self._breaker = Breaker(cool_down_s)
        self._queue: asyncio.Queue[tuple[Entry, asyncio.Future[bool]]] = asyncio.Queue(_MOST_WAITING)
        self._tasks: list[asyncio.Task[None]] = []
        #: Answers that only the journal has, by result id: they must be found all the same.
        self._unshipped: dict[str, tuple[str, bytes]] = {}
        self._in_journal = 0
        telemetry.gauge("audit_waiting", self._queue.qsize)
        telemetry.gauge("audit_unshipped", lambda: self._in_journal)

    async def write(self, entry: Entry) -> bool:
        """Return when the entry is durable; Unavailable when it cannot be made so.

        False, with nothing written, when another entry has the same claim: ``claimed`` finds it.
        """
        return await self._enqueued(entry)

    def submit(self, entry: Entry) -> None:
        """Have the entry written without waiting for it; its failure is logged."""
        self._enqueued(entry).add_done_callback(_retrieve)

    def _enqueued(self, entry: Entry) -> asyncio.Future[bool]:
        self.start()
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((entry, future))
        except asyncio.QueueFull:
            future.set_exception(Unavailable("the audit trail cannot keep up; no answer is given"))
        return future

    async def answer(self, tenant: str, result_id: str) -> bytes | None:
        """A kept answer, serialised; None where this tenant has none of that id."""
        if result_id in self._unshipped:
            owner, found = self._unshipped[result_id]
            return found if owner == tenant else None
        query = select(answers.c.answer).where(answers.c.result_id == result_id, answers.c.tenant == tenant)
        try:
            row = await bounded(self.engine, self._first(query), self._timeout_s)
        except _FAILURES as error:
            raise Unavailable("the store of earlier results cannot be reached") from error
        return None if row is None else row.answer

    async def _first(self, query: Select[Any]) -> Row[Any] | None:
        async with self.engine.connect() as connection:
            row: Row[Any] | None = (await connection.execute(query)).one_or_none()
            return row

    async def claimed(self, key: str) -> tuple[str, bytes] | None:
        """The request and the answer under a claim's key."""
        query = select(claims.c.request, claims.c.answer).where(claims.c.key == key)
        try:
            row = await bounded(self.engine, self._first(query), self._timeout_s)
        except _FAILURES as error:
            raise Unavailable("the store of earlier requests cannot be reached") from error
        return None if row is None else (row.request, row.answer)

    def start(self) -> None:
        """Begin to write, and to ship what an earlier process left in the journal; nothing if it has begun."""
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._run()))
            if self._journal is not None:
                self._tasks.append(asyncio.create_task(self._ship_on()))

    async def close(self) -> None:
        """Write what waits, ship what can be shipped, and let go of the database."""
        await self._queue.join()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._journal is not None:
            await self._ship()
            self._journal.close()
        await settled()
        await self.engine.dispose()

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _MOST_AT_ONCE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._settle(batch)
            for _ in batch:
                self._queue.task_done()

    async def _settle(self, batch: _Batch) -> None:
        started = time.perf_counter()
        lost: set[str] = set()
        entries = [entry for entry, _ in batch]
        if self._journal is None:
            durable = await self._committed(entries, lost)
        else:
            durable = await self._journaled(self._journal, [entry for entry in entries if entry.claim is None])
        claiming = [entry for entry in entries if entry.claim is not None] if self._journal is not None else []
        claimed = await self._committed(claiming, lost) if claiming else durable
        self._telemetry.observe("audit_commit_duration", (time.perf_counter() - started) * 1e3)
        for entry, future in batch:
            if future.done():  # its caller went away
                continue
            if durable if entry.claim is None else claimed:
                future.set_result(entry.record.record_id not in lost)
            else:
                future.set_exception(Unavailable("the audit trail cannot be written; no answer is given"))

    async def _journaled(self, journal: Journal, entries: Sequence[Entry]) -> bool:
        if not entries:
            return True
        try:
            await asyncio.to_thread(journal.append, entries)
        except OSError:
            log.exception("the audit journal cannot be written")
            return False
        self._in_journal += len(entries)
        for entry in entries:
            if entry.answer is not None:
                self._unshipped[entry.answer.result_id] = (entry.record.tenant, entry.answer.answer)
        return True

    async def _ship_on(self) -> None:
        while True:
            await self._ship()
            await asyncio.sleep(self._ship_every_s)

    async def _ship(self) -> None:
        """Move the journal's entries into the database; they stay where they are when that fails."""
        if self._journal is None or not self._journal:
            return
        taken = await asyncio.to_thread(self._journal.take)
        for first in range(0, len(taken), _MOST_AT_ONCE):
            if not await self._committed(taken[first : first + _MOST_AT_ONCE]):
                return
        await asyncio.to_thread(self._journal.shipped)
        # An earlier process may have left more than this one has counted.
        self._in_journal = max(0, self._in_journal - len(taken))
        for entry in taken:
            if entry.answer is not None:
                self._unshipped.pop(entry.answer.result_id, None)

    async def _committed(self, entries: Sequence[Entry], lost: set[str] | None = None) -> bool:
        """Whether the database took the entries; ``lost`` gets the ids of those whose claim was another's."""
        if not self._breaker.allows():
            return False
        try:
            beaten = await bounded(self.engine, self._transact(entries), self._timeout_s)
        except _FAILURES:
            self._breaker.failed()
            self._telemetry.count("audit_failures")
            log.exception("the audit trail cannot be written")
            return False
        self._breaker.succeeded()
        if lost is not None:
            lost |= beaten
        return True

    async def _transact(self, entries: Sequence[Entry]) -> set[str]:
        async with self.engine.begin() as connection:
            return await self._append(connection, entries)

    async def _append(self, connection: AsyncConnection, entries: Sequence[Entry]) -> set[str]:
        """One transaction's work: the head is locked first, so that chains of several writers cannot fork.

        The same lock decides who had a claim first; answers the record ids of those who had not.
        """
        head = (await connection.execute(select(audit_ends).where(audit_ends.c.name == "head").with_for_update())).one()
        ids = [entry.record.record_id for entry in entries]
        known = set(await connection.scalars(select(audit.c.record_id).where(audit.c.record_id.in_(ids))))
        fresh = list({e.record.record_id: e for e in entries if e.record.record_id not in known}.values())
        beaten = await _beaten(connection, fresh)
        fresh = [entry for entry in fresh if entry.record.record_id not in beaten]
        if not fresh:
            return beaten
        names = await self.pseudonyms.resolve(connection, {(e.record.tenant, e.record.subject) for e in fresh})
        seq, mac, rows = head.seq, head.mac, []
        for entry in fresh:
            seq += 1
            body = entry.record.body(names.get(entry.record.subject, ""))
            mac = link(self._key, mac, seq, body)
            rows.append({"seq": seq, "record_id": entry.record.record_id, "body": body, "mac": mac})
        await connection.execute(insert(audit), rows)
        moved = {"seq": seq, "mac": mac, "proof": attest(self._key, "head", seq, mac)}
        await connection.execute(update(audit_ends).where(audit_ends.c.name == "head").values(**moved))
        await self._keep_answers(connection, fresh, names)
        return beaten

    async def _keep_answers(self, connection: AsyncConnection, entries: Iterable[Entry], names: dict[str, str]) -> None:
        study_rows: dict[str, dict[str, Any]] = {}
        answer_rows: dict[str, dict[str, Any]] = {}
        claim_rows: list[dict[str, Any]] = []
        for entry in entries:
            answer, record = entry.answer, entry.record
            if answer is None:
                continue
            subject = names.get(record.subject, "")
            study_id = hashlib.sha256(f"{record.tenant}\0{subject}\0{answer.signal_hash}".encode()).hexdigest()
            study_rows[study_id] = {
                "study_id": study_id,
                "tenant": record.tenant,
                "subject": subject,
                "signal_hash": answer.signal_hash,
                "first_seen": datetime.fromisoformat(record.at),
            }
            answer_rows[answer.result_id] = {
                "result_id": answer.result_id,
                "tenant": record.tenant,
                "study_id": study_id,
                "model": answer.model,
                "model_version": answer.model_version,
                "computed_at": datetime.fromisoformat(answer.computed_at),
                "answer": answer.answer,
            }
            if entry.claim is not None:
                claim_rows.append(asdict(entry.claim) | {"study_id": study_id, "answer": answer.answer})
        if answer_rows:
            await _insert_new(connection, studies, list(study_rows.values()))
            await _insert_new(connection, answers, list(answer_rows.values()))
        if claim_rows:
            await connection.execute(insert(claims), claim_rows)


async def _beaten(connection: AsyncConnection, entries: Sequence[Entry]) -> set[str]:
    """Record ids of entries whose claim is in the table, or came earlier in the same batch."""
    wanted = [entry.claim.key for entry in entries if entry.claim is not None]
    if not wanted:
        return set()
    taken = set(await connection.scalars(select(claims.c.key).where(claims.c.key.in_(wanted))))
    beaten = set()
    for entry in entries:
        if entry.claim is None:
            continue
        if entry.claim.key in taken:
            beaten.add(entry.record.record_id)
        taken.add(entry.claim.key)
    return beaten


async def _insert_new(connection: AsyncConnection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert; what is there already stays."""
    make = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    await connection.execute(make(table).on_conflict_do_nothing(), rows)


def _retrieve(future: asyncio.Future[bool]) -> None:
    """Nobody waits for it."""
    if not future.cancelled():
        future.exception()
