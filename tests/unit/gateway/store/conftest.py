"""Real databases: SQLite always, PostgreSQL where its server is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cardiomesh.chassis.telemetry import Telemetry
from gateway.store import Ledger, LedgerKeys, migrate, open_engine

KEYS = LedgerKeys.of(b"0" * 32)


def _as_postgres(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command] if os.geteuid() == 0 else command


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a real server on a Unix socket, with no host's port taken."""
    binaries = [shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    initdb = next((Path(path).resolve() for path in binaries if path), None)
    if initdb is None or not initdb.with_name("pg_ctl").exists():
        pytest.skip("needs PostgreSQL's server: initdb and pg_ctl")
    # Not in pytest's folders: those are closed to other users, and a socket's path must be short.
    place = Path(tempfile.mkdtemp(prefix="cardiomesh-pg-"))
    data = place / "data"
    data.mkdir()
    if os.geteuid() == 0:
        for folder in (place, data):
            os.chown(folder, 65534, 65534)
    run = [*_as_postgres([str(initdb)]), "--pgdata", str(data), "--username", "test", "--auth", "trust", "--no-sync"]
    subprocess.run(run, check=True, capture_output=True)
    control = [*_as_postgres([str(initdb.with_name("pg_ctl"))]), "--pgdata", str(data), "--wait"]
    options = f"-c listen_addresses= -c unix_socket_directories={place} -c fsync=off"
    log = place / "log"
    subprocess.run([*control, "--options", options, "--log", str(log), "start"], check=True, stdout=subprocess.DEVNULL)
    yield f"postgresql://test@/postgres?host={place}"
    subprocess.run([*control, "--mode", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(place)


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
