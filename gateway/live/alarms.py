"""Alarms over windows: raised by the first window that shows something critical, cleared when enough are without it.

What counts as critical: a statement of the model with that urgency that is called present, what the decision layer
lists as critical and not only to be considered, a measured heart rate beyond the limits, no beat found for four seconds
in a clean signal, and a recording in which no lead shows a heart. A window that cannot tell, because it was refused,
skipped or not measured, neither raises nor clears. Ventricular fibrillation has no detector here: it may show up as no
beat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2

__all__ = ["AlarmRules", "Alarms", "Condition", "Judgement", "Raised"]

#: As the rule book has them (``slow_ventricular_rate``, ``fast_ventricular_rate``): below, and from.
LOW_RATE: Final = 40.0
HIGH_RATE: Final = 150.0
#: What bedside monitors call asystole, in seconds without a beat.
NO_BEAT_S: Final = 4.0
#: The preprocessor's reason for a recording in which no lead shows a heart.
NO_SIGNAL: Final = "NO_SIGNAL"
_CLEAN: Final = (types_pb2.GRADE_A, types_pb2.GRADE_B)
_MEASURED: Final = types_pb2.MEASUREMENT_STATUS_MEASURED


@dataclass(frozen=True, slots=True)
class Condition:
    """Something critical, and what it is called."""

    code: str
    name: str
    name_pt: str


_SLOW: Final = Condition("slow_ventricular_rate", "Heart rate below the limit", "Frequência cardíaca abaixo do limite")
_FAST: Final = Condition("fast_ventricular_rate", "Heart rate above the limit", "Frequência cardíaca acima do limite")
_NO_BEAT: Final = Condition(
    "no_beat", "No heartbeat found for four seconds", "Nenhum batimento encontrado por quatro segundos"
)
_FLAT: Final = Condition(
    "flat_line",
    "No lead shows a heart: asystole or no contact, the signal cannot tell which",
    "Nenhuma derivação mostra atividade cardíaca: assistolia ou falta de contato, o sinal não distingue",
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one window says: what it shows, and which codes it cannot tell. ``blind``: it can tell no other."""

    shown: Mapping[str, Condition] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    blind: bool = False

    def misses(self, code: str) -> bool:
        """Whether the window could have shown this, and does not."""
        return not self.blind and code not in self.unknown and code not in self.shown


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm that is not cleared: by which window, which last showed it, and how many could have since."""

    code: str
    name: str
    name_pt: str
    onset: int
    last: int
    without: int


@dataclass(frozen=True, slots=True)
class AlarmRules:
    """The limits of one stream. ``clear_after`` windows in a row that could show it and do not clear an alarm."""

    low: float
    high: float
    clear_after: int

    @classmethod
    def of(cls, *, low: float | None, high: float | None, clear_after: int) -> AlarmRules:
        """With the published limits where the caller states none."""
        return cls(LOW_RATE if low is None else low, HIGH_RATE if high is None else high, clear_after)

    def judge_error(self, error: types_pb2.ItemError) -> Judgement:
        """A window without an answer tells nothing, but that there is nothing to see."""
        flat = any(violation.reason == NO_SIGNAL for violation in error.violations)
        return Judgement({_FLAT.code: _FLAT} if flat else {}, blind=True)

    def judge(self, answer: gateway_pb2.AnalyzeResponse, seconds: float) -> Judgement:
        """A measured answer on ``seconds`` of signal."""
        shown = {condition.code: condition for condition in _stated(answer)}
        # This stream's own limits stand where the decision layer has the published ones.
        for ours in (_SLOW, _FAST):
            shown.pop(ours.code, None)
        unknown = set(answer.decision.not_evaluable)
        values = {m.key: m.value for m in answer.measurements if m.status == _MEASURED and not m.lead}
        rate = values.get("rhythm.heart_rate")
        if rate is None:
            unknown |= {_SLOW.code, _FAST.code}
        elif rate < self.low:
            shown[_SLOW.code] = _SLOW
        elif rate >= self.high:
            shown[_FAST.code] = _FAST
        silent = _silent(values, seconds) if answer.quality.grade in _CLEAN else None
        if silent is None:
            unknown.add(_NO_BEAT.code)
        elif silent >= NO_BEAT_S:
            shown[_NO_BEAT.code] = _NO_BEAT
        return Judgement(shown, frozenset(unknown))


def _stated(answer: gateway_pb2.AnalyzeResponse) -> Iterator[Condition]:
    for finding in answer.findings:
        if finding.present and finding.urgency == types_pb2.URGENCY_CRITICAL:
            yield Condition(finding.code, finding.name, finding.name_pt)
    for critical in answer.decision.critical:
        if not critical.consider:
            yield Condition(critical.code, critical.name, critical.name_pt)


def _silent(values: Mapping[str, float], seconds: float) -> float | None:
    """Seconds that surely went by without a beat; None where beats were not counted.

    Before the first and after the last beat there is what the intervals do not fill; one of the two holds half of it.
    """
    beats = values.get("rhythm.beat_count")
    if beats is None:
        return None
    between = max(0.0, beats - 1) * values.get("rhythm.rr_mean", 0.0) / 1000
    return max(values.get("rhythm.rr_max", 0.0) / 1000, (seconds - between) / 2)


class Alarms:
    """The alarms of one stream, moved on by each window that is delivered, in whatever order they are."""

    def __init__(self, rules: AlarmRules, raised: Iterable[Raised] = ()) -> None:
        self._rules = rules
        self._raised = {alarm.code: alarm for alarm in raised}

    @property
    def active(self) -> tuple[Raised, ...]:
        """Those that are raised, in the order in which they were."""
        return tuple(self._raised.values())

    def see(self, index: int, judgement: Judgement) -> tuple[list[Raised], list[Raised]]:
        """Take in window ``index``; the alarms that it raises, and those that it clears."""
        begun, ended = [], []
        for code, condition in judgement.shown.items():
            known = self._raised.get(code)
            if known is None:
                known = Raised(code, condition.name, condition.name_pt, onset=index, last=index, without=0)
                begun.append(known)
            elif index > known.last:
                known = replace(known, last=index, without=0)
            self._raised[code] = known
        for code, known in list(self._raised.items()):
            if index <= known.last or not judgement.misses(code):
                continue
            if known.without + 1 >= self._rules.clear_after:
                ended.append(self._raised.pop(code))
            else:
                self._raised[code] = replace(known, without=known.without + 1)
        return begun, ended
