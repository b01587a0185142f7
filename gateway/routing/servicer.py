"""ModelAdmin: the table, the trials and what they have shown, on the wire."""

from __future__ import annotations

from typing import Any, Final

import grpc

from cardiomesh._proto.gateway.v1 import model_admin_pb2 as admin_pb2
from cardiomesh._proto.gateway.v1 import model_admin_pb2_grpc
from cardiomesh.errors import InvalidRequest
from gateway.door import current_call
from gateway.routing.changes import Changes
from gateway.routing.comparison import StatementPair
from gateway.routing.router import Router
from gateway.routing.routes import Route, Target, Trial
from gateway.routing.trial import Side, TrialRecord
from gateway.routing.trials import Trials

__all__ = ["ModelAdminServicer"]

Context = grpc.aio.ServicerContext[Any, Any]
_MOST_REASON: Final = 200


class ModelAdminServicer(model_admin_pb2_grpc.ModelAdminServicer):
    """cardiomesh.gateway.v1.ModelAdmin."""

    def __init__(self, router: Router, changes: Changes, trials: Trials) -> None:
        self._router = router
        self._changes = changes
        self._trials = trials

    async def GetRoutes(self, request: admin_pb2.GetRoutesRequest, context: Context) -> admin_pb2.GetRoutesResponse:
        """The table."""
        await self._changes.look()
        names = [request.name] if request.name else self._router.names()
        return admin_pb2.GetRoutesResponse(routes=[self._route(self._router.route(name)) for name in names])

    async def SetCanary(self, request: admin_pb2.SetCanaryRequest, context: Context) -> admin_pb2.SetCanaryResponse:
        """Begin or end a trial with callers."""
        target = await self._announced(request.name, request.target, f"canary at {request.share:.3g}", request.reason)
        return admin_pb2.SetCanaryResponse(
            route=self._route(await self._changes.canary(request.name, target, request.share))
        )

    async def SetShadow(self, request: admin_pb2.SetShadowRequest, context: Context) -> admin_pb2.SetShadowResponse:
        """Begin or end a trial without callers."""
        target = await self._announced(request.name, request.target, f"shadow at {request.share:.3g}", request.reason)
        return admin_pb2.SetShadowResponse(
            route=self._route(await self._changes.shadow(request.name, target, request.share))
        )

    async def Promote(self, request: admin_pb2.PromoteRequest, context: Context) -> admin_pb2.PromoteResponse:
        """Let a version answer everything."""
        await self._changes.look()
        asked = request.target
        if not request.HasField("target"):
            canary = self._router.route(request.name).canary
            if canary is None:
                raise InvalidRequest.field("target", f"{request.name} has no canary; name the version", "MISSING")
            asked = admin_pb2.Target(model=canary.target.model, version=canary.target.version)
        target = await self._announced(request.name, asked, "promote", request.reason)
        return admin_pb2.PromoteResponse(route=self._route(await self._changes.promote(request.name, target)))

    async def Rollback(self, request: admin_pb2.RollbackRequest, context: Context) -> admin_pb2.RollbackResponse:
        """End the trial, or take the last promotion back."""
        await self._changes.look()
        await _begin(request.name, self._router.base(request.name).version, "rollback", request.reason)
        return admin_pb2.RollbackResponse(route=self._route(await self._changes.rollback(request.name)))

    async def GetComparison(
        self, request: admin_pb2.GetComparisonRequest, context: Context
    ) -> admin_pb2.GetComparisonResponse:
        """What was seen here."""
        route = self._router.route(request.name)
        return admin_pb2.GetComparisonResponse(
            comparisons=[_comparison(self._router.base(route.name), *found) for found in self._trials.of(route)]
        )

    async def _announced(self, name: str, asked: admin_pb2.Target, what: str, why: str) -> Target:
        """The target, and a durable record of what is about to be changed, before it is."""
        await self._changes.look()
        target = self._changes.target(name, asked.model, asked.version)
        await _begin(name, target.version, f"{what}: {target}", why)
        return target

    def _route(self, route: Route) -> admin_pb2.Route:
        serving = self._router.serves(self._router.base(route.name))
        return admin_pb2.Route(
            name=route.name,
            stable=_target(route.stable),
            canary=_trial(route.canary),
            shadow=_trial(route.shadow),
            previous=_target(route.previous),
            revision=route.revision,
            serving=_target(Target(model=serving.card.name, version=serving.card.version) if serving else None),
        )


async def _begin(name: str, version: int, what: str, why: str) -> None:
    if len(why) > _MOST_REASON:
        raise InvalidRequest.field("reason", f"is longer than {_MOST_REASON} characters", "TOO_LONG")
    call = current_call()
    call.model, call.model_version = name, version
    call.detail = f"{what} ({why})" if why else what
    await call.begin()


def _target(target: Target | None) -> admin_pb2.Target | None:
    return None if target is None else admin_pb2.Target(model=target.model, version=target.version)


def _trial(trial: Trial | None) -> admin_pb2.TrialArm | None:
    if trial is None:
        return None
    arm = admin_pb2.TrialArm(target=_target(trial.target), share=trial.share)
    arm.since.FromMilliseconds(round(trial.since * 1e3))
    return arm


def _comparison(reference: Target, trial: Trial, record: TrialRecord) -> admin_pb2.Comparison:
    return admin_pb2.Comparison(
        kind=record.arm.value,
        reference=_target(reference),
        candidate=_target(trial.target),
        compared=record.comparison.compared,
        dropped=record.comparison.dropped,
        statements=[_statement(code, pair) for code, pair in record.comparison.statements.items()],
        reference_count=_side(record.reference),
        candidate_count=_side(record.candidate),
        tests=[
            admin_pb2.RollbackTest(
                name=test.name, bound=test.bound, seen=test.seen, evidence=test.value, limit=test.limit
            )
            for test in record.tests
        ],
    )


def _statement(code: str, pair: StatementPair) -> admin_pb2.StatementComparison:
    return admin_pb2.StatementComparison(
        code=code,
        agreement=pair.agreement,
        became_present=pair.became_present,
        became_absent=pair.became_absent,
        mean_change=pair.change / pair.compared,
        reference_prevalence=pair.reference / pair.compared,
        candidate_prevalence=pair.candidate / pair.compared,
        stability_index=pair.stability_index,
    )


def _side(side: Side) -> admin_pb2.ArmCount:
    return admin_pb2.ArmCount(inferences=side.inferences, failures=side.failures, median_milliseconds=side.median)
