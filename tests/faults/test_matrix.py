"""Every row of the table, on the real processes: typed in time, nothing wrong, nothing twice, well again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.faults.bench import Bench, StoreKind
from tests.faults.books import ANSWERED, Books
from tests.faults.matrix import FAULTS, Fault, table
from tests.faults.questions import Question, questions
from tests.postgresql import initdb

pytestmark = pytest.mark.mesh

#: What a fault may leave behind in the gateway's memory: caches and pools that grow once, no backlog.
MOST_GROWTH_MIB = 64.0


def rows() -> Iterator[Any]:
    for fault in FAULTS:
        marks = [pytest.mark.heavy] if fault.heavy else []
        if fault.store in (StoreKind.POSTGRESQL, StoreKind.JOURNAL):
            marks.append(pytest.mark.skipif(initdb() is None, reason="needs PostgreSQL's server: initdb and pg_ctl"))
        yield pytest.param(fault, id=fault.name.lower().replace(" ", "-").replace(":", ""), marks=marks)


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    return questions(4)


@pytest.mark.parametrize("fault", list(rows()))
async def test_fault(bench: Bench, asked: list[Question], fault: Fault) -> None:
    kind = fault.store or StoreKind.SQLITE
    gateway = bench.gateway(kind)
    async with Books(gateway.address, bench.trails[kind]) as books:
        await books.until_well(asked)
        memory = gateway.rss_mib

        with fault.strike(bench, gateway):
            computed = set(
                await asyncio.gather(*(books.analyze(q, afresh=True, seconds=fault.deadline_s) for q in asked * 2))
            )
            cached = set(
                await asyncio.gather(*(books.analyze(q, afresh=False, seconds=fault.deadline_s) for q in asked * 2))
            )
            # Parts that do not fit into the time are missing: where none may be, there is plenty.
            seconds = 60 if fault.explained == {ANSWERED} else fault.deadline_s
            explained = {await books.explain(asked[0], seconds=seconds)}

        # What is not in the row must not happen; and where errors are in it, the fault must have been felt.
        assert computed <= fault.computed
        assert cached <= fault.cached
        assert explained <= fault.explained
        assert not fault.felt or fault.computed == {ANSWERED} or computed != {ANSWERED}

        await books.until_well(asked)
        assert gateway.alive
        assert books.wrong == []
        assert await books.balance() == ""
        while await asyncio.to_thread(gateway.in_flight):
            pass  # what its caller gave up ends by itself, too
        assert gateway.rss_mib - memory < MOST_GROWTH_MIB


def test_operations_say_what_the_table_says() -> None:
    assert table() in (ROOT / "docs" / "operations.md").read_text()
