"""The rule files, read and checked once: every reference leads somewhere, every unit fits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from cardiomesh.ecg.statements import taxonomy
from cardiomesh.errors import CardioMeshError
from cardiomesh.rules.schema import (
    ANY_LEAD,
    All,
    AnyOf,
    Compare,
    Constant,
    Count,
    Criterion,
    Formula,
    Label,
    Leads,
    Measure,
    Not,
    Other,
    Reference,
    Rule,
    RuleFile,
    Score,
    Term,
    Text,
    Wave,
)

__all__ = ["BOOK", "RuleBook", "RuleFileError", "constants_of", "criteria_of", "load_rules", "parts_of", "terms_of"]

#: The published rules.
BOOK: Final = Path(__file__).parent / "criteria"
_LABELS: Final = "labels.yaml"
_SOURCES: Final = "sources.yaml"


class RuleFileError(CardioMeshError):
    """A rule file is wrong; says where, in one line."""

    status = "FAILED_PRECONDITION"
    reason = "BAD_RULE_FILE"


class RuleBook:
    """All rules in the order of their files, the names of the measurements, the publications, a digest of all."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        labels: Mapping[str, Label],
        references: Mapping[str, Reference],
        digest: str,
    ) -> None:
        self.rules = rules
        self.labels = labels
        self.references = references
        self.digest = digest
        #: What the criteria are in words, filled as they are first evaluated.
        self.texts: dict[tuple[object, ...], Text] = {}
        self._by_id = {rule.id: rule for rule in rules}

    def __getitem__(self, rule_id: str) -> Rule:
        return self._by_id[rule_id]

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self._by_id

    def unit(self, node: Term) -> str:
        """The unit a term comes in; ValueError where its parts do not fit together."""
        if isinstance(node, Measure):
            return self.labels[node.key].unit
        if isinstance(node, Constant):
            return node.unit
        units = [self.unit(part) for part in node.of]
        if node.formula == "product":
            return ".".join(units)
        if len(set(units)) > 1:
            raise ValueError(f"{node.formula} of {' and '.join(sorted(set(units)))}")
        return "1" if node.formula == "ratio" else units[0]


@lru_cache(maxsize=4)
def load_rules(folder: Path = BOOK) -> RuleBook:
    """Read, validate and cross-check every rule file of ``folder``; RuleFileError says what is wrong where."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.glob("*.yaml"))}
    if not {_LABELS, _SOURCES} < contents.keys():
        raise RuleFileError(f"{folder} holds no rules: {_LABELS}, {_SOURCES} and a file of rules are needed")
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + content for name, content in contents.items()))
    labels = _parsed(_LABELS, contents.pop(_LABELS), TypeAdapter(dict[str, Label]))
    references = _parsed(_SOURCES, contents.pop(_SOURCES), TypeAdapter(dict[str, Reference]))
    adapter = TypeAdapter(RuleFile)
    rules: list[tuple[str, Rule]] = []
    for name, content in contents.items():
        rules += [(name, rule) for rule in _parsed(name, content, adapter).rules]
    book = RuleBook(
        tuple(rule for _, rule in rules), MappingProxyType(labels), MappingProxyType(references), digest.hexdigest()
    )
    _check(rules, book)
    return book


def _parsed(name: str, content: bytes, adapter: TypeAdapter[Any]) -> Any:
    try:
        return adapter.validate_python(yaml.safe_load(content))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise RuleFileError(f"{name}: {where}{getattr(error, 'problem', None) or 'is not YAML'}") from None
    except ValidationError as error:
        # The deepest complaint is the one about the actual mistake.
        first = max(error.errors(include_url=False, include_context=False), key=lambda e: len(e["loc"]))
        where = ".".join(str(part) for part in first["loc"])
        raise RuleFileError(f"{name}: {where}: {first['msg'].removeprefix('Value error, ')}") from None


def parts_of(node: Criterion) -> tuple[Criterion, ...]:
    """The nodes right below one."""
    match node:
        case All():
            return node.all
        case AnyOf():
            return node.any
        case Count():
            return node.among
        case Score():
            return tuple(entry.when for entry in node.score)
        case Not():
            return (node.negated,)
        case Leads():
            return (node.hold,)
        case _:
            return ()


def criteria_of(node: Criterion) -> Iterator[Criterion]:
    """A node and everything below it."""
    yield node
    for part in parts_of(node):
        yield from criteria_of(part)


def terms_of(node: Term) -> Iterator[Measure]:
    """The measurements a term is made of."""
    if isinstance(node, Measure):
        yield node
    elif isinstance(node, Formula):
        for part in node.of:
            yield from terms_of(part)


def constants_of(node: Term) -> Iterator[Constant]:
    """What of a term depends on the patient."""
    if isinstance(node, Constant):
        yield node
    elif isinstance(node, Formula):
        for part in node.of:
            yield from constants_of(part)


def _check(rules: list[tuple[str, Rule]], book: RuleBook) -> None:
    seen: set[str] = set()
    for name, rule in rules:
        for problem in _problems(rule, book, seen):
            raise RuleFileError(f"{name}: {rule.id}: {problem}")
        seen.add(rule.id)
    for name, rule in rules:
        if rule.id in _reach(rule, book):
            raise RuleFileError(f"{name}: {rule.id}: refers to itself through other rules")


def _reach(rule: Rule, book: RuleBook) -> set[str]:
    """Ids of all rules that ``rule`` depends on, directly or through others."""
    found: set[str] = set()
    open_ids = _references(rule)
    while open_ids:
        rule_id = open_ids.pop()
        if rule_id not in found:
            found.add(rule_id)
            open_ids |= _references(book[rule_id])
    return found


def _references(rule: Rule) -> set[str]:
    nodes = [node for root in (rule.criteria, *rule.excluded_by) for node in criteria_of(root)]
    return {node.rule for node in nodes if isinstance(node, Other)}


def _problems(rule: Rule, book: RuleBook, seen: set[str]) -> Iterator[str]:
    if rule.id in seen:
        yield "is there twice"
    if rule.source.ref not in book.references:
        yield f"no source {rule.source.ref!r} in {_SOURCES}"
    for rule_id in rule.implied_by:
        if rule_id not in book:
            yield f"no rule {rule_id!r}"
    for code in (*rule.statements, *rule.contradicts):
        if code not in taxonomy():
            yield f"{code} is no statement of the taxonomy"
    for root in (rule.criteria, *rule.excluded_by):
        yield from _node_problems(root, book, inside_leads=False)


def _node_problems(node: Criterion, book: RuleBook, inside_leads: bool) -> Iterator[str]:
    match node:
        case Other() if node.rule not in book:
            yield f"no rule {node.rule!r}"
        case Compare():
            yield from _term_problems(node.value, book, inside_leads)
            if all(m.key in book.labels for m in terms_of(node.value)):
                try:
                    unit = book.unit(node.value)
                except ValueError as error:
                    yield str(error)
                else:
                    if unit != node.unit:
                        yield f"a cut-off in {node.unit} for a value in {unit}"
        case Wave():
            yield from _term_problems(node.wave, book, inside_leads)
        case _:
            for part in parts_of(node):
                yield from _node_problems(part, book, inside_leads or isinstance(node, Leads))


def _term_problems(node: Term, book: RuleBook, inside_leads: bool) -> Iterator[str]:
    for measure in terms_of(node):
        if measure.key not in book.labels:
            yield f"no measurement {measure.key!r} in {_LABELS}"
        if measure.lead == ANY_LEAD and not inside_leads:
            yield f"{measure.measure!r}: which lead? * is for leads: only"
