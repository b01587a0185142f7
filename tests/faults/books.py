"""One who asks a gateway, writes down what came of it, and holds that against the audit trail."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import select

from cardiomesh.client import AsyncClient, TlsFiles
from cardiomesh.errors import CardioMeshError
from gateway.store import LedgerKeys, open_engine
from gateway.store.chain import Verdict, verify
from gateway.store.tables import audit
from tests.faults.questions import MODEL, RATE_HZ, VERSION, Question

__all__ = ["ANSWERED", "KEY", "PART_MISSING", "Books", "Trail"]

#: The key of the one caller.
KEY: Final = "cmk_faults"
ANSWERED: Final = "answered"
PART_MISSING: Final = "part missing"


@dataclass
class Trail:
    """A store, read from outside the gateway."""

    url: str
    key: Path
    #: What holds the newest records until the database has them.
    journal: Path | None = None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        engine = open_engine(self.url, 60.0)
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()

    async def _shipped(self) -> None:
        """Return when nothing waits in the journal."""
        files = [self.journal, self.journal.with_name(self.journal.name + ".shipping")] if self.journal else []
        while any(file.exists() for file in files):  # noqa: ASYNC110 — another process empties it
            await asyncio.sleep(0.05)

    async def verdict(self) -> Verdict:
        """What ``cardiomesh audit verify`` finds, when all that waits has been shipped."""
        await self._shipped()
        async with self._connected() as connection:
            return await verify(connection, LedgerKeys.read(self.key).chain)

    async def records(self) -> list[dict[str, Any]]:
        """Oldest first, likewise."""
        await self._shipped()
        async with self._connected() as connection:
            return [json.loads(body) for body in await connection.scalars(select(audit.c.body).order_by(audit.c.seq))]


class Books:
    """A caller of one gateway who writes down every outcome, to be held against the audit trail."""

    def __init__(self, address: str, trail: Trail, tls: TlsFiles | None = None) -> None:
        self._client = AsyncClient(address, credential=KEY, tls=tls)
        self._trail = trail
        #: How often each result was given.
        self.given: Counter[str] = Counter()
        #: Outcomes by gRPC status.
        self.outcomes: Counter[str] = Counter()
        self.from_cache = 0
        self.wrong: list[str] = []

    async def __aenter__(self) -> Self:
        # Another caller's records may be in the trail already.
        self._before = len(await self._trail.records())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def analyze(self, question: Question, *, afresh: bool, seconds: float) -> str:
        """Ask once; ``answered`` or the status of the error."""
        try:
            answer = await self._client.analyze(
                signal=question.signal,
                sampling_rate=RATE_HZ,
                unit="mV",
                model=MODEL,
                model_version=VERSION,
                bypass_cache=afresh,
                timeout=seconds,
            )
        except CardioMeshError as error:
            self.outcomes[error.status] += 1
            return error.status
        self.outcomes[ANSWERED] += 1
        self.given[answer.result_id] += 1
        self.from_cache += answer.from_cache
        if wrong := question.wrong(answer):
            self.wrong.append(wrong)
        return ANSWERED

    async def explain(self, question: Question, *, seconds: float) -> str:
        """Ask for one part of the rules and one of the model; ``part missing`` when one came without its content."""
        try:
            found = await self._client.explain(
                "NORM",
                model=MODEL,
                model_version=VERSION,
                signal=question.signal,
                sampling_rate=RATE_HZ,
                unit="mV",
                methods=["rules", "gradient_x_input"],
                timeout=seconds,
            )
        except CardioMeshError as error:
            return error.status
        return PART_MISSING if found.missing else ANSWERED

    async def until_well(self, asked: Sequence[Question]) -> None:
        """Ask until all is answered, afresh and from the cache, and explained; the test's own time limit bounds it."""
        for question in asked:
            while await self.analyze(question, afresh=True, seconds=5) != ANSWERED:
                pass
        for question in asked:
            before = self.from_cache
            while self.from_cache == before:
                await self.analyze(question, afresh=False, seconds=5)
        while await self.explain(asked[0], seconds=30) != ANSWERED:
            pass

    async def balance(self) -> str:
        """Hold the books against the trail; in words what does not agree, empty when all does.

        Every answer has its record, once each time that it was given. A record without an answer is one whose caller
        had stopped waiting; there are never more than calls that failed.
        """
        found = await self._trail.verdict()
        if found.broken:
            return f"the chain is broken: {found.broken}"
        recorded = Counter(
            record["result_id"]
            for record in (await self._trail.records())[self._before :]
            if record["outcome"] == "OK" and record["result_id"]
        )
        lost = self.given - recorded
        if lost:
            return f"{lost.total()} answers have no record"
        surplus = (recorded - self.given).total()
        failed = sum(count for outcome, count in self.outcomes.items() if outcome != ANSWERED)
        return f"{surplus} records have no answer, and {failed} calls failed" if surplus > failed else ""
