"""The parts of routing, put together by the settings."""

from __future__ import annotations

from dataclasses import dataclass

from cardiomesh.chassis.telemetry import Telemetry
from gateway.backends.inference import Inference
from gateway.catalogue import Catalogue
from gateway.routing.book import FileBook, MemoryBook, RouteBook, SqlBook
from gateway.routing.changes import Changes
from gateway.routing.router import Router
from gateway.routing.servicer import ModelAdminServicer
from gateway.routing.trial import Bounds
from gateway.routing.trials import Trials
from gateway.settings import GatewaySettings
from gateway.store import Ledger

__all__ = ["Routing"]


@dataclass(frozen=True, slots=True)
class Routing:
    """What the rest of the gateway needs of it."""

    router: Router
    trials: Trials
    servicer: ModelAdminServicer

    @classmethod
    def of(
        cls,
        settings: GatewaySettings,
        catalogue: Catalogue,
        inference: Inference,
        ledger: Ledger | None,
        telemetry: Telemetry,
    ) -> Routing:
        """With the table in the store, if there is one."""
        book = _book(settings, ledger)
        router = Router(
            catalogue,
            book,
            default_model=settings.default_model,
            modes={"fast": settings.mode_fast, "accurate": settings.mode_accurate},
            fallback=settings.fallback,
        )
        changes = Changes(router, catalogue, book, telemetry)
        bounds = Bounds(
            errors=settings.canary_errors,
            latency=settings.canary_latency,
            disagreement=settings.canary_disagreement,
            run_length=settings.canary_run_length,
        )
        trials = Trials(router, changes, inference, telemetry, ledger, bounds, busy=settings.shadow_busy)
        return cls(router, trials, ModelAdminServicer(router, changes, trials))


def _book(settings: GatewaySettings, ledger: Ledger | None) -> RouteBook:
    if ledger is not None:
        return SqlBook(ledger.engine, settings.store_timeout_s)
    return FileBook(settings.routes_file) if settings.routes_file is not None else MemoryBook()
