"""``cardiomesh audit`` and ``cardiomesh store``: what an auditor and an operator do with the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from cardiomesh.errors import Unavailable
from gateway.store import maintenance
from gateway.store.chain import verify as verify_chain
from gateway.store.engine import open_engine
from gateway.store.keys import LedgerKeys
from gateway.store.subjects import Pseudonyms
from gateway.store.tables import audit as audit_table

__all__ = ["audit", "store"]

T = TypeVar("T")
#: Statements over the whole trail take longer than one call's.
_TIMEOUT_S = 600.0

audit = typer.Typer(help="Prove the audit trail, and read it.", no_args_is_help=True)
store = typer.Typer(help="Migrate the store, erase a subject, let old data go.", no_args_is_help=True)

UrlOption = Annotated[str, typer.Option("--store", envvar="CARDIOMESH_STORE_URL", help="sqlite:///… or postgresql://…")]
KeyOption = Annotated[Path, typer.Option("--key", envvar="CARDIOMESH_STORE_KEY", help="File with the trail's secret.")]


def _inside(url: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """One transaction; a database that cannot be used is one line and exit code 3."""

    engine = open_engine(url, _TIMEOUT_S)
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file is not None and not Path(file).is_file():  # SQLite would make an empty one
        raise Unavailable(f"there is no store at {file}")

    async def run() -> T:
        try:
            async with engine.begin() as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, OSError) as error:
        raise Unavailable(f"the store cannot be used: {type(error).__name__}") from error


@audit.command()
def verify(
    url: UrlOption,
    key: KeyOption,
    anchor: Annotated[str, typer.Option(help="An earlier head, SEQ:MAC, that must still be in the trail.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Walk the whole chain and name the first link that is broken (exit 1); prints the head to keep elsewhere."""
    keys = LedgerKeys.read(key)
    found = _inside(url, lambda connection: verify_chain(connection, keys.chain, anchor))
    if as_json:
        print(json.dumps({"records": found.records, "head": found.head, "broken": found.broken, "seq": found.seq}))
    else:
        print(f"broken: {found.broken}" if found.broken else f"{found.records} records, whole; head {found.head}")
    if found.broken:
        raise typer.Exit(1)


@audit.command()
def read(url: UrlOption, last: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 20) -> None:
    """Print the newest records, one JSON object a line, oldest first."""

    async def newest(connection: AsyncConnection) -> list[str]:
        query = select(audit_table.c.seq, audit_table.c.body).order_by(audit_table.c.seq.desc()).limit(last)
        return [f'{{"seq":{row.seq},{row.body[1:]}' for row in await connection.execute(query)]

    for line in reversed(_inside(url, newest)):
        print(line)


@store.command()
def migrate(url: UrlOption) -> None:
    """Bring the tables to this version; safe to run again."""

    async def work() -> None:
        engine = open_engine(url, _TIMEOUT_S)
        try:
            await maintenance.migrate(engine)
        finally:
            await engine.dispose()

    try:
        asyncio.run(work())
    except (SQLAlchemyError, OSError) as error:
        raise Unavailable(f"the store cannot be used: {type(error).__name__}") from error


@store.command()
def erase(
    url: UrlOption,
    key: KeyOption,
    tenant: Annotated[str, typer.Option(help="Whose subject.")],
    subject_ref: Annotated[str, typer.Option(prompt=True, help="As callers named them; asked for if absent.")],
) -> None:
    """Erase a subject (LGPD art. 18, GDPR art. 17): studies, answers, and the way from the pseudonym to the person."""
    pseudonyms = Pseudonyms(LedgerKeys.read(key).pseudonyms)
    count = _inside(url, lambda connection: maintenance.erase_subject(connection, pseudonyms, tenant, subject_ref))
    print(f"{count} studies erased")


@store.command()
def prune(
    url: UrlOption,
    key: KeyOption,
    answer_days: Annotated[int, typer.Option(min=0, help="Days that answers are kept; 0: for ever.")] = 0,
    audit_days: Annotated[int, typer.Option(min=0, help="Days that audit records are kept; 0: for ever.")] = 0,
) -> None:
    """Let old answers and old audit records go; the chain stays provable from where it now begins."""
    chain, now = LedgerKeys.read(key).chain, datetime.now(UTC)
    if answer_days:
        before = now - timedelta(days=answer_days)
        print(f"{_inside(url, lambda c: maintenance.prune_answers(c, before))} answers pruned")
    if audit_days:
        before = now - timedelta(days=audit_days)
        print(f"{_inside(url, lambda c: maintenance.prune_audit(c, chain, before))} audit records pruned")
