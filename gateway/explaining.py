"""Explain: the same way up to the tensor, then the explainer's parts; what it could not send is said in its place."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from cardiomesh._proto.explainer.v1 import explainer_pb2, explainer_pb2_grpc
from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.chassis.hop import Hop
from cardiomesh.errors import DeadlineExceeded, FieldViolation, InvalidRequest, Overloaded, ResultMismatch, Unavailable
from gateway.admission import Admission
from gateway.analysis.analysis import Analysis
from gateway.analysis.preparing import Preparing
from gateway.analysis.recordings import digest_of
from gateway.backends.backend import Backend
from gateway.catalogue import Model
from gateway.door import current_call
from gateway.routing import Router, Wanted

__all__ = ["Explaining"]

Part = explainer_pb2.ExplainResponse
_METHODS: Final = tuple(m for m in explainer_pb2.Method.values() if m != explainer_pb2.METHOD_UNSPECIFIED)


class Explaining:
    """Answers Explain, each tenant on its own. Bounded, so that explanations cannot crowd out analyses."""

    def __init__(
        self,
        analysis: Analysis,
        preparing: Preparing,
        router: Router,
        explainer: Backend,
        admission: Admission,
        *,
        at_once: int,
    ) -> None:
        self._analysis = analysis
        self._preparing = preparing
        self._router = router
        self._explain: Hop[explainer_pb2.ExplainRequest, Part] = explainer.hop(
            explainer_pb2_grpc.ExplainerStub(explainer.channel).Explain
        )
        self._explainer = explainer
        self._admission = admission
        self._at_once = at_once
        self._inside = 0

    async def explain(self, request: gateway_pb2.ExplainRequest) -> AsyncGenerator[gateway_pb2.ExplainResponse, None]:
        """The parts of an explanation of exactly one prediction."""
        if self._inside >= self._at_once:
            raise Overloaded(f"{self._inside} explanations are under way; try again in a moment")
        self._inside += 1
        told = _Told()
        try:
            call = current_call()
            # What the explainer does then has a bound of its own, and takes too long to hold a place here.
            async with self._admission.turn(call.priority, call.tenant, "explain") as turn:
                await turn.begin()
                onward = await self._bound(request)
            async with aclosing(self._parts(onward)) as parts:
                async for part in parts:
                    told.add(part)
                    yield gateway_pb2.ExplainResponse(part=part)
        finally:
            self._inside -= 1
            current_call().detail = str(told)

    async def _bound(self, request: gateway_pb2.ExplainRequest) -> explainer_pb2.ExplainRequest:
        """What the explainer needs; refuses when recording or model are not those of the named result."""
        if not request.finding_codes:
            raise InvalidRequest.field("finding_codes", "name at least one finding to explain", "MISSING")
        name, version = request.model, request.model_version
        earlier = None
        if request.result_id:
            earlier = (await self._analysis.result(request.result_id)).result
            if name in ("", earlier.model.name):  # another model's versions are numbered on their own
                name, version = earlier.model.name, version or earlier.model.version
        wanted = Wanted(name, version)
        choice = self._router.choose(wanted, current_call().tenant, digest_of(request.recording))
        model = choice.model
        call = current_call()
        call.model, call.model_version, call.result_id = model.ref.name, model.ref.version, request.result_id
        _known(request.finding_codes, model)
        with_rules = not request.methods or explainer_pb2.METHOD_RULES in request.methods
        prepared = await self._preparing.again(request, choice.model.card, with_rules)
        if earlier is not None and (earlier.tensor_hash, earlier.model) != (prepared.tensor_hash, model.ref):
            raise ResultMismatch("the result was computed on another recording or by another model")
        onward = explainer_pb2.ExplainRequest(
            tensor=prepared.tensor,
            tensor_hash=prepared.tensor_hash,
            window_starts=prepared.window_starts,
            model=model.ref,
            finding_codes=request.finding_codes,
            methods=request.methods,
            budget_seconds=request.budget_seconds,
        )
        if with_rules:
            onward.measurements.extend(prepared.measurements)
            onward.patient.CopyFrom(prepared.recording.patient)
            onward.quality.CopyFrom(prepared.quality)
            onward.findings.extend(earlier.findings if earlier else await self._analysis.predicted(prepared, choice))
        return onward

    async def _parts(self, onward: explainer_pb2.ExplainRequest) -> AsyncGenerator[Part, None]:
        """The explainer's parts. Lost half-way, what it owes is missing; lost before the first, the call fails."""
        given: set[tuple[int, str]] = set()
        try:
            async with aclosing(self._explainer.stream(self._explain, onward)) as parts:
                async for part in parts:
                    given.add((part.method, part.finding_code))
                    yield part
        except (Unavailable, DeadlineExceeded) as error:
            if not given:
                raise
            for part in _owed(onward, given, isinstance(error, DeadlineExceeded)):
                yield part


class _Told:
    """What was told, for the audit trail: which parts came and were missing, and a digest over all that was sent."""

    def __init__(self) -> None:
        self._came: list[str] = []
        self._missing: list[str] = []
        self._digest = hashlib.sha256()

    def add(self, part: Part) -> None:
        name = explainer_pb2.Method.Name(part.method).removeprefix("METHOD_").lower()
        (self._missing if part.HasField("missing") else self._came).append(f"{name} {part.finding_code}".strip())
        self._digest.update(part.SerializeToString(deterministic=True))

    def __str__(self) -> str:
        if not self._came and not self._missing:
            return ""
        missing = f"; missing {', '.join(self._missing)}" if self._missing else ""
        return f"{', '.join(self._came)}{missing}; sha256 {self._digest.hexdigest()}"


def _known(codes: Sequence[str], model: Model) -> None:
    known = {statement.code for statement in model.card.statements}
    unknown = [f"finding_codes[{k}]" for k, code in enumerate(codes) if code not in known]
    if unknown:
        raise InvalidRequest(
            f"{model.card.name} does not know {', '.join(unknown)}; see its card",
            [FieldViolation(field, f"{model.card.name} has no such statement", "UNKNOWN") for field in unknown],
        )


def _owed(onward: explainer_pb2.ExplainRequest, given: set[tuple[int, str]], late: bool) -> list[Part]:
    """A missing part for each that was asked for and did not come, in the order in which they would have come."""
    rules = explainer_pb2.METHOD_RULES
    codes = list(dict.fromkeys(onward.finding_codes))
    wanted = [m for m in _METHODS if m in (onward.methods or _METHODS)]
    pairs = itertools.chain.from_iterable([(m, "")] if m == rules else [(m, c) for c in codes] for m in wanted)
    missing = explainer_pb2.Missing(
        reason=explainer_pb2.MISSING_REASON_DEADLINE if late else explainer_pb2.MISSING_REASON_UNAVAILABLE,
        text=explainer_pb2.Text(
            en="the time given for this explanation is over" if late else "the explainer was lost half-way",
            pt="o tempo dado a esta explicação acabou" if late else "o explicador se perdeu no meio do caminho",
        ),
    )
    return [
        Part(model=onward.model, tensor_hash=onward.tensor_hash, method=method, finding_code=code, missing=missing)
        for method, code in pairs
        if (method, code) not in given
    ]
