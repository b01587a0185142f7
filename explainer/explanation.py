"""The parts of one explanation in order, within the time there is: what cannot be done is a part that says why."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final, TypeAlias

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.cards import CardStore, ModelCard
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, InvalidRequest, Unavailable
from cardiomesh.language import Language
from explainer.admission import Admission
from explainer.binding import bound_card, bound_tensor
from explainer.desk import Desk
from explainer.messages import method_name, missing_part
from explainer.model import Model
from explainer.verdict import MethodVerdict, Verdicts
from explainer.withheld import Withheld

__all__ = ["RESERVE_S", "Explanation"]

log = logging.getLogger("cardiomesh.explain")
#: Kept back of the caller's time, so that what is missing can still be said in it.
RESERVE_S: Final = 0.05
Method: TypeAlias = explainer_pb2.Method.ValueType
#: All of them, in the order of the parts.
METHODS: Final = tuple(m for m in explainer_pb2.Method.values() if m != explainer_pb2.METHOD_UNSPECIFIED)
Part = explainer_pb2.ExplainResponse
_RELATIONS: Final = {"<=": "≤", ">=": "≥"}


class Explanation:
    """Answers Explain."""

    def __init__(
        self, cards: CardStore, model: Model, telemetry: Telemetry, verdicts: Verdicts, admission: Admission
    ) -> None:
        self._cards = cards
        self._model = model
        self._telemetry = telemetry
        self._verdicts = verdicts
        self._admission = admission

    async def parts(self, request: explainer_pb2.ExplainRequest, seconds: float) -> AsyncGenerator[Part, None]:
        """The parts that can be had in ``seconds``, and for every other a part that says why it is missing.

        Refuses with ResultMismatch when tensor or card are not those of the prediction, with Overloaded when too
        many explanations wait.
        """
        until = time.monotonic() + min(seconds - RESERVE_S, request.budget_seconds or seconds)
        card = bound_card(self._cards, request)
        ecg = bound_tensor(request, card)
        codes = _codes(request, card)
        methods = _methods(request)
        async with self._admission.place():
            desk = Desk(self._model, card, ecg, request)
            for method in methods:
                for code in codes if method != explainer_pb2.METHOD_RULES else [""]:
                    yield await self._part(request, desk, method, code, until)

    async def _part(
        self, request: explainer_pb2.ExplainRequest, desk: Desk, method: Method, code: str, until: float
    ) -> Part:
        """One part, whatever happens."""
        name, started = method_name(method), time.perf_counter()
        part = Part(model=request.model, tensor_hash=request.tensor_hash, method=method, finding_code=code)
        verdict = self._verdict(desk.card, name)
        try:
            if verdict is not None and verdict.failed and method not in request.methods:
                raise _switched_off(desk.card, name, verdict)
            async with asyncio.timeout(until - time.monotonic()):
                await desk.work(method, code, part)
        except Withheld as why:
            part.missing.CopyFrom(missing_part(why.reason, why.en, why.pt))
        except (TimeoutError, DeadlineExceeded):
            en, pt = "the time given for this explanation is over", "o tempo dado a esta explicação acabou"
            part.missing.CopyFrom(missing_part(explainer_pb2.MISSING_REASON_DEADLINE, en, pt))
        except Unavailable:
            en, pt = "Triton cannot be reached", "o Triton não pode ser alcançado"
            part.missing.CopyFrom(missing_part(explainer_pb2.MISSING_REASON_UNAVAILABLE, en, pt))
        except Exception as error:
            log.exception("a method failed", extra={"method": name, "model": desk.card.name})
            en = str(error) if isinstance(error, CardioMeshError) else "it failed; the explainer's log says how"
            pt = "falhou; o registro do serviço diz como"
            part.missing.CopyFrom(missing_part(explainer_pb2.MISSING_REASON_FAILED, en, pt))
        if verdict is not None and not part.HasField("missing"):
            part.fidelity.extend(
                explainer_pb2.Fidelity(
                    name=g.name, value=g.value, relation=g.relation, limit=g.limit, passed=g.passed, scope="model"
                )
                for g in verdict.gates
            )
        part.compute_milliseconds = (time.perf_counter() - started) * 1e3
        if part.HasField("attribution"):
            part.attribution.compute_milliseconds = part.compute_milliseconds
        if not part.HasField("missing"):
            self._telemetry.count("explanations", {"cardiomesh.method": name, "cardiomesh.model": desk.card.name})
        return part

    def _verdict(self, card: ModelCard, method: str) -> MethodVerdict | None:
        verdict = self._verdicts.of(card)
        return verdict.methods.get(method) if verdict is not None else None


def _switched_off(card: ModelCard, name: str, verdict: MethodVerdict) -> Withheld:
    def gates(language: Language, limit: str) -> str:
        return ", ".join(
            f"{g.name} {_plain(g.value, language)} ({limit} {_RELATIONS[g.relation]} {_plain(g.limit, language)})"
            for g in verdict.failed
        )

    return Withheld(
        explainer_pb2.MISSING_REASON_SWITCHED_OFF,
        f"{name} is switched off for {card.name} version {card.version}: failed {gates('en', 'limit')}",
        f"{name} está desligado para {card.name} versão {card.version}: não passou em {gates('pt', 'limite')}",
    )


def _plain(value: float, language: Language) -> str:
    text = f"{value:.3g}"
    return text.replace(".", ",") if language == "pt" else text


def _codes(request: explainer_pb2.ExplainRequest, card: ModelCard) -> Sequence[str]:
    known = {statement.code for statement in card.statements}
    unknown = [code for code in request.finding_codes if code not in known]
    if unknown or not request.finding_codes:
        raise InvalidRequest.field("finding_codes", "name findings that the model knows", "UNKNOWN")
    return list(dict.fromkeys(request.finding_codes))


def _methods(request: explainer_pb2.ExplainRequest) -> Sequence[Method]:
    unknown = [method for method in request.methods if method not in METHODS]
    if unknown:
        raise InvalidRequest.field("methods", f"does not know {unknown[0]}", "UNKNOWN")
    if request.budget_seconds < 0:
        raise InvalidRequest.field("budget_seconds", f"is {request.budget_seconds:g}", "OUT_OF_RANGE")
    return [method for method in METHODS if not request.methods or method in request.methods]
