"""Databases that fall silent: callers are told in time, and nothing stays locked for others."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store import open_engine
from gateway.store.engine import bounded, settled


async def test_work_that_does_not_end_is_left_alone_at_once(postgresql: str) -> None:
    """Its own clean-up may take as long as it likes."""
    engine = open_engine(postgresql)
    cleaning, may_end = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await may_end.wait()

    with pytest.raises(TimeoutError):
        await bounded(engine, endless(), 0.01)
    await cleaning.wait()
    may_end.set()
    await settled()
    await engine.dispose()


async def test_what_ends_in_time_answers_or_raises_as_ever(engine: AsyncEngine) -> None:
    async def one() -> int:
        return 1

    async def fails() -> None:
        raise OSError("the disk")

    assert await bounded(engine, one(), 60) == 1
    with pytest.raises(OSError, match="the disk"):
        await bounded(engine, fails(), 60)


async def test_a_writer_that_vanished_inside_a_transaction_lets_go(postgresql: str) -> None:
    """Its server would else hold the head of the chain until TCP notices, for hours."""
    vanished, other = open_engine(postgresql, timeout_s=0.2), open_engine(postgresql, timeout_s=20)
    async with other.begin() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS head"))
        await connection.execute(text("CREATE TABLE head AS SELECT 1 AS seq"))
    connection = await vanished.connect()
    await connection.execute(text("SELECT * FROM head FOR UPDATE"))
    async with other.begin() as writer:
        assert (await writer.execute(text("SELECT * FROM head FOR UPDATE"))).one().seq == 1
    with pytest.raises(DBAPIError):
        await connection.execute(text("SELECT 1"))
    await connection.close()
    await vanished.dispose()
    await other.dispose()
