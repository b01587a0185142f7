"""The form of the rule files, and nothing of what they say.

A rule is data: its criteria are a tree of the nodes below over measurement keys. There is no expression language, and
nothing is evaluated as code. What the nodes mean is in ``cardiomesh.rules.evaluate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from cardiomesh.cards import Urgency
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.recording import MAX_AGE_YEARS, Sex

__all__ = [
    "ANY_LEAD",
    "PATIENT_AGE",
    "SEXES",
    "All",
    "AnyOf",
    "Case",
    "Compare",
    "Constant",
    "Count",
    "Criterion",
    "Formula",
    "Label",
    "Leads",
    "Measure",
    "Not",
    "Other",
    "Reference",
    "Relation",
    "Rule",
    "RuleFile",
    "Score",
    "Source",
    "Term",
    "Text",
    "Wave",
    "Weighted",
    "ages_of",
]

#: Stands for the lead that a ``leads`` node is asking about.
ANY_LEAD: Final = "*"
#: The one value that is no measurement.
PATIENT_AGE: Final = "patient.age"

#: An age nobody reaches.
_NOBODY: Final = 1000

SEXES: Final[tuple[Sex, ...]] = ("female", "male")
Relation = Literal["<", "<=", ">", ">="]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Text:
    """The same words in the languages of the reports; a plain dataclass, because thousands are made per request."""

    en: Annotated[str, Field(min_length=1)]
    pt: Annotated[str, Field(min_length=1)]


class Label(_Strict):
    """How a measurement is called, and the UCUM code of its unit; ``{lead}`` stands for the lead.

    ``leads`` are those it is from, where its key does not say so; it is not evaluable when one of them is unfit.
    """

    en: str = Field(min_length=1)
    pt: str = Field(min_length=1)
    unit: str
    leads: tuple[str, ...] = ()


class Measure(_Strict):
    """One measurement by its key, with the lead where it is one of a lead: ``intervals.pr``, ``lead.s V1``.

    ``absent_as`` is the number that stands for a wave that is not there: an absent S wave adds 0 mV to a sum.
    """

    measure: str
    absent_as: float | None = None

    @cached_property
    def key(self) -> str:
        """The measurement key."""
        return self.measure.partition(" ")[0]

    @cached_property
    def lead(self) -> str:
        """The lead, ``*`` for the one that is asked about, or nothing."""
        return self.measure.partition(" ")[2]

    @model_validator(mode="after")
    def _lead_fits(self) -> Self:
        if self.lead and self.lead not in (*STANDARD_LEADS, ANY_LEAD):
            raise ValueError(f"{self.lead!r} is no standard lead")
        if self.key.startswith("lead.") != bool(self.lead):
            raise ValueError(f"{self.measure!r}: a lead is named exactly when the key starts with 'lead.'")
        return self


class Case(_Strict):
    """The cut-off for some patients: ``age_from <= age < age_below``, in completed years."""

    sex: Sex | None = None
    age_from: int = Field(0, ge=0, le=MAX_AGE_YEARS)
    age_below: int = Field(_NOBODY, ge=1)
    cutoff: float

    def covers(self, sex: Sex, age: int) -> bool:
        """Whether it is the cut-off of such a patient."""
        return self.sex in (None, sex) and self.age_from <= age < self.age_below


def ages_of(cases: tuple[Case, ...]) -> frozenset[int]:
    """Ages that stand for all: every case covers one of them."""
    ends = {case.age_below for case in cases if case.age_below < _NOBODY}
    return frozenset({0, *(case.age_from for case in cases), *ends})


def _check_cases(cases: tuple[Case, ...]) -> None:
    for sex in SEXES:
        for age in sorted(ages_of(cases)):
            found = sum(case.covers(sex, age) for case in cases)
            if found != 1:
                raise ValueError(f"{found} numbers for a patient of {age} years, {sex}: one is needed")


class Constant(_Strict):
    """A number that depends on the patient, such as the 0.8 mV that the Cornell product adds in women."""

    constant: tuple[Case, ...]
    unit: str

    @model_validator(mode="after")
    def _covers_everybody_once(self) -> Self:
        _check_cases(self.constant)
        return self


class Formula(_Strict):
    """A number made of others; not evaluable where one of them is. ``difference`` and ``ratio`` take two terms."""

    formula: Literal["sum", "difference", "product", "ratio", "largest", "smallest", "magnitude"]
    of: tuple[Term, ...]

    @model_validator(mode="after")
    def _count_fits(self) -> Self:
        least, most = {"magnitude": (1, 1), "ratio": (2, 2), "product": (2, 2), "difference": (2, 2)}.get(
            self.formula, (2, 12)
        )
        if not least <= len(self.of) <= most:
            raise ValueError(f"{self.formula} takes {least} to {most} terms")
        return self


def _full(term: Any) -> Any:
    return {"measure": term} if isinstance(term, str) else term


def _term_kind(term: Any) -> str:
    for kind in ("formula", "constant"):
        if (isinstance(term, dict) and kind in term) or hasattr(term, kind):
            return kind
    return "measure"


Term = Annotated[
    Annotated[Measure, Tag("measure")] | Annotated[Formula, Tag("formula")] | Annotated[Constant, Tag("constant")],
    Discriminator(_term_kind),
    BeforeValidator(_full),
]


class LeadCutoff(_Strict):
    """The cut-off in some leads."""

    leads: tuple[str, ...] = Field(min_length=1)
    cutoff: float | tuple[Case, ...] = Field(alias="than")


class Compare(_Strict):
    """``value relation cutoff``.

    ``absent`` says what an absent wave means here; without it, a value that is not there cannot be compared and the
    criterion is not evaluable.
    """

    value: Term
    relation: Relation = Field(alias="is")
    cutoff: float | tuple[Case, ...] = Field(alias="than")
    unit: str
    absent: Literal["met", "not met"] | None = None
    #: The only way in which "cannot be told" becomes an answer, and only "not met": for what is seldom there and
    #: often cannot be looked for, such as a pacemaker. The report says that it was not looked for.
    untold: Literal["not met"] | None = None
    label: Text | None = None
    #: Leads with cut-offs of their own.
    by_lead: tuple[LeadCutoff, ...] = Field((), alias="in")

    def cases(self, lead: str = "") -> tuple[Case, ...]:
        """The cut-offs by patient in one lead; one for all where they do not differ."""
        return self._cases.get(lead) or self._cases[""]

    @cached_property
    def _cases(self) -> dict[str, tuple[Case, ...]]:
        def cases(cutoff: float | tuple[Case, ...]) -> tuple[Case, ...]:
            return cutoff if isinstance(cutoff, tuple) else (Case(cutoff=cutoff),)

        own = {lead: cases(group.cutoff) for group in self.by_lead for lead in group.leads}
        return {"": cases(self.cutoff), **own}

    @model_validator(mode="after")
    def _covers_everybody_once(self) -> Self:
        for lead in ("", *STANDARD_LEADS):
            _check_cases(self.cases(lead))
        return self


class Wave(_Strict):
    """Whether the thing a measurement is of is there at all."""

    wave: Measure
    is_: Literal["present", "absent"] = Field(alias="is")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {**data, "wave": _full(data["wave"])} if isinstance(data, dict) and "wave" in data else data


class All(_Strict):
    """All of them."""

    all: tuple[Criterion, ...] = Field(min_length=1)
    label: Text | None = None


class AnyOf(_Strict):
    """At least one of them."""

    any: tuple[Criterion, ...] = Field(min_length=1)
    label: Text | None = None


class Count(_Strict):
    """At least ``count`` of them."""

    among: tuple[Criterion, ...] = Field(min_length=2)
    count: int = Field(ge=2)
    label: Text | None = None


class Weighted(_Strict):
    """One entry of a point score."""

    points: int = Field(ge=1)
    when: Criterion


class Score(_Strict):
    """At least so many points."""

    score: tuple[Weighted, ...] = Field(min_length=2)
    points: int = Field(ge=1)
    label: Text


class Not(_Strict):
    """The opposite."""

    negated: Criterion = Field(alias="not")


class Leads(_Strict):
    """``hold``, written for the lead ``*``, in all, any, so many, or so many contiguous ones of ``leads``.

    Contiguous are neighbours in the order in which ``leads`` names them.
    """

    leads: tuple[str, ...] = Field(min_length=1)
    need: Literal["all", "any"] | int
    contiguous: bool = False
    hold: Criterion
    label: Text

    @model_validator(mode="after")
    def _leads_fit(self) -> Self:
        if unknown := [lead for lead in self.leads if lead not in STANDARD_LEADS]:
            raise ValueError(f"no standard leads: {', '.join(unknown)}")
        if isinstance(self.need, int) and not 1 <= self.need <= len(self.leads):
            raise ValueError(f"{self.need} of {len(self.leads)} leads")
        return self

    @property
    def count(self) -> int:
        """How many leads must hold."""
        return {"all": len(self.leads), "any": 1}[self.need] if isinstance(self.need, str) else self.need


class Other(_Strict):
    """What came of another rule."""

    rule: str


_KINDS: Final = ("all", "any", "among", "score", "not", "leads", "value", "wave", "rule")


def _criterion_kind(node: Any) -> str | None:
    if isinstance(node, Not):
        return "not"
    if isinstance(node, dict):
        return next((kind for kind in _KINDS if kind in node), None)
    return next((kind for kind in _KINDS if kind in type(node).model_fields), None)


Criterion = Annotated[
    Annotated[All, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[Count, Tag("among")]
    | Annotated[Score, Tag("score")]
    | Annotated[Not, Tag("not")]
    | Annotated[Leads, Tag("leads")]
    | Annotated[Compare, Tag("value")]
    | Annotated[Wave, Tag("wave")]
    | Annotated[Other, Tag("rule")],
    Discriminator(
        _criterion_kind,
        custom_error_type="criterion",
        custom_error_message=f"has none of the keys {', '.join(_KINDS)}",
    ),
]


class Reference(_Strict):
    """One publication."""

    text: str = Field(min_length=10)
    doi: str = ""


class Source(_Strict):
    """Where the criteria are from.

    ``checked`` says against what they were read: the primary text, another text that quotes it, or not at all, only
    remembered. ``remark`` says where the rule had to be more exact than its source, or differs from it.
    """

    ref: str
    section: str = Field(min_length=1)
    checked: Literal["primary", "secondary", "memory"]
    remark: str = ""


class Rule(_Strict):
    """One finding and its criteria.

    ``statements`` are the codes it speaks for when met. ``excluded_by``: while one of these holds, the criteria do
    not apply and the rule is not evaluable. ``contradicts``: findings that cannot be true beside it. ``decides``:
    whether "not met" speaks against its statements, as it does for a definition and not for an insensitive sign.
    ``consider``: never more than a thing to think of. ``reported``: a finding of its own, not a part of others.
    ``age_from``: the criteria are those of adults; younger patients are not evaluable, an unknown age is an adult's.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    statements: tuple[str, ...] = ()
    snomed_ct: str = Field("", pattern=r"^\d*$")
    name: Text
    urgency: Urgency
    evidence: Literal["definition", "guideline", "consensus", "study", "expert"]
    source: Source
    criteria: Criterion
    excluded_by: tuple[Criterion, ...] = ()
    contradicts: tuple[str, ...] = ()
    decides: bool = False
    consider: bool = False
    reported: bool = True
    #: Rules that say the same and more: while one of them is met, the report leaves this one out.
    implied_by: tuple[str, ...] = ()
    age_from: int = Field(16, ge=0)


class RuleFile(_Strict):
    """One file of rules."""

    rules: tuple[Rule, ...] = Field(min_length=1)


for _model in (Formula, Compare, All, AnyOf, Count, Weighted, Score, Not, Leads, Rule, RuleFile):
    _model.model_rebuild()
