"""The trials that run: what they have seen, copies of real traffic for them, and their end where a canary is bad."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import Final

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, Unavailable
from gateway.admission import Priority
from gateway.backends.inference import Inference
from gateway.catalogue import Model
from gateway.door import enter_own_call
from gateway.findings import findings
from gateway.routing.changes import Changes
from gateway.routing.choice import Arm, Beside, Choice, ModelFailed, answering, labels_of
from gateway.routing.router import Router
from gateway.routing.routes import Route, Trial
from gateway.routing.trial import Bounds, TrialRecord
from gateway.store import Ledger

__all__ = ["Trials"]

log = logging.getLogger("cardiomesh.routing")
#: Copies that wait or are under way; a tensor is 48 KB a window.
_MOST_COPIES: Final = 16
_AT_ONCE: Final = 2
#: Nobody waits for a copy.
_COPY_S: Final = 10.0
_RETRY_S: Final = 1.0
_ROLLBACK: Final = "/cardiomesh.gateway.v1.ModelAdmin/Rollback"


class Trials:
    """What this gateway knows of every canary and shadow. Other replicas see other recordings and judge alone."""

    def __init__(
        self,
        router: Router,
        changes: Changes,
        inference: Inference,
        telemetry: Telemetry,
        ledger: Ledger | None,
        bounds: Bounds,
        *,
        busy: int,
    ) -> None:
        """``busy`` inferences under way leave no room for copies."""
        self._router = router
        self._changes = changes
        self._inference = inference
        self._telemetry = telemetry
        self._ledger = ledger
        self._bounds = bounds
        self._busy = busy
        self._inside = 0
        self._records: dict[tuple[str, Arm], tuple[Trial, TrialRecord]] = {}
        self._shown: dict[tuple[str, int, Arm], TrialRecord] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._copies: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()

    def of(self, route: Route) -> Iterator[tuple[Trial, TrialRecord]]:
        """The trials of one name."""
        for arm, trial in ((Arm.CANARY, route.canary), (Arm.SHADOW, route.shadow)):
            if trial is not None:
                yield trial, self._record(route.name, arm, trial)

    @contextmanager
    def inferring(self, choice: Choice) -> Iterator[None]:
        """Surround an inference for a caller: its time and its failure count for the trials that it belongs to."""
        started = time.perf_counter()
        self._inside += 1
        try:
            with answering():
                yield
        except (ModelFailed, DeadlineExceeded):
            for record in self._concerned(choice):
                record.failed(choice.arm is Arm.CANARY)
            self._judge(choice)
            raise
        else:
            for record in self._concerned(choice):
                record.answered(choice.arm is Arm.CANARY, (time.perf_counter() - started) * 1e3)
            self._judge(choice)
        finally:
            self._inside -= 1

    def compare(self, choice: Choice, tensor: bytes, windows: int, found: Sequence[types_pb2.Finding]) -> None:
        """Have the tensor of an answer seen by the other side, if there is one, when there is room; returns at once."""
        beside = choice.beside
        if beside is None:
            return
        record = self._record_of(beside)
        if record is None:
            return
        if len(self._copies) >= _MOST_COPIES or self._inside > self._busy:
            record.comparison.dropped += 1
            self._count(beside, "dropped")
            return
        # Nothing of the caller's goes along: not the deadline, not the trace, not who they are.
        copy = asyncio.get_running_loop().create_task(
            self._copy(choice, beside, record, tensor, windows, found), context=Context()
        )
        self._copies.add(copy)
        copy.add_done_callback(self._copies.discard)

    async def settle(self) -> None:
        """Return when no copy is under way and no decision is being carried out."""
        while self._copies or self._ending:
            await asyncio.wait({*self._copies, *self._ending})

    async def close(self) -> None:
        """Give up what is under way."""
        for task in {*self._copies, *self._ending}:
            task.cancel()
        await asyncio.gather(*self._copies, *self._ending, return_exceptions=True)

    # ------------------------------------------------------------------------------------------------------------

    def _record(self, name: str, arm: Arm, trial: Trial) -> TrialRecord:
        known = self._records.get((name, arm))
        if known is not None and known[0] == trial:
            return known[1]
        record = TrialRecord(arm, self._bounds)
        self._records[name, arm] = (trial, record)
        model = self._router.serves(trial.target)
        if model is not None:
            self._show(model, arm, record)
        self._telemetry.count("route_changes", {"cardiomesh.model": name, "cardiomesh.change": "automatic_rollback"}, 0)
        return record

    def _record_of(self, beside: Beside) -> TrialRecord | None:
        arm = Arm.SHADOW if beside.arm is Arm.SHADOW else Arm.CANARY
        route = self._router.routes.get(beside.route)
        trial = route and (route.shadow if arm is Arm.SHADOW else route.canary)
        return self._record(beside.route, arm, trial) if trial else None

    def _concerned(self, choice: Choice) -> Iterator[TrialRecord]:
        """A canary's inference is its trial's; a stable version's is that of all trials beside it."""
        if choice.arm not in (Arm.CANARY, Arm.STABLE):
            return
        for name in choice.routes:
            route = self._router.routes.get(name)
            if route is None:
                continue
            for trial, record in self.of(route):
                if choice.arm is Arm.STABLE or trial is route.canary:
                    yield record

    async def _copy(
        self,
        choice: Choice,
        beside: Beside,
        record: TrialRecord,
        tensor: bytes,
        windows: int,
        found: Sequence[types_pb2.Finding],
    ) -> None:
        enter_own_call(_ROLLBACK, self._ledger).priority = Priority.BATCH
        async with self._room:
            enter_budget(Budget.of(_COPY_S))
            card = beside.model.card
            started = time.perf_counter()
            on_trial = beside.arm is Arm.SHADOW
            try:
                other = list(findings(card, await self._inference.logits(card, tensor, windows)))
            except CardioMeshError:
                record.comparison.dropped += 1
                self._count(beside, "failed")
                if on_trial:
                    record.failed(True)
                return
        if on_trial:
            record.answered(True, (time.perf_counter() - started) * 1e3)
        record.compared(*((found, other) if on_trial else (other, found)))
        self._count(beside, "compared")
        self._judge(choice)

    def _judge(self, choice: Choice) -> None:
        for name in choice.routes:
            route = self._router.routes.get(name)
            if route is None or route.canary is None or (name, route.revision) in self._router.suspended:
                continue
            verdict = self._record(name, Arm.CANARY, route.canary).verdict
            if verdict:
                self._end(route, route.canary, verdict)

    def _end(self, route: Route, canary: Trial, verdict: str) -> None:
        """Stop a canary here at once, then everywhere, and write it down, however long the store takes."""
        self._router.suspended.add((route.name, route.revision))
        target = canary.target
        test = verdict.partition(":")[0]
        log.error("canary rolled back", extra={"model": route.name, "model_version": target.version, "reason": test})
        why = f"canary {target} of {route.name} at {canary.share:.3g}: rolled back, {verdict}"
        ending = asyncio.get_running_loop().create_task(self._carry_out(route, target.version, why), context=Context())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _carry_out(self, route: Route, version: int, why: str) -> None:
        call = enter_own_call(_ROLLBACK, self._ledger)
        call.model, call.model_version, call.detail = route.name, version, why

        async def record() -> None:
            if self._ledger is not None:
                await self._ledger.write(call.record("OK"))

        for step in (record, lambda: self._changes.retire(route.name, route.revision)):
            while True:
                try:
                    await step()
                    break
                except Unavailable:
                    await asyncio.sleep(_RETRY_S)

    def _count(self, beside: Beside, outcome: str) -> None:
        labels = labels_of(beside.model, beside.arm)
        self._telemetry.count("comparisons", {**labels, "cardiomesh.outcome": outcome})

    def _show(self, model: Model, arm: Arm, record: TrialRecord) -> None:
        """The newest record of a version is the one that its gauges read."""
        key = (model.card.name, model.card.version, arm)
        if key not in self._shown:

            def read(figure: Callable[[TrialRecord], float]) -> Callable[[], float]:
                return lambda: figure(self._shown[key])

            labels = labels_of(model, arm)
            self._telemetry.gauge("trial_agreement", read(lambda shown: shown.comparison.agreement), labels)
            self._telemetry.gauge("trial_change", read(lambda shown: shown.comparison.change), labels)
            self._telemetry.gauge("trial_drift", read(lambda shown: shown.comparison.drift), labels)
        self._shown[key] = record
