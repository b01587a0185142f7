"""One recording on the desk: what several methods need of it is computed once, when the first one asks."""

from __future__ import annotations

import asyncio

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.cards import ModelCard
from cardiomesh.rules import load_rules
from explainer import counterfactual, integrated, lime
from explainer.attribution import grad_cam, gradient_x_input
from explainer.case import Case
from explainer.messages import attribution_part, counterfactual_part, lime_part, method_name
from explainer.model import AttributionPass, FloatArray, Model
from explainer.remeasure import moved
from explainer.rules import rule_evaluation
from explainer.segments import Segmentation, segment
from explainer.withheld import Withheld

__all__ = ["Desk"]

Part = explainer_pb2.ExplainResponse
#: Lead relations of a counterfactual hold to this (mV).
LEAD_ERROR_LIMIT = 1e-3


class Desk:
    """Makes the parts of one explanation."""

    def __init__(self, model: Model, card: ModelCard, ecg: FloatArray, request: explainer_pb2.ExplainRequest) -> None:
        self.card = card
        self._model = model
        self._ecg = ecg
        self._request = request
        self._predicted: FloatArray | None = None
        self._segmentation: Segmentation | None = None
        self._passes: dict[str, tuple[AttributionPass, float]] = {}

    async def work(self, method: explainer_pb2.Method.ValueType, code: str, part: Part) -> None:
        """Fill ``part`` by one method; raises Withheld, or what the served model raised."""
        if method == explainer_pb2.METHOD_RULES:
            part.rules.CopyFrom(await asyncio.to_thread(rule_evaluation, load_rules(), self._request))
            return
        if self.card.attribution is None:
            raise Withheld(
                explainer_pb2.MISSING_REASON_UNSUPPORTED,
                f"{self.card.name} was published without a graph for attribution",
                f"{self.card.name} foi publicado sem um grafo de atribuição",
            )
        case = await self._case(code)
        passed, gap = await self._first_pass(case)
        if method in (explainer_pb2.METHOD_GRADIENT_X_INPUT, explainer_pb2.METHOD_GRAD_CAM):
            by_lead = method == explainer_pb2.METHOD_GRADIENT_X_INPUT
            values = gradient_x_input(passed, case.ecg) if by_lead else grad_cam(passed, case.ecg.shape[2])
            part.attribution.CopyFrom(self._attribution(case, method, values, gap))
        elif method == explainer_pb2.METHOD_INTEGRATED_GRADIENTS:
            await self._integrated(case, method, gap, part)
        elif method == explainer_pb2.METHOD_LIME:
            await self._lime(case, part)
        else:
            await self._counterfactual(case, part)

    async def _case(self, code: str) -> Case:
        if self._predicted is None:
            self._predicted = await self._model.predict(self.card, self._ecg)
        if self._segmentation is None:
            rate = self.card.input.sampling_rate_hz
            self._segmentation = await asyncio.to_thread(segment, self._ecg, rate)
        return Case(self._model, self.card, self._ecg, self._predicted, code, self._segmentation)

    async def _first_pass(self, case: Case) -> tuple[AttributionPass, float]:
        if case.code not in self._passes:
            self._passes[case.code] = await case.first_pass()
        return self._passes[case.code]

    def _attribution(
        self, case: Case, method: explainer_pb2.Method.ValueType, values: FloatArray, gap: float
    ) -> explainer_pb2.Attribution:
        return attribution_part(case, method_name(method), values, gap, self._request.window_starts)

    async def _integrated(self, case: Case, method: explainer_pb2.Method.ValueType, gap: float, part: Part) -> None:
        found = await integrated.integrated_gradients(case)
        part.attribution.CopyFrom(self._attribution(case, method, found.values, gap))
        part.parameters.update({"baseline": "average heart", "rule": "adaptive trapezoid", "steps": str(found.steps)})
        _trust(part, "completeness_error", found.completeness_error, "<=", integrated.MAX_ERROR)

    async def _lime(self, case: Case, part: Part) -> None:
        if not case.segmentation.beats:
            raise _no_beat()
        found = await lime.lime(case)
        part.lime.CopyFrom(lime_part(case, found))
        part.parameters.update(
            {
                "perturbations": str(found.perturbations),
                "replaced": f"{lime.REPLACED:g}",
                "reference": "average heart",
                "kernel_width": f"{lime.KERNEL_WIDTH:g}",
                "ridge": f"{lime.RIDGE:g}",
                "seed": "0",
            }
        )
        _trust(part, "r2", found.r2, ">=", lime.MIN_R2)
        _trust(part, "top5_jaccard", found.top5_jaccard, ">=", lime.MIN_JACCARD)

    async def _counterfactual(self, case: Case, part: Part) -> None:
        if not case.segmentation.beats:
            raise _no_beat()
        found = await counterfactual.counterfactual(case)
        changes = await asyncio.to_thread(moved, self.card, case.ecg, found.ecg) if found.found else ()
        part.counterfactual.CopyFrom(counterfactual_part(case, found, changes, self._request.window_starts))
        part.parameters.update({"steps": str(found.steps), "components": str(found.components)})
        _trust(part, "plausibility", found.plausibility, "<=", 1.0)
        _trust(part, "lead_error_mv", counterfactual.lead_error(found.ecg), "<=", LEAD_ERROR_LIMIT)


def _trust(part: Part, name: str, value: float, relation: str, limit: float) -> None:
    passed = value <= limit if relation == "<=" else value >= limit
    part.fidelity.add(name=name, value=value, relation=relation, limit=limit, passed=passed, scope="explanation")


def _no_beat() -> Withheld:
    return Withheld(
        explainer_pb2.MISSING_REASON_NOT_EVALUABLE,
        "no beat was found to divide into segments",
        "nenhum batimento foi encontrado para dividir em segmentos",
    )
