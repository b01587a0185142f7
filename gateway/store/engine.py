"""Opens the database: SQLite for one machine, PostgreSQL for a hospital."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn

from cardiomesh.errors import InvalidRequest

__all__ = ["bounded", "open_engine", "settled"]

T = TypeVar("T")
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


def open_engine(url: str, timeout_s: float = 2.0) -> AsyncEngine:
    """An engine for ``sqlite:///path`` or ``postgresql://user:password@host/name``; nothing is connected yet.

    ``timeout_s`` bounds the wait for a connection, a lock and a statement, each.
    """
    try:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
        parsed = parsed.set(drivername=_DRIVERS[kind])
    except (ArgumentError, KeyError) as error:
        # The text holds a password.
        raise InvalidRequest.field("store_url", "is neither sqlite:///… nor postgresql://…", "MALFORMED") from error
    if kind == "sqlite":
        engine = create_async_engine(parsed, connect_args={"timeout": timeout_s})
        event.listen(engine.sync_engine, "connect", _durable_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_immediate)
        return engine
    arguments: dict[str, Any] = {"timeout": timeout_s, "command_timeout": timeout_s}
    engine = create_async_engine(
        parsed, connect_args=arguments, pool_size=4, max_overflow=0, pool_timeout=timeout_s, pool_pre_ping=False
    )
    event.listen(engine.sync_engine, "connect", partial(_let_go_of_the_dead, timeout_s))
    return engine


async def bounded(engine: AsyncEngine, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Do it, or TimeoutError at once when the time is over.

    ``asyncio.timeout`` would also wait for the driver's goodbye, which on a connection whose other end is gone takes as
    long again; and the pool's other connections have most likely the same other end. SQLite has no other end.
    """
    if engine.dialect.name != "postgresql":
        async with asyncio.timeout(seconds):
            return await work
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    if done:
        return task.result()
    task.cancel()
    _leave(task)
    pool = engine.sync_engine.pool
    await engine.dispose(close=False)
    _leave(asyncio.ensure_future(greenlet_spawn(pool.dispose)))
    raise TimeoutError


async def settled() -> None:
    """Return when all that was given up has let go of its connection."""
    while _ending:
        await asyncio.wait(_ending)


_ending: set[asyncio.Future[Any]] = set()


def _leave(task: asyncio.Future[Any]) -> None:
    _ending.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Future[Any]) -> None:
    _ending.discard(task)
    if not task.cancelled():
        task.exception()


def _let_go_of_the_dead(timeout_s: float, connection: Any, _: Any) -> None:
    """A writer that vanished inside a transaction must not keep the head of the chain locked until TCP notices."""
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = {int(timeout_s * 1e3)}")
    cursor.execute("SET tcp_user_timeout = 10000")
    cursor.execute("SET tcp_keepalives_idle = 30")
    cursor.close()
    connection.commit()


def _durable_sqlite(connection: Any, _: Any) -> None:
    """A commit is on disk when it returns; readers do not wait for the writer."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    """Take the write lock first: two writers that both have read could never both go on."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
