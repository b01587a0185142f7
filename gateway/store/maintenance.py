"""What is done to the store from outside the gateway: migrate, erase a subject, let old data go."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.store.chain import attest
from gateway.store.subjects import Pseudonyms
from gateway.store.tables import answers, audit, audit_ends, studies, subjects

__all__ = ["erase_subject", "migrate", "prune_answers", "prune_audit"]


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Bring the tables to ``revision``; nothing happens where they are there already."""
    async with engine.begin() as connection:
        await connection.run_sync(_migrate, revision)


def _migrate(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def erase_subject(connection: AsyncConnection, pseudonyms: Pseudonyms, tenant: str, subject_ref: str) -> int:
    """Delete a subject's studies and answers, and the secret behind the pseudonym; how many studies there were.

    The audit trail keeps its records, and with the secret gone their pseudonym leads to nobody.
    """
    lookup = pseudonyms.lookup(tenant, subject_ref)
    secret = await connection.scalar(select(subjects.c.secret).where(subjects.c.lookup == lookup))
    if secret is None:
        return 0
    subject = pseudonyms.pseudonym(secret, lookup)
    of_subject = (studies.c.tenant == tenant) & (studies.c.subject == subject)
    ids = select(studies.c.study_id).where(of_subject)
    await connection.execute(delete(answers).where(answers.c.study_id.in_(ids)))
    deleted = await connection.execute(delete(studies).where(of_subject))
    await connection.execute(delete(subjects).where(subjects.c.lookup == lookup))
    return deleted.rowcount


async def prune_answers(connection: AsyncConnection, before: datetime) -> int:
    """Delete answers older than ``before``, and studies that have none left; how many answers there were."""
    deleted = await connection.execute(delete(answers).where(answers.c.computed_at < before))
    alive = select(answers.c.study_id)
    await connection.execute(delete(studies).where(studies.c.study_id.not_in(alive), studies.c.first_seen < before))
    return deleted.rowcount


async def prune_audit(connection: AsyncConnection, key: bytes, before: datetime) -> int:
    """Delete the oldest audit records; the tail then says from where the chain goes on. How many there were.

    Only a prefix can go: the first record that is young enough ends it, whatever comes after.
    """
    await connection.execute(select(audit_ends).with_for_update())
    last = None
    rows = await connection.stream(select(audit).order_by(audit.c.seq))
    async for row in rows:
        if _at(row.body) >= before:
            break
        last = row
    if last is None:
        return 0
    count = await connection.scalar(select(func.count()).where(audit.c.seq <= last.seq))
    tail = {"seq": last.seq, "mac": last.mac, "proof": attest(key, "tail", last.seq, last.mac)}
    await connection.execute(update(audit_ends).where(audit_ends.c.name == "tail").values(**tail))
    await connection.execute(delete(audit).where(audit.c.seq <= last.seq))
    return int(count or 0)


def _at(body: str) -> datetime:

    return datetime.fromisoformat(json.loads(body)["at"])
