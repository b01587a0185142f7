"""Where the routing table is kept: in the store, so that all replicas agree; else in a file, else in memory."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from cardiomesh.errors import InvalidRequest, Unavailable
from gateway.routing.routes import Route
from gateway.store.tables import routes as table

__all__ = ["FileBook", "MemoryBook", "RouteBook", "SqlBook"]

Change = Callable[[Route], Route]


class RouteBook(Protocol):
    """Keeps routes; both raise Unavailable when it cannot be reached."""

    async def read(self) -> Mapping[str, Route]:
        """All routes that were ever set."""

    async def change(self, name: str, change: Change) -> Route:
        """Replace one route by what ``change`` makes of it, with nobody else's change in between."""


class MemoryBook:
    """Of this process alone, and gone with it."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    async def read(self) -> Mapping[str, Route]:
        """All routes that were ever set."""
        return dict(self._routes)

    async def change(self, name: str, change: Change) -> Route:
        """Replace one route."""
        self._routes[name] = change(self._routes.get(name) or Route(name=name))
        return self._routes[name]


class FileBook:
    """One JSON file, for a gateway without a store; several processes of one machine may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> Mapping[str, Route]:
        """All routes that were ever set; none while there is no file."""
        return await asyncio.to_thread(self._read)

    async def change(self, name: str, change: Change) -> Route:
        """Replace one route; the file is whole at every moment."""
        return await asyncio.to_thread(self._change, name, change)

    def _read(self) -> dict[str, Route]:
        try:
            found = json.loads(self._path.read_bytes())
            return {name: Route.model_validate(body) for name, body in found.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Unavailable("the file of routes cannot be read") from error
        except (ValueError, AttributeError) as error:
            raise InvalidRequest.field("routes_file", f"{self._path}: does not hold routes", "MALFORMED") from error

    def _change(self, name: str, change: Change) -> Route:
        try:
            with self._path.with_name(self._path.name + ".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                known = self._read()
                known[name] = change(known.get(name) or Route(name=name))
                fresh = self._path.with_name(self._path.name + ".new")
                with fresh.open("w") as stream:
                    json.dump({key: route.model_dump(mode="json") for key, route in known.items()}, stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                fresh.replace(self._path)
        except OSError as error:
            raise Unavailable("the file of routes cannot be written") from error
        return known[name]


class SqlBook:
    """The table ``routes`` of the store."""

    def __init__(self, engine: AsyncEngine, timeout_s: float) -> None:
        self._engine = engine
        self._timeout_s = timeout_s

    async def read(self) -> Mapping[str, Route]:
        """All routes that were ever set."""
        try:
            async with asyncio.timeout(self._timeout_s), self._engine.connect() as connection:
                rows = (await connection.execute(select(table.c.body))).scalars().all()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise Unavailable("the store of routes cannot be reached") from error
        found = [Route.model_validate_json(body) for body in rows]
        return {route.name: route for route in found}

    async def change(self, name: str, change: Change) -> Route:
        """Replace one route, in one transaction that has locked it."""
        try:
            async with asyncio.timeout(self._timeout_s), self._engine.begin() as connection:
                mine = table.c.name == name
                body = await connection.scalar(select(table.c.body).where(mine).with_for_update())
                changed = change(Route(name=name) if body is None else Route.model_validate_json(body))
                values = {"body": changed.model_dump_json()}
                if body is None:  # of two that make it first, the second one fails and may try again
                    await connection.execute(insert(table).values(name=name, **values))
                else:
                    await connection.execute(update(table).where(mine).values(**values))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise Unavailable("the store of routes cannot be reached") from error
        return changed
