"""Every change of the routing table: checked against what is served, kept, counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Literal

from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import InvalidRequest, NotFound, Unavailable
from gateway.catalogue import Catalogue
from gateway.routing.book import RouteBook
from gateway.routing.router import Router
from gateway.routing.routes import MODES, Route, Target

__all__ = ["Changes"]

log = logging.getLogger("cardiomesh.routing")
_Kind = Literal["canary", "shadow", "promote", "rollback", "automatic_rollback"]
AUTOMATIC: Final = "automatic_rollback"


class Changes:
    """What an operator may change, and what the gateway changes by itself."""

    def __init__(self, router: Router, catalogue: Catalogue, book: RouteBook, telemetry: Telemetry) -> None:
        self._router = router
        self._catalogue = catalogue
        self._book = book
        self._telemetry = telemetry

    async def look(self) -> None:
        """See what Triton serves and the table says at this moment."""
        await self._catalogue.refresh()
        await self._router.refresh()

    def target(self, name: str, model: str, version: int) -> Target:
        """What a request means, checked for sense; NotFound for a name or a version that is not there."""
        if name not in MODES and not self._catalogue.versions(name):
            raise NotFound(f"no model {name!r} is served, and no mode is called so")
        target = Target(model=model or ("" if name in MODES else name), version=version)
        if not target.model:
            raise InvalidRequest.field("target.model", f"name the model that {name} is to stand for", "MISSING")
        if target.model == name and not version:
            raise InvalidRequest.field("target.version", "name the version", "MISSING")
        known = self._catalogue.versions(target.model)
        if not known or (version and self._catalogue.find(target.model, version) is None):
            raise NotFound(f"{target} is not served, or has no card")
        return target

    async def canary(self, name: str, target: Target, share: float) -> Route:
        """Try a version on a share of all recordings; 0 ends the trial."""
        if share == 0:
            return await self._change(name, "canary", lambda route: route.without("canary"))
        if not 0 < share < 1:
            raise InvalidRequest.field("share", "must be above 0 and below 1; promote gives it all", "OUT_OF_RANGE")
        self._must_answer(name, target, alone=True)
        return await self._change(
            name, "canary", lambda route: route.with_canary(target, share, self._beside(route, target))
        )

    async def shadow(self, name: str, target: Target, share: float) -> Route:
        """Show a version copies of a share of all recordings; 0 ends the trial."""
        if share == 0:
            return await self._change(name, "shadow", lambda route: route.without("shadow"))
        if not 0 < share <= 1:
            raise InvalidRequest.field("share", "must be above 0 and at most 1", "OUT_OF_RANGE")
        self._must_answer(name, target, alone=False)
        return await self._change(name, "shadow", lambda route: route.with_shadow(target, share))

    async def promote(self, name: str, target: Target) -> Route:
        """Let a version answer everything."""
        self._must_answer(name, target, alone=True)

        def change(route: Route) -> Route:
            return route.promoted(target, self._serving(route, target))

        return await self._change(name, "promote", change)

    async def rollback(self, name: str) -> Route:
        """End the trial or take the last promotion back."""

        def change(route: Route) -> Route:
            if route.canary is None and route.previous is None:
                raise InvalidRequest.field("name", f"{name} has no canary, and nothing to go back to", "NOTHING_TO_DO")
            if route.canary is None and route.previous is not None and self._router.serves(route.previous) is None:
                raise Unavailable(f"{route.previous} answered before, and cannot now")
            return route.rolled_back()

        return await self._change(name, "rollback", change)

    async def retire(self, name: str, revision: int) -> None:
        """The gateway's own decision against the canary of this very revision; nothing if that is over already."""

        def change(route: Route) -> Route:
            return route.rolled_back() if route.revision == revision and route.canary is not None else route

        await self._change(name, AUTOMATIC, change)

    async def _change(self, name: str, kind: _Kind, change: Callable[[Route], Route]) -> Route:
        route = await self._book.change(name, change)
        self._router.took(route)
        self._telemetry.count("route_changes", {"cardiomesh.model": name, "cardiomesh.change": kind})
        log.info("route changed", extra={"model": name, "reason": kind})
        return route

    def _must_answer(self, name: str, target: Target, *, alone: bool) -> None:
        """What gives answers under a model's name is that model; what is only compared may be another."""
        if alone and name not in MODES and target.model != name:
            raise InvalidRequest.field("target.model", f"who asks for {name} gets no other model", "OTHER_MODEL")
        if self._router.serves(target) is None:
            raise Unavailable(f"{target} cannot answer: it is not ready, or was trained with another preprocessing")

    def _beside(self, route: Route, canary: Target) -> Target:
        """What a canary is tried against: what is promoted, or else the newest other version."""
        if route.stable is not None or route.name in MODES:
            stable: Target | None = self._router.base(route.name)
        else:
            stable = self._serving(route, canary)
        if stable is None or stable == canary:
            raise InvalidRequest.field("target", f"there is nothing to try {canary} against", "NOTHING_BESIDE")
        return stable

    def _serving(self, route: Route, other_than: Target) -> Target | None:
        if route.stable is not None and route.stable != other_than:
            return route.stable
        if route.name in MODES:
            base = self._router.base(route.name)
            return base if base != other_than else None
        return self._router.newest(route.name, other_than)
