"""The decision on one answer. Pure: no I/O, no state but what was worked out before for the same circumstances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import ModelCard
from cardiomesh.rules import facts_of, load_rules
from gateway.decision.critical import Criteria, asked, of_model
from gateway.decision.order import by_urgency
from gateway.decision.outcome import outcome
from gateway.decision.over_read import reasons
from gateway.decision.policy import Policy
from gateway.decision.thresholds import Moved, moved

__all__ = ["Decider"]

_SETTINGS: Final = {
    types_pb2.SETTING_EMERGENCY: "emergency",
    types_pb2.SETTING_INPATIENT: "inpatient",
    types_pb2.SETTING_AMBULATORY: "ambulatory",
}
_GRADES: Final = {types_pb2.GRADE_A: "A", types_pb2.GRADE_B: "B", types_pb2.GRADE_C: "C"}


class Decider:
    """Decides by one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._book = load_rules()
        #: By card and circumstances; few, because ages come in groups.
        self._thresholds: dict[tuple[str, ...], tuple[Moved, ...]] = {}
        self._ages = sorted({a for s in policy.shifts for a in (s.when.age_from, s.when.age_below) if a is not None})

    @property
    def digest(self) -> str:
        """sha256 (hex) of the policy."""
        return self._policy.digest

    def context(
        self,
        quality: types_pb2.Quality,
        patient: types_pb2.Patient,
        setting: types_pb2.Setting.ValueType,
        measured: bool,
    ) -> str:
        """What beside signal and model the decision depends on: answers may be shared where it is the same.

        Not the age itself but what follows from it, so that a file that knows the age and one that does not share an
        answer where it makes no difference. The published criteria ask for age and sex themselves.
        """
        age = patient.age_years if patient.HasField("age_years") else None
        rules = self._policy.applying(_SETTINGS.get(setting, ""), _GRADES.get(quality.grade, ""), age)
        minor = age is not None and age < self._policy.adult_from
        asked_of = f"{age}:{patient.sex}" if measured else ""
        return f"{self.digest}:{setting}:{','.join(rule.id for rule in rules)}:{minor}:{measured}:{asked_of}"

    def decide(
        self, answer: gateway_pb2.AnalyzeResponse, card: ModelCard, setting: types_pb2.Setting.ValueType
    ) -> None:
        """Fill in thresholds, outcomes and the decision of ``answer``, as its card, quality and recording have it.

        ``answer`` comes with the card's own thresholds, and may hold measurements.
        """
        patient = answer.recording.patient
        self.settle(answer.findings, card, setting, answer.quality.grade, patient)
        criteria = Criteria((), ())
        if answer.measurements:
            facts = facts_of(answer.measurements, answer.quality, patient)
            criteria = asked(self._book, self._policy.critical, facts)
        # A stable sort: what is equally urgent and certain stays as policy and card have it.
        critical = sorted([*of_model(answer.findings), *criteria.met], key=lambda c: (-c.urgency, c.consider))
        found = list(reasons(answer, critical, self._policy))
        answer.decision.CopyFrom(
            gateway_pb2.Decision(
                over_read=bool(found),
                reasons=found,
                critical=critical,
                order=[finding.code for finding in by_urgency(answer.findings)],
                criteria_checked=bool(answer.measurements),
                not_evaluable=criteria.not_evaluable,
                setting=setting,
                policy=self.digest,
            )
        )

    def settle(
        self,
        findings: Sequence[types_pb2.Finding],
        card: ModelCard,
        setting: types_pb2.Setting.ValueType,
        grade: types_pb2.Grade.ValueType,
        patient: types_pb2.Patient,
    ) -> None:
        """Fill in thresholds and outcomes of a card's findings, in the card's order. All that a window needs."""
        age = self._age_group(patient.age_years) if patient.HasField("age_years") else None
        places = self._places(card, _SETTINGS.get(setting, ""), _GRADES.get(grade, ""), age)
        for finding, statement, place in zip(findings, card.statements, places, strict=True):
            finding.base_threshold = statement.threshold
            finding.threshold = place.threshold
            finding.present = finding.probability >= place.threshold
            finding.outcome = outcome(statement, finding.prediction_set, finding.present)
            if place.shifts:
                finding.shifts.extend(place.shifts)

    def _age_group(self, age: int) -> int:
        """The youngest age to which the same rules apply: there are few of them to be remembered."""
        return max((edge for edge in self._ages if edge <= age), default=0)

    def _places(self, card: ModelCard, setting: str, grade: str, age: int | None) -> tuple[Moved, ...]:
        key = (card.name, str(card.version), card.digest, setting, grade, str(age))
        if key not in self._thresholds:
            applying = self._policy.applying(setting, grade, age)
            self._thresholds[key] = tuple(moved(statement, self._policy, applying) for statement in card.statements)
        return self._thresholds[key]
