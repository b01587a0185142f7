"""One window's answer: what Analyze says of it, with some patience for a mesh that is away for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.parallel import outcome_of
from cardiomesh.errors import FieldViolation, InvalidRequest, Overloaded, Unavailable
from gateway.analysis.analysis import Analysis
from gateway.door import current_call
from gateway.live.alarms import NO_SIGNAL
from gateway.live.form import Form
from gateway.live.stream import Outcome
from gateway.live.tokens import Standing

__all__ = ["Answering"]

#: Between tries of one window; a stream of hours does not lose ten seconds because Triton was away for one.
_PAUSES_S: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_TRANSIENT: Final = frozenset({Unavailable.reason, Overloaded.reason})


class Answering:
    """Asks Analyze, with nothing read from the cache and nothing kept in it: no second is recorded twice."""

    def __init__(self, analysis: Analysis, window_s: float) -> None:
        self._analysis = analysis
        self._window_s = window_s

    def of(
        self, standing: Standing, start: gateway_pb2.AnalyzeStreamStart
    ) -> Callable[[types_pb2.Recording], Awaitable[Outcome]]:
        """What answers each window of one stream: an answer, or the error it has instead."""

        async def answer(recording: types_pb2.Recording) -> Outcome:
            request = _request(standing, start, recording)
            outcome: Outcome = types_pb2.ItemError()
            for pause in (*_PAUSES_S, None):
                outcome = await outcome_of("", lambda: self._analysis.analyze(request), self._window_s)
                if not isinstance(outcome, types_pb2.ItemError):
                    break
                if pause is None or outcome.reason not in _TRANSIENT:
                    current_call().refused(outcome.reason)
                    break
                await asyncio.sleep(pause)
            return outcome

        return answer

    async def check(self, standing: Standing, start: gateway_pb2.AnalyzeStreamStart, form: Form) -> None:
        """Refuse a start whose windows would all be refused: a silent one meets the very checks that they will meet."""
        try:
            await self._analysis.analyze(_request(standing, start, form.silence()))
        except InvalidRequest as error:
            wrong = [_of_the_start(v) for v in error.violations if v.reason != NO_SIGNAL]
            if wrong or not error.violations:
                raise type(error)(_told(wrong) or error.message, wrong) from error


def _request(
    standing: Standing, start: gateway_pb2.AnalyzeStreamStart, recording: types_pb2.Recording
) -> gateway_pb2.AnalyzeRequest:
    return gateway_pb2.AnalyzeRequest(
        recording=recording,
        model=standing.model,
        model_version=standing.model_version,
        bypass_cache=True,
        measure=True,
        setting=start.setting,
    )


def _of_the_start(violation: FieldViolation) -> FieldViolation:
    name = violation.field.removeprefix("recording.").removeprefix("signal.")
    return FieldViolation(f"start.{name}", violation.description, violation.reason)


def _told(violations: Iterable[FieldViolation]) -> str:
    return "; ".join(f"{v.field}: {v.description}" for v in violations)
