"""Liveness and readiness, over ``grpc.health.v1`` and HTTP alike.

``liveness`` says that the process turns its event loop; it never asks a backend, so a dead Triton restarts nothing
else. ``readiness`` (also the empty name and each service's own) says that calls would succeed now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

__all__ = ["LIVENESS", "READINESS", "Health", "ReadinessProbe"]

LIVENESS: Final = "liveness"
READINESS: Final = "readiness"
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING

#: Answers with what is still missing, by name; nothing missing means ready.
ReadinessProbe = Callable[[], Awaitable[Sequence[str]]]

log = logging.getLogger("cardiomesh.health")


class Health:
    """Holds both states and refreshes readiness from the service's own probe."""

    def __init__(self, services: Sequence[str], probe: ReadinessProbe, interval_s: float) -> None:
        self.servicer = HealthServicer()
        self._names = ("", READINESS, *services)
        self._probe = probe
        self._interval_s = interval_s
        self._missing: tuple[str, ...] = ("starting",)
        self._draining = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Why the service is not ready; empty when it is."""
        return ("draining",) if self._draining else self._missing

    async def start(self) -> None:
        """Alive, and as ready as the first look says."""
        await self.servicer.set(LIVENESS, _SERVING)
        await self.refresh()

    async def refresh(self) -> None:
        """Look once."""
        try:
            missing = tuple(await self._probe())
        except Exception:
            log.exception("readiness probe failed")
            missing = ("probe",)
        if missing != self._missing:
            log.info("readiness changed", extra={"missing": list(missing), "state": "waiting" if missing else "ready"})
        self._missing = missing
        await self._publish()

    async def _publish(self) -> None:
        state = _NOT_SERVING if self.missing else _SERVING
        for name in self._names:
            await self.servicer.set(name, state)

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.refresh()

    async def drain(self) -> None:
        """Not ready from now on, for good."""
        self._draining = True
        await self._publish()
