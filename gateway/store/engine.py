"""Opens the database: SQLite for one machine, PostgreSQL for a hospital."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cardiomesh.errors import InvalidRequest

__all__ = ["open_engine"]

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
    return create_async_engine(
        parsed, connect_args=arguments, pool_size=4, max_overflow=0, pool_timeout=timeout_s, pool_pre_ping=False
    )


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
