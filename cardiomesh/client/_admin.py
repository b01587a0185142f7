"""Which version of a model answers: for operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc

from cardiomesh._proto.gateway.v1 import model_admin_pb2 as admin_pb2
from cardiomesh._proto.gateway.v1 import model_admin_pb2_grpc
from cardiomesh.client._closing import Closes
from cardiomesh.client._credentials import Credential, authorization
from cardiomesh.client._tracing import traced
from cardiomesh.rpc.channel import TlsFiles, dial_sync
from cardiomesh.rpc.status import error_from_rpc

__all__ = ["Comparison", "ModelAdmin", "RollbackTest", "Route", "StatementComparison", "Target", "Trial"]


@dataclass(frozen=True, slots=True)
class Target:
    """One version of one model; version 0 is what the model's own route says."""

    model: str
    version: int = 0

    def __str__(self) -> str:
        return f"{self.model}:{self.version}" if self.version else self.model

    @classmethod
    def parse(cls, text: str) -> Target:
        """``3`` (of the name's own model), ``hybrid_full`` or ``hybrid_full:1``."""
        if text.isdigit():
            return cls("", int(text))
        model, _, version = text.partition(":")
        return cls(model, int(version) if version.isdigit() else 0)


@dataclass(frozen=True, slots=True)
class Trial:
    """A target and the share of recordings that it sees, 0 to 1."""

    target: Target
    share: float
    since: datetime


@dataclass(frozen=True, slots=True)
class Route:
    """Where the requests of one name go; ``serving`` is what answers now."""

    name: str
    stable: Target | None
    canary: Trial | None
    shadow: Trial | None
    previous: Target | None
    serving: Target | None
    revision: int


@dataclass(frozen=True, slots=True)
class StatementComparison:
    """One statement under both versions on the same recordings."""

    code: str
    agreement: float
    became_present: int
    became_absent: int
    mean_change: float
    reference_prevalence: float
    candidate_prevalence: float
    stability_index: float | None


@dataclass(frozen=True, slots=True)
class RollbackTest:
    """How far a test towards an automatic rollback has come: at the limit the canary goes."""

    name: str
    bound: float
    seen: int
    evidence: float
    limit: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A version on trial beside the reference, as one replica of the gateway has seen them."""

    kind: str
    reference: Target
    candidate: Target
    compared: int
    dropped: int
    statements: tuple[StatementComparison, ...]
    reference_inferences: int
    reference_failures: int
    reference_median_ms: float | None
    candidate_inferences: int
    candidate_failures: int
    candidate_median_ms: float | None
    tests: tuple[RollbackTest, ...]


class ModelAdmin(Closes):
    """Moves traffic between models and versions, ``ModelAdmin("host:port")``. The caller must be an operator.

    A name is a model's, or "fast" or "accurate". Every change is audited with its ``reason``.
    """

    def __init__(
        self,
        address: str,
        *,
        credential: Credential | None = None,
        tls: TlsFiles | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._channel = dial_sync(address, tls)
        self._stub = model_admin_pb2_grpc.ModelAdminStub(self._channel)
        self._credential = credential
        self._timeout = timeout

    def routes(self, name: str = "") -> tuple[Route, ...]:
        """All names, or one."""
        return tuple(map(_route, self._call(self._stub.GetRoutes, admin_pb2.GetRoutesRequest(name=name)).routes))

    def set_canary(self, name: str, target: Target, share: float, reason: str = "") -> Route:
        """Let a version on trial answer a share of all recordings; 0 ends the trial."""
        request = admin_pb2.SetCanaryRequest(name=name, target=_wire(target), share=share, reason=reason)
        return _route(self._call(self._stub.SetCanary, request).route)

    def set_shadow(self, name: str, target: Target, share: float, reason: str = "") -> Route:
        """Let a version see copies of a share of all recordings, for comparison; 0 ends the trial."""
        request = admin_pb2.SetShadowRequest(name=name, target=_wire(target), share=share, reason=reason)
        return _route(self._call(self._stub.SetShadow, request).route)

    def promote(self, name: str, target: Target | None = None, reason: str = "") -> Route:
        """Let a version answer all recordings; without a target, the canary."""
        request = admin_pb2.PromoteRequest(name=name, target=_wire(target) if target else None, reason=reason)
        return _route(self._call(self._stub.Promote, request).route)

    def rollback(self, name: str, reason: str = "") -> Route:
        """End the trial or, where there is none, take the last promotion back."""
        request = admin_pb2.RollbackRequest(name=name, reason=reason)
        return _route(self._call(self._stub.Rollback, request).route)

    def comparisons(self, name: str) -> tuple[Comparison, ...]:
        """What the replica that answers has seen of a name's trials."""
        answer = self._call(self._stub.GetComparison, admin_pb2.GetComparisonRequest(name=name))
        return tuple(map(_comparison, answer.comparisons))

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        with traced(type(request).__name__.removesuffix("Request"), None, authorization(self._credential)) as metadata:
            try:
                return method(request, timeout=self._timeout, metadata=metadata)
            except grpc.RpcError as error:
                raise error_from_rpc(error) from None

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def _wire(target: Target) -> admin_pb2.Target:
    return admin_pb2.Target(model=target.model, version=target.version)


def _target(target: admin_pb2.Target) -> Target:
    return Target(target.model, target.version)


def _trial(arm: admin_pb2.TrialArm) -> Trial:
    return Trial(_target(arm.target), arm.share, arm.since.ToDatetime(UTC))


def _route(route: admin_pb2.Route) -> Route:
    return Route(
        name=route.name,
        stable=_target(route.stable) if route.HasField("stable") else None,
        canary=_trial(route.canary) if route.HasField("canary") else None,
        shadow=_trial(route.shadow) if route.HasField("shadow") else None,
        previous=_target(route.previous) if route.HasField("previous") else None,
        serving=_target(route.serving) if route.HasField("serving") else None,
        revision=route.revision,
    )


def _median(side: admin_pb2.ArmCount) -> float | None:
    return side.median_milliseconds if side.HasField("median_milliseconds") else None


def _comparison(found: admin_pb2.Comparison) -> Comparison:
    return Comparison(
        kind=found.kind,
        reference=_target(found.reference),
        candidate=_target(found.candidate),
        compared=found.compared,
        dropped=found.dropped,
        statements=tuple(
            StatementComparison(
                code=s.code,
                agreement=s.agreement,
                became_present=s.became_present,
                became_absent=s.became_absent,
                mean_change=s.mean_change,
                reference_prevalence=s.reference_prevalence,
                candidate_prevalence=s.candidate_prevalence,
                stability_index=s.stability_index if s.HasField("stability_index") else None,
            )
            for s in found.statements
        ),
        reference_inferences=found.reference_count.inferences,
        reference_failures=found.reference_count.failures,
        reference_median_ms=_median(found.reference_count),
        candidate_inferences=found.candidate_count.inferences,
        candidate_failures=found.candidate_count.failures,
        candidate_median_ms=_median(found.candidate_count),
        tests=tuple(RollbackTest(t.name, t.bound, t.seen, t.evidence, t.limit) for t in found.tests),
    )
