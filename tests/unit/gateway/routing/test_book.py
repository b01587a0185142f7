"""Every place where a routing table is kept keeps it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardiomesh.errors import InvalidRequest, Unavailable
from gateway.routing.book import FileBook, MemoryBook, RouteBook, SqlBook
from gateway.routing.routes import Target
from gateway.store import open_engine
from tests.unit.gateway.store.conftest import engine, postgresql  # noqa: F401 — fixtures

V2, V3 = Target(model="m", version=2), Target(model="m", version=3)


async def keeps(book: RouteBook, same: RouteBook) -> None:
    assert await book.read() == {}
    set_route = await book.change("m", lambda route: route.with_canary(V3, 0.1, V2))
    assert await same.read() == {"m": set_route}
    gone = await same.change("m", lambda route: route.rolled_back())
    assert (gone.stable, gone.canary, gone.revision, gone.withdrawn) == (V2, None, 2, {V3})
    assert await book.read() == {"m": gone}


async def test_a_file(tmp_path: Path) -> None:
    await keeps(FileBook(tmp_path / "routes.json"), FileBook(tmp_path / "routes.json"))
    (tmp_path / "routes.json").write_text("[]")
    with pytest.raises(InvalidRequest):
        await FileBook(tmp_path / "routes.json").read()
    with pytest.raises(Unavailable):
        await FileBook(tmp_path / "nowhere" / "routes.json").change("m", lambda route: route)


async def test_memory() -> None:
    book = MemoryBook()
    await keeps(book, book)


async def test_the_store(engine: AsyncEngine) -> None:  # noqa: F811
    await keeps(SqlBook(engine, 2.0), SqlBook(engine, 2.0))


async def test_of_changes_at_once_none_is_lost(engine: AsyncEngine) -> None:  # noqa: F811
    book = SqlBook(engine, 5.0)
    await book.change("m", lambda route: route.promoted(V2, None))
    await asyncio.gather(*(book.change("m", lambda route: route.with_shadow(V3, 0.5)) for _ in range(5)))
    assert (await book.read())["m"].revision == 6


async def test_a_store_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    away = open_engine(f"sqlite:///{tmp_path}/store.sqlite")  # with no table in it
    with pytest.raises(Unavailable):
        await SqlBook(away, 1.0).read()
    await away.dispose()
