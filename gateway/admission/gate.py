"""The gate in front of what costs: so many calls at once, the rest in a short queue, and no waiting in vain.

The queue is bounded in time, not in places: a call is refused on arrival when those ahead of it would take longer than
it may wait, or than its deadline leaves. So nobody waits and is refused afterwards, unless things got slower meanwhile,
and first come, first served needs no repair by LIFO. Within the queue the higher priority goes first. Emergencies may
exceed the limit by a share, which is theirs alone and costs the others nothing while there are none.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from types import TracebackType
from typing import Final, Self

from cardiomesh.chassis.deadline import current_budget
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import DeadlineExceeded, Overloaded, RateLimited
from gateway.admission.limit import AdaptiveLimit
from gateway.admission.priority import COSTLY, Priority, said_priority
from gateway.admission.tenants import TenantLimits
from gateway.identity import STREAMS

__all__ = ["Admission", "Turn"]

#: Beyond the limit, for emergencies: so much of it, and one at least.
_EMERGENCY_SHARE: Final = 0.25
#: Work on archives is patient: it is refused only when nothing moves.
_BATCH_WAIT_S: Final = 30.0
_SHORTEST_RETRY_S, _LONGEST_RETRY_S = 0.1, 30.0


class Turn:
    """One piece of work's place, taken when the work begins: an answer that needs no work needs no place."""

    def __init__(self, gate: Admission, priority: Priority, tenant: str, kind: Hashable) -> None:
        self._gate = gate
        self._priority = priority
        self._tenant = tenant
        self._kind = kind
        self._since: float | None = None
        self._beside = 0

    async def begin(self) -> None:
        """Return when the work may be done; Overloaded when that is not worth waiting for. The second time: at once."""
        if self._since is None:
            self._beside = await self._gate.enter(self._priority, self._tenant, self._kind)
            self._since = self._gate.clock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._since is None:
            return
        seconds = self._gate.clock() - self._since
        late = isinstance(error, (DeadlineExceeded, TimeoutError, asyncio.CancelledError))
        # What failed says nothing of how long it takes; what ran out of time took at least so long.
        if error is None or (late and seconds > self._gate.limit.expected(self._kind)):
            self._gate.limit.learn(self._kind, seconds, self._beside)
        self.end()

    def end(self) -> None:
        """Give the place back, with nothing learnt from it."""
        if self._since is not None:
            self._since = None
            self._gate.leave()


class Admission:
    """Decides when a call's work is done, and whether."""

    def __init__(
        self,
        limit: AdaptiveLimit,
        tenants: TenantLimits,
        telemetry: Telemetry,
        *,
        longest_wait_s: float,
        most_waiting: int = 128,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.clock = clock
        self._tenants = tenants
        self._telemetry = telemetry
        self._patience = {
            Priority.EMERGENCY: math.inf,
            Priority.ROUTINE: longest_wait_s,
            Priority.BATCH: max(longest_wait_s, _BATCH_WAIT_S),
            Priority.EXPLANATION: longest_wait_s,
        }
        self._most_waiting = most_waiting
        self._in_flight = 0
        self._queues: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}
        telemetry.gauge("admission_limit", lambda: limit.value)
        telemetry.gauge("admission_in_flight", lambda: self._in_flight)
        for priority, queue in self._queues.items():
            telemetry.gauge("admission_waiting", partial(len, queue), _label(priority))

    def turn(self, priority: Priority, tenant: str, kind: Hashable) -> Turn:
        """The place of one piece of work. ``kind`` names what takes equally long: model, form and size."""
        return Turn(self, priority, tenant, kind)

    def knock(self, method: str, metadata: Mapping[str, str]) -> None:
        """Refuse at the door what would be refused before its work: nothing has been spent on it yet.

        It knows neither whether the answer is in the cache nor who calls: finding out costs what refusing is to spare.
        """
        if method not in COSTLY or method in STREAMS:
            return
        priority = said_priority(method, metadata)
        if self._full(priority):
            raise self._refusal(priority, "queue")

    async def enter(self, priority: Priority, tenant: str, kind: Hashable) -> int:
        """Take a place; how many are in flight with it."""
        if not self._free(priority):
            self._spare(priority, kind)
        refused_for = await self._tenants.take(tenant)
        if refused_for is not None and priority is not Priority.EMERGENCY:
            raise self._refusal(priority, "tenant", refused_for)
        if self._free(priority):
            self._in_flight += 1
        else:
            await self._queued(priority, kind)
        return self._in_flight

    def leave(self) -> None:
        """Give a place back, and let in whoever is next."""
        self._in_flight -= 1
        for priority, queue in self._queues.items():
            while queue and self._in_flight < self._places(priority):
                place = queue.popleft()
                if not place.done():  # else its caller has just gone away
                    self._in_flight += 1
                    place.set_result(None)

    def _places(self, priority: Priority) -> int:
        limit = self.limit.value
        return limit + max(1, round(limit * _EMERGENCY_SHARE)) if priority is Priority.EMERGENCY else limit

    def _free(self, priority: Priority) -> bool:
        return self._in_flight < self._places(priority) and not self._ahead(priority)

    def _ahead(self, priority: Priority) -> int:
        """Those waiting who go before a newcomer."""
        ahead = 0
        for other, queue in self._queues.items():
            if queue and other <= priority:
                ahead += len(queue)
        return ahead

    def _wait(self, priority: Priority) -> float:
        """Seconds that a newcomer would wait."""
        return 0.0 if self._free(priority) else self.limit.wait(self._ahead(priority) + 1)

    def _spare(self, priority: Priority, kind: Hashable) -> float:
        """Seconds that a call may wait; Overloaded where it would take longer."""
        left = current_budget().remaining() - self.limit.expected(kind)
        if self._wait(priority) > left:
            raise self._refusal(priority, "deadline")
        if self._full(priority):
            raise self._refusal(priority, "queue")
        return min(self._patience[priority], left)

    def _full(self, priority: Priority) -> bool:
        """Whether a newcomer would have to wait too long, or with too many."""
        if self._free(priority):
            return False
        return self._wait(priority) > self._patience[priority] or self._ahead(priority) >= self._most_waiting

    async def _queued(self, priority: Priority, kind: Hashable) -> None:
        longest = self._spare(priority, kind)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues[priority].append(place)
        began = self.clock()
        try:
            async with asyncio.timeout(longest):
                await place
        except BaseException as error:
            if not place.cancelled():  # it came too late to be used
                self.leave()
            elif place in self._queues[priority]:
                self._queues[priority].remove(place)
            if isinstance(error, TimeoutError):
                raise self._refusal(priority, "timeout") from error
            raise
        self._telemetry.observe("admission_wait", (self.clock() - began) * 1e3, _label(priority))

    def _refusal(self, priority: Priority, reason: str, retry_after_s: float | None = None) -> Overloaded:
        self._telemetry.count("calls_shed", _label(priority) | {"cardiomesh.shed": reason})
        if retry_after_s is not None:
            return RateLimited("the tenant's rate is used up; try again later", retry_after_s=retry_after_s)
        # When those who wait now are through; spread, so that the refused do not come back all at once.
        drained = self.limit.wait(self._ahead(priority)) * random.uniform(1.0, 1.5)  # noqa: S311
        return Overloaded(_WORDS[reason], retry_after_s=min(_LONGEST_RETRY_S, max(_SHORTEST_RETRY_S, drained)))


_WORDS: Final = {
    "queue": "too many calls wait already; try again later",
    "deadline": "the deadline would pass while the call waits; try again later or give it more time",
    "timeout": "the call has waited too long; try again later",
}


def _label(priority: Priority) -> dict[str, str | int | float | bool]:
    return {"cardiomesh.priority": priority.name.lower()}
