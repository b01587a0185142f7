"""The policy: the one file that says what may be moved and why, read and checked once."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cardiomesh.cards import Statement, Urgency
from cardiomesh.ecg.statements import taxonomy
from cardiomesh.errors import CardioMeshError
from cardiomesh.rules import load_rules

__all__ = ["PUBLISHED", "Policy", "PolicyError", "ReasonCode", "Shift", "Words", "load_policy"]

PUBLISHED: Final = Path(__file__).with_name("policy.yaml")
#: Findings that no rule may make harder to call.
_PROTECTED: Final = frozenset({Urgency.URGENT, Urgency.CRITICAL})

ReasonCode = Literal[
    "CRITICAL_FINDING", "UNCERTAIN_FINDING", "POOR_QUALITY", "MISSING_LEAD", "LEADS_DOUBTFUL", "AGE_NOT_STUDIED"
]
Sentence = Annotated[str, Field(min_length=1)]


class PolicyError(CardioMeshError):
    """The policy is wrong; says where, in one line."""

    status = "FAILED_PRECONDITION"
    reason = "BAD_POLICY"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Words(_Strict):
    """The same in both languages."""

    en: Sentence
    pt: Sentence


class When(_Strict):
    """On which recordings a rule acts: all of what is given must hold, and what is not known does not."""

    setting: Literal["emergency", "inpatient", "ambulatory"] | None = None
    grades: tuple[Literal["A", "B", "C"], ...] = ()
    age_from: int | None = None
    age_below: int | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a rule without a condition would replace the card's threshold")
        return self

    def holds(self, setting: str, grade: str, age: int | None) -> bool:
        """Whether it acts on such a recording."""
        if (self.setting and setting != self.setting) or (self.grades and grade not in self.grades):
            return False
        if self.age_from is None and self.age_below is None:
            return True
        return age is not None and (self.age_from or 0) <= age and (self.age_below is None or age < self.age_below)


class Of(_Strict):
    """Whose threshold a rule moves: statements by code, or all of some urgencies."""

    urgencies: frozenset[Urgency] = frozenset()
    codes: frozenset[str] = frozenset()

    def covers(self, statement: Statement) -> bool:
        """Whether this statement's is moved."""
        return statement.code in self.codes or statement.urgency in self.urgencies


class Shift(_Strict):
    """One documented rule."""

    id: str = Field(pattern=r"^[a-z][a-z_]*$")
    when: When
    of: Of
    miss_weighs: float = Field(gt=0)
    source: str
    checked: Literal["primary", "secondary", "memory"]
    rationale: Sentence
    text: Words

    @property
    def log_odds(self) -> float:
        """What it adds to the logit of a threshold."""
        return -math.log(self.miss_weighs)

    @model_validator(mode="after")
    def _urgent_findings_are_never_harder_to_call(self) -> Self:
        urgencies = set(self.of.urgencies)
        for code in self.of.codes:
            if code not in taxonomy():
                raise ValueError(f"{code} is no statement of the taxonomy")
            urgencies.add(Urgency(taxonomy()[code].urgency))
        if self.miss_weighs < 1 and urgencies & _PROTECTED:
            raise ValueError(f"{self.id} makes an urgent finding harder to call")
        return self


class Policy(_Strict):
    """All of the file, and the sha256 of its bytes."""

    bound: float = Field(gt=1, le=4, description="Largest factor on the odds of a threshold.")
    sources: dict[str, Sentence]
    shifts: tuple[Shift, ...]
    over_read: dict[ReasonCode, Words]
    doubtful_leads: frozenset[str]
    adult_from: int = Field(ge=0)
    critical: tuple[str, ...]
    digest: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for shift in self.shifts:
            if shift.source not in self.sources:
                raise ValueError(f"{shift.id}: no source {shift.source!r}")
        if len({shift.id for shift in self.shifts}) != len(self.shifts):
            raise ValueError("two shifts have one id")
        for rule_id in self.critical:
            if rule_id not in load_rules():
                raise ValueError(f"no rule {rule_id!r} in the rule book")
        return self

    def applying(self, setting: str, grade: str, age: int | None) -> tuple[Shift, ...]:
        """The rules that act on such a recording."""
        return tuple(shift for shift in self.shifts if shift.when.holds(setting, grade, age))


@lru_cache(maxsize=4)
def load_policy(path: Path = PUBLISHED) -> Policy:
    """Read and check; PolicyError says in one line what is wrong."""
    raw = path.read_bytes()
    try:
        policy = Policy.model_validate(yaml.safe_load(raw))
    except yaml.YAMLError as error:
        raise PolicyError(f"{path.name}: is not YAML: {getattr(error, 'problem', '')}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "policy"
        raise PolicyError(f"{path.name}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    return policy.model_copy(update={"digest": hashlib.sha256(raw).hexdigest()})
