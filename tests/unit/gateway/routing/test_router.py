"""Which model answers which request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cardiomesh._proto.gateway.v1 import gateway_pb2, routing_pb2
from cardiomesh.errors import InvalidRequest, NotFound, Unavailable
from gateway.catalogue import Catalogue
from gateway.routing import Arm, Choice, Router, Wanted
from gateway.routing.book import MemoryBook
from gateway.routing.routes import Route, Target

Serve = Callable[..., None]
V2, V3 = Target(model="hybrid_mobile", version=2), Target(model="hybrid_mobile", version=3)


def name_of(choice: Choice) -> str:
    return str(Target(model=choice.model.card.name, version=choice.model.card.version))


def asked(router: Router, *, tenant: str = "north", digest: str = "d", **wanted: object) -> tuple[str, Arm]:
    choice = router.choose(Wanted(**wanted), tenant, digest)  # type: ignore[arg-type]
    return name_of(choice), choice.arm


def routing(choice: Choice) -> routing_pb2.Routing:
    answer = gateway_pb2.AnalyzeResponse()
    choice.disclose(answer)
    return answer.routing


async def set_route(router: Router, book: MemoryBook, name: str, change: Callable[[Route], Route]) -> None:
    await book.change(name, change)
    await router.refresh()


async def test_without_a_route_the_newest_that_is_ready_answers(router: Router, serve: Serve) -> None:
    serve("hybrid_mobile:2", "hybrid_mobile:3", "hybrid_mobile:4!")
    assert asked(router) == ("hybrid_mobile:3", Arm.STABLE)
    assert [m.card.version for m in router._catalogue.all() if router.answers_by_default(m)] == [3]


async def test_a_promoted_version_stays_though_a_newer_one_is_loaded(
    router: Router, book: MemoryBook, serve: Serve
) -> None:
    serve("hybrid_mobile:2", "hybrid_mobile:3")
    await set_route(router, book, "hybrid_mobile", lambda route: route.promoted(V2, None))
    assert asked(router) == ("hybrid_mobile:2", Arm.STABLE)
    assert asked(router, model="hybrid_mobile") == ("hybrid_mobile:2", Arm.STABLE)
    assert asked(router, model="hybrid_mobile", version=3) == ("hybrid_mobile:3", Arm.PINNED)


async def test_a_canary_gets_its_share_of_recordings_and_always_the_same_ones(
    router: Router, book: MemoryBook, serve: Serve
) -> None:
    serve("hybrid_mobile:2", "hybrid_mobile:3")
    recordings = [str(number) for number in range(2000)]

    def tried() -> set[str]:
        return {digest for digest in recordings if asked(router, digest=digest)[1] is Arm.CANARY}

    await set_route(router, book, "hybrid_mobile", lambda route: route.with_canary(V3, 0.1, V2))
    few = tried()
    assert 150 < len(few) < 250
    assert tried() == few
    await set_route(router, book, "hybrid_mobile", lambda route: route.with_canary(V3, 0.5, V2))
    assert few < tried()
    other = {digest for digest in recordings if asked(router, tenant="south", digest=digest)[1] is Arm.CANARY}
    assert other != tried()


async def test_a_canary_says_so_and_is_compared_with_what_it_is_tried_against(
    router: Router, book: MemoryBook, serve: Serve
) -> None:
    serve("hybrid_mobile:2", "hybrid_mobile:3")
    await set_route(router, book, "hybrid_mobile", lambda route: route.with_canary(V3, 1.0, V2))
    choice = router.choose(Wanted(), "north", "d")
    assert routing(choice).reason == routing_pb2.ROUTING_REASON_CANARY
    assert (routing(choice).answered_by.version, routing(choice).intended.version) == (3, 3)
    assert choice.beside is not None
    assert choice.beside.arm is Arm.REFERENCE
    fallen = await router.instead(choice)
    assert fallen is not None
    assert (name_of(fallen), fallen.arm) == ("hybrid_mobile:2", Arm.FALLBACK)
    assert routing(fallen).intended.version == 3


async def test_a_canary_that_is_not_ready_or_suspended_gets_nothing(
    router: Router, book: MemoryBook, serve: Serve
) -> None:
    await set_route(router, book, "hybrid_mobile", lambda route: route.with_canary(V3, 1.0, V2))
    serve("hybrid_mobile:2", "hybrid_mobile:3!")
    assert asked(router) == ("hybrid_mobile:2", Arm.STABLE)
    serve("hybrid_mobile:2", "hybrid_mobile:3")
    assert asked(router) == ("hybrid_mobile:3", Arm.CANARY)
    router.suspended.add(("hybrid_mobile", 1))
    assert asked(router) == ("hybrid_mobile:2", Arm.STABLE)


async def test_what_wants_another_conditioning_never_answers_by_itself(router: Router, serve: Serve) -> None:
    router.preprocessing = "another"
    assert router.serves(V2) is None
    choice = router.choose(Wanted(), "north", "d")  # nothing fits: the call fails where it finds out
    assert choice.arm is Arm.STABLE


async def test_what_was_rolled_back_stands_in_for_nothing(router: Router, book: MemoryBook, serve: Serve) -> None:
    serve("hybrid_mobile:2", "hybrid_mobile:3", "edge_optimized")
    await set_route(router, book, "hybrid_mobile", lambda route: route.promoted(V3, V2).rolled_back())
    assert asked(router) == ("hybrid_mobile:2", Arm.STABLE)
    serve("hybrid_mobile:2!", "hybrid_mobile:3", "edge_optimized")
    assert asked(router) == ("edge_optimized:1", Arm.FALLBACK)
    assert asked(router, model="hybrid_mobile")[0] == "hybrid_mobile:2"  # which says why it cannot
    assert router.stable("hybrid_mobile", 0).card.version == 2
    serve("hybrid_mobile:1", "hybrid_mobile:3", "edge_optimized")
    assert asked(router, model="hybrid_mobile") == ("hybrid_mobile:1", Arm.FALLBACK)
    serve("hybrid_mobile:3")
    with pytest.raises(Unavailable, match="hybrid_mobile:2"):
        asked(router)


@pytest.mark.parametrize(
    ("mode", "away", "answers"),
    [
        ("fast", [], ("edge_optimized:1", Arm.STABLE)),
        ("accurate", [], ("ensemble:1", Arm.STABLE)),
        ("accurate", ["ensemble"], ("hybrid_full:1", Arm.FALLBACK)),
        ("accurate", ["ensemble", "hybrid_full"], ("hybrid_mobile:1", Arm.FALLBACK)),
        ("fast", ["edge_optimized"], ("hybrid_mobile:1", Arm.FALLBACK)),
        ("", ["hybrid_mobile"], ("edge_optimized:1", Arm.FALLBACK)),
        ("", ["hybrid_mobile", "edge_optimized"], ("hybrid_full:1", Arm.FALLBACK)),
    ],
)
async def test_modes_and_who_stands_in(
    router: Router, serve: Serve, mode: str, away: list[str], answers: tuple[str, Arm]
) -> None:
    order = ("ensemble", "hybrid_full", "hybrid_mobile", "edge_optimized")
    serve(*(name + "!" * (name in away) for name in order))
    assert asked(router, mode=mode) == answers
    said = routing(router.choose(Wanted(mode=mode), "north", "d"))
    if away:
        assert said.reason == routing_pb2.ROUTING_REASON_FALLBACK
        assert said.intended.name == away[0]
    else:
        assert said.reason == routing_pb2.ROUTING_REASON_MODE


async def test_a_mode_can_have_a_route_of_its_own(router: Router, book: MemoryBook) -> None:
    full = Target(model="hybrid_full")
    await set_route(router, book, "accurate", lambda route: route.promoted(full, Target(model="ensemble")))
    assert asked(router, mode="accurate") == ("hybrid_full:1", Arm.STABLE)
    assert asked(router, model="ensemble") == ("ensemble:1", Arm.STABLE)


async def test_a_models_own_canary_is_seen_through_a_mode(router: Router, book: MemoryBook, serve: Serve) -> None:
    serve("edge_optimized:1", "edge_optimized:2")
    two, one = (Target(model="edge_optimized", version=version) for version in (2, 1))
    await set_route(router, book, "edge_optimized", lambda route: route.with_canary(two, 1.0, one))
    assert asked(router, mode="fast") == ("edge_optimized:2", Arm.CANARY)


async def test_who_named_a_model_gets_another_one_only_if_they_said_so(router: Router, serve: Serve) -> None:
    serve("hybrid_mobile:2!", "edge_optimized")
    assert asked(router, model="hybrid_mobile") == ("hybrid_mobile:2", Arm.STABLE)  # which Triton refuses
    assert asked(router, model="hybrid_mobile", version=2) == ("hybrid_mobile:2", Arm.PINNED)
    assert asked(router, model="hybrid_mobile", allow_fallback=True) == ("edge_optimized:1", Arm.FALLBACK)
    assert asked(router, model="hybrid_mobile", version=2, allow_fallback=True)[0] == "edge_optimized:1"
    assert asked(router, model="hybrid_mobile", version=7, allow_fallback=True)[0] == "edge_optimized:1"
    with pytest.raises(NotFound):
        asked(router, model="hybrid_mobile", version=7)
    with pytest.raises(NotFound):
        asked(router, model="invented", allow_fallback=True)


async def test_what_is_there_and_fails_is_not_replaced_and_what_is_gone_is(
    router: Router, serve: Serve, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> list[str]:
        return []

    monkeypatch.setattr(catalogue, "refresh", look)
    choice = router.choose(Wanted(mode="accurate"), "north", "d")
    assert await router.instead(choice) is None
    serve("ensemble!", "hybrid_full", "hybrid_mobile")
    full = await router.instead(choice)
    assert full is not None
    assert name_of(full) == "hybrid_full:1"
    serve("ensemble!", "hybrid_full!", "hybrid_mobile")
    mobile = await router.instead(full)
    assert mobile is not None
    assert name_of(mobile) == "hybrid_mobile:1"
    serve("ensemble!", "hybrid_full!", "hybrid_mobile!")
    assert await router.instead(mobile) is None


async def test_until_the_table_was_read_only_a_named_version_is_asked(catalogue: Catalogue, serve: Serve) -> None:
    serve("hybrid_mobile:2")
    modes = {"fast": "edge_optimized", "accurate": "ensemble"}
    router = Router(catalogue, MemoryBook(), default_model="hybrid_mobile", modes=modes, fallback=())
    with pytest.raises(Unavailable, match="routing table"):
        asked(router)
    assert asked(router, version=2) == ("hybrid_mobile:2", Arm.PINNED)


def test_a_mode_and_a_model_contradict_each_other() -> None:
    request = gateway_pb2.AnalyzeRequest(inference_mode=routing_pb2.INFERENCE_MODE_FAST, model="hybrid_full")
    with pytest.raises(InvalidRequest, match="mode"):
        Wanted.of(request)
