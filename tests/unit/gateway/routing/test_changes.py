"""What an operator may change, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import InvalidRequest, NotFound, Unavailable
from gateway.catalogue import Catalogue
from gateway.routing import Router
from gateway.routing.book import MemoryBook
from gateway.routing.changes import Changes
from gateway.routing.routes import Target

Serve = Callable[..., None]
NAME = "hybrid_mobile"
V1, V2, V3 = (Target(model=NAME, version=version) for version in (1, 2, 3))


@pytest.fixture
def changes(router: Router, catalogue: Catalogue, book: MemoryBook, serve: Serve) -> Iterator[Changes]:
    serve("hybrid_mobile:1", "hybrid_mobile:2", "hybrid_mobile:3", "hybrid_mobile:4!", "hybrid_full", "ensemble")
    telemetry = Telemetry("test")
    yield Changes(router, catalogue, book, telemetry)
    telemetry.close()


async def test_a_version_comes_and_goes(changes: Changes, router: Router) -> None:
    route = await changes.canary(NAME, V3, 0.1)
    assert (route.stable, route.canary and route.canary.target) == (V2, V3)  # the newest beside it stays
    route = await changes.promote(NAME, V3)
    assert (route.stable, route.canary, route.previous) == (V3, None, V2)
    assert router.serves(Target(model=NAME)) is router.serves(V3)
    route = await changes.rollback(NAME)
    assert (route.stable, route.previous, route.withdrawn) == (V2, None, {V3})
    with pytest.raises(InvalidRequest, match="nothing to go back to"):
        await changes.rollback(NAME)
    route = await changes.canary(NAME, V3, 0.2)  # a second chance
    assert route.withdrawn == set()
    assert (await changes.canary(NAME, V3, 0.0)).canary is None


async def test_the_first_promotion_can_be_taken_back(changes: Changes, router: Router) -> None:
    await changes.promote(NAME, V1)
    assert (await changes.rollback(NAME)).stable == V3  # what had answered by being the newest


async def test_a_shadow_may_be_another_model_and_a_canary_may_not(changes: Changes) -> None:
    full = changes.target(NAME, "hybrid_full", 0)
    assert (await changes.shadow(NAME, full, 1.0)).shadow is not None
    with pytest.raises(InvalidRequest, match="no other model"):
        await changes.canary(NAME, full, 0.1)
    with pytest.raises(InvalidRequest, match="no other model"):
        await changes.promote(NAME, full)
    route = await changes.canary("accurate", full, 0.1)  # who asks for a mode names no model
    assert str(route.stable) == "ensemble"


async def test_what_makes_no_sense_is_refused(changes: Changes) -> None:
    with pytest.raises(NotFound):
        changes.target("invented", "", 1)
    with pytest.raises(NotFound):
        changes.target(NAME, "", 7)
    with pytest.raises(InvalidRequest):
        changes.target(NAME, "", 0)
    with pytest.raises(InvalidRequest):
        changes.target("fast", "", 0)
    with pytest.raises(Unavailable, match="not ready"):
        await changes.canary(NAME, Target(model=NAME, version=4), 0.1)
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(InvalidRequest, match="share"):
            await changes.canary(NAME, V3, share)
    await changes.promote(NAME, V2)
    with pytest.raises(InvalidRequest, match="against"):
        await changes.canary(NAME, V2, 0.1)


async def test_nobody_goes_back_to_what_cannot_answer(changes: Changes, serve: Serve) -> None:
    await changes.promote(NAME, V2)
    await changes.promote(NAME, V3)
    serve("hybrid_mobile:3")
    with pytest.raises(Unavailable, match="hybrid_mobile:2"):
        await changes.rollback(NAME)


async def test_the_gateways_own_rollback_is_of_the_trial_it_has_judged(changes: Changes, book: MemoryBook) -> None:
    judged = await changes.canary(NAME, V3, 0.1)
    newer = await changes.canary(NAME, V3, 0.2)
    await changes.retire(NAME, judged.revision)
    assert (await book.read())[NAME] == newer
    await changes.retire(NAME, newer.revision)
    assert (await book.read())[NAME].canary is None
