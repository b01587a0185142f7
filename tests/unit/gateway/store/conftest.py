"""Real databases: SQLite always, PostgreSQL where its server is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cardiomesh.chassis.telemetry import Telemetry
from gateway.store import Ledger, LedgerKeys, migrate, open_engine
from tests.postgresql import PostgreSQL, initdb

KEYS = LedgerKeys.of(b"0" * 32)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a real server."""
    binary = initdb()
    if binary is None:
        pytest.skip("needs PostgreSQL's server: initdb and pg_ctl")
    server = PostgreSQL(binary)
    yield server.url
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A fresh store of either kind."""
    if request.param == "sqlite":
        opened = open_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    else:
        opened = open_engine(request.getfixturevalue("postgresql"))
        async with opened.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
    await migrate(opened)
    yield opened
    await opened.dispose()


@pytest.fixture
async def ledger(engine: AsyncEngine) -> AsyncIterator[Ledger]:
    """A ledger without a journal."""
    telemetry = Telemetry("test")
    made = Ledger(engine, KEYS, telemetry)
    yield made
    await made.close()
    telemetry.close()
