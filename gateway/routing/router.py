"""Chooses the model of each recording by the routing table, and another where that one cannot answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from cardiomesh.errors import NotFound, Unavailable
from gateway.catalogue import Catalogue, Model
from gateway.routing.book import RouteBook
from gateway.routing.choice import Arm, Beside, Choice, Wanted
from gateway.routing.routes import MODES, Route, Target, falls_into

__all__ = ["Router"]

log = logging.getLogger("cardiomesh.routing")


class Router:
    """The table as it was last read, held against what Triton serves."""

    def __init__(
        self,
        catalogue: Catalogue,
        book: RouteBook,
        *,
        default_model: str,
        modes: Mapping[str, str],
        fallback: Sequence[str],
    ) -> None:
        """``modes`` says which model each mode stands for, ``fallback`` names models in the order of their cost."""
        self._catalogue = catalogue
        self._book = book
        self._default = default_model
        self._modes = {mode: modes[mode] for mode in MODES}
        self._fallback = tuple(fallback)
        self._routes: Mapping[str, Route] | None = None
        self._unread = False
        #: Canaries that this gateway has stopped, before the table says so, or while it cannot be written.
        self.suspended: set[tuple[str, int]] = set()
        #: The conditioning that runs, once the preprocessor has answered; another model than its own never answers.
        self.preprocessing = ""

    @property
    def routes(self) -> Mapping[str, Route]:
        """What was set, by name."""
        return self._routes or {}

    async def refresh(self) -> Sequence[str]:
        """Read the table again; what is missing for calls to succeed. Once read, it is kept while the store is away."""
        try:
            self._routes = await self._book.read()
            self._unread = False
        except Unavailable:
            if not self._unread:
                log.warning("the routing table cannot be read; keeping the last one")
            self._unread = True
        known = {(route.name, route.revision) for route in self.routes.values()}
        self.suspended &= known
        return [] if self._routes is not None else ["routes"]

    def took(self, route: Route) -> None:
        """A route was just set: it counts from now on, here, and elsewhere when the table is read again."""
        self._routes = {**self.routes, route.name: route}

    # ------------------------------------------------------------------------------------------------------------

    def choose(self, wanted: Wanted, tenant: str, digest: str) -> Choice:
        """The model for one recording; the same recording of a tenant has the same one while the table stays.

        Raises NotFound for a name that nobody knows, Unavailable while nothing is known.
        """
        if wanted.version:
            return self._pinned(wanted)
        path = self._path(wanted.mode or wanted.model or self._default)
        stable = self._stable(path[-1])
        for route in path:
            trial = self._canary(route, tenant, digest)
            if trial is not None and trial is not stable:
                beside = None if stable is None else Beside(Arm.REFERENCE, stable, route.name)
                return Choice(wanted, trial, Arm.CANARY, (route.name,), trial, beside)
        names = tuple(route.name for route in path)
        if stable is None:
            return self._missing(wanted, self._base(path[-1]), names)
        shadows = (self._shadow(route, tenant, digest) for route in path)
        shadow = next((beside for beside in shadows if beside is not None and beside.model is not stable), None)
        return Choice(wanted, stable, Arm.STABLE, names, stable, shadow)

    def stable(self, model: str, version: int) -> Model:
        """What answers where there is room for neither trials nor other models, such as on a tape."""
        if version:
            return self._catalogue.resolve(model, version)
        route = self._path(model or self._default)[-1]
        return self._stable(route) or self._away(self._base(route))

    async def instead(self, failed: Choice) -> Choice | None:
        """The next to try after a model has failed; None where the failure is to be told.

        A canary's place is taken by what it is tried against. Anything else is replaced only if it is really gone:
        where a model is there and fails, other models would get its load on top of their own.
        """
        gone = failed.tried | {(failed.model.card.name, failed.model.card.version)}
        failed = replace(failed, tried=gone)
        if failed.arm is Arm.CANARY and failed.beside is not None:
            return replace(failed, model=failed.beside.model, arm=Arm.FALLBACK, beside=None)
        if failed.wanted.version and not failed.wanted.allow_fallback:
            return None
        await self._catalogue.refresh()
        return None if self._fit(failed.model) else self._fallen(failed)

    def serves(self, target: Target) -> Model | None:
        """The version that a target means now; None where none can answer."""
        if not target.version:
            return self._stable(self._known(target.model))
        return next((m for m in self._versions(target.model) if m.card.version == target.version), None)

    def answers_by_default(self, model: Model) -> bool:
        """Whether requests that name nothing go to this version, a canary's share aside."""
        return self._stable(self._known(self._default)) is model

    def route(self, name: str) -> Route:
        """The route of a name, set or not."""
        return self._known(name)

    def names(self) -> Sequence[str]:
        """Every name that requests can come by, or have come by."""
        return sorted({*self.routes, *self._modes, *(model.card.name for model in self._catalogue.all())})

    def base(self, name: str) -> Target:
        """What answers a name by the table, whether it can or not."""
        return self._base(self._known(name))

    def newest(self, name: str, other_than: Target) -> Target | None:
        """The newest version that can answer, leaving out one and what was rolled back."""
        gone = self._known(name).withdrawn | {other_than}
        targets = (Target(model=name, version=model.card.version) for model in self._versions(name))
        return next((target for target in targets if target not in gone), None)

    # ------------------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> list[Route]:
        """The routes of a name: its own and, for a mode, its model's."""
        if self._routes is None:  # what was rolled back must not come back because the table could not be read
            raise Unavailable("the routing table has not been read yet; only a named version can be asked")
        path = [self._known(name)]
        base = self._base(path[0])
        if base.model != name and not base.version:
            path.append(self._known(base.model))
        return path

    def _known(self, name: str) -> Route:
        return self.routes.get(name) or Route(name=name)

    def _base(self, route: Route) -> Target:
        return route.stable or Target(model=self._modes.get(route.name, route.name))

    def _stable(self, route: Route) -> Model | None:
        base = self._base(route)
        if base.version or base.model != route.name:
            return self.serves(base)
        return next((m for m in self._versions(base.model) if not _is_withdrawn(m, route)), None)

    def _fit(self, model: Model) -> bool:
        """Ready, as last seen, and trained on the conditioning that runs. Without a card it would not be known."""
        now = self._catalogue.find(model.card.name, model.card.version)
        wants = model.card.input.preprocessing_version
        return now is not None and now.ready and wants == (self.preprocessing or wants)

    def _versions(self, name: str) -> list[Model]:
        """Versions of a name that can answer, newest first."""
        return [m for m in self._catalogue.versions(name)[::-1] if self._fit(m)]

    def _canary(self, route: Route, tenant: str, digest: str) -> Model | None:
        canary = route.canary
        if canary is None or (route.name, route.revision) in self.suspended:
            return None
        if not falls_into(canary.share, "canary", route.name, str(canary.target), tenant, digest):
            return None
        return self.serves(canary.target)

    def _shadow(self, route: Route, tenant: str, digest: str) -> Beside | None:
        shadow = route.shadow
        if shadow is None or not falls_into(shadow.share, "shadow", route.name, str(shadow.target), tenant, digest):
            return None
        model = self.serves(shadow.target)
        return None if model is None else Beside(Arm.SHADOW, model, route.name)

    def _pinned(self, wanted: Wanted) -> Choice:
        name = wanted.model or self._default
        try:
            model = self._catalogue.resolve(name, wanted.version)
        except NotFound:
            if not (wanted.allow_fallback and self._catalogue.versions(name)):
                raise
            return self._missing(wanted, Target(model=name, version=wanted.version), ())
        pinned = Choice(wanted, model, Arm.PINNED, (), model)
        if wanted.allow_fallback and not self._fit(model):
            return self._fallen(pinned) or pinned
        return pinned

    def _missing(self, wanted: Wanted, base: Target, names: tuple[str, ...]) -> Choice:
        """What the table names cannot answer."""
        newest = self._catalogue.resolve(base.model, 0)  # NotFound for a name that nobody knows
        fallen = self._fallen(Choice(wanted, newest, Arm.FALLBACK, names, base))
        return fallen or Choice(wanted, self._away(base), Arm.STABLE, names, base)

    def _away(self, base: Target) -> Model:
        """The very version that cannot answer: asked all the same, it says why."""
        if not base.version:
            return self._catalogue.resolve(base.model, 0)
        model = self._catalogue.find(base.model, base.version)
        if model is None:
            raise Unavailable(f"{base} is to answer, and is not served")
        return model

    def _fallen(self, failed: Choice) -> Choice | None:
        for model in self._others(failed.wanted, failed.intended):
            if (model.card.name, model.card.version) not in failed.tried:
                return replace(failed, model=model, arm=Arm.FALLBACK, beside=None)
        return None

    def _others(self, wanted: Wanted, intended: Model | Target) -> Iterator[Model]:
        """What may stand in, best first: what the name stands for, its other versions, then other models.

        Who named a model gets no other one unless they said that they may. What was rolled back stands in for nothing.
        """
        route = self._known(intended.ref.name)
        base, stable = self._base(route), self._stable(route)
        if stable is not None:
            yield stable
        yield from (m for m in self._versions(base.model) if not _is_withdrawn(m, route))
        if wanted.model and not wanted.allow_fallback:
            return
        for name in self._after(base.model):
            other = self._stable(self._known(name))
            if other is not None:
                yield other

    def _after(self, name: str) -> Iterable[str]:
        """Models that may stand in for one: the next cheaper first, then the next dearer."""
        if name not in self._fallback:
            return self._fallback
        at = self._fallback.index(name)
        return (*self._fallback[at + 1 :], *self._fallback[:at][::-1])


def _is_withdrawn(model: Model, route: Route) -> bool:
    return Target(model=model.card.name, version=model.card.version) in route.withdrawn
