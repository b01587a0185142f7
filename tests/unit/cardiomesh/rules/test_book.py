"""The rule files: complete, well referenced, free of words that must not be emitted; and what a wrong file says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from cardiomesh.rules import RuleBook, RuleFileError, load_rules
from cardiomesh.rules.book import BOOK
from tests.unit.cardiomesh.rules.conftest import Values

#: AHA/ACCF/HRS 2009 part III advises against these in automated reports; the others no ECG can tell.
FORBIDDEN = re.compile(
    r"trifascicular|bifascicular|brugada|unstable angina|angina inst|NSTEMI|non-ST|pulmonary embol|embolia pulmonar",
    re.IGNORECASE,
)


def test_what_the_rules_use_is_measured_in_that_unit(book: RuleBook, normal: Values) -> None:
    for key, label in book.labels.items():
        if key == "patient.age":
            continue
        units = {value.unit for (name, _), value in normal.items() if name == key}
        assert units == {label.unit}, key


def test_what_is_measured_on_some_leads_names_them(book: RuleBook) -> None:
    for key, label in book.labels.items():
        if key.startswith(("voltages.", "axis.")):
            assert label.leads, key


def test_every_statement_the_issue_names_has_a_rule(book: RuleBook) -> None:
    codes = {code for rule in book.rules for code in rule.statements}
    assert codes >= {
        "1AVB", "2AVB", "3AVB", "AFIB", "AFLT", "CLBBB", "CRBBB", "EL", "ILBBB", "INVT", "IRBBB", "IVCD", "LAFB",
        "LAO/LAE", "LNGQT", "LPFB", "LVH", "LVOLT", "PAC", "PACE", "PVC", "QWAVE", "RAO/RAE", "RVH", "SBRAD", "STACH",
        "STD_", "SVTAC", "WPW",
    }  # fmt: skip


def test_no_forbidden_word_can_be_emitted(book: RuleBook) -> None:
    for rule in book.rules:
        for text in (rule.name.en, rule.name.pt):
            assert not FORBIDDEN.search(text), rule.id
    for label in book.labels.values():
        assert not FORBIDDEN.search(label.en + label.pt)


def test_every_rule_says_where_it_is_from(book: RuleBook) -> None:
    for rule in book.rules:
        assert book.references[rule.source.ref].text
        assert rule.name.en != rule.name.pt or "QTc" in rule.name.en, rule.id
    used = {rule.source.ref for rule in book.rules}
    assert used == set(book.references), "a publication that no rule is from"


RULE = """
rules:
  - id: one
    name: {en: One, pt: Um}
    urgency: routine
    evidence: guideline
    source: {ref: aha2009_iii, section: "1", checked: memory}
    criteria: CRITERIA
"""


@pytest.mark.parametrize(
    ("criteria", "words"),
    [
        ("{value: intervals.rr, is: '>', than: 1, unit: ms}", "no measurement 'intervals.rr'"),
        ("{value: intervals.pr, is: '>', than: 1, unit: s}", "a cut-off in s for a value in ms"),
        ("{value: intervals.pr, is: '=', than: 1, unit: ms}", "criteria.value.is"),
        ("{value: intervals.pr, is: '>', than: high, unit: ms}", "criteria.value.than"),
        ("{value: intervals.pr, is: '>', than: [{sex: male, cutoff: 2}], unit: ms}", "0 numbers for a patient"),
        ("{value: lead.q, is: '>', than: 1, unit: mV}", "a lead is named exactly when"),
        ("{value: lead.q V9, is: '>', than: 1, unit: mV}", "'V9' is no standard lead"),
        ("{value: lead.q *, is: '>', than: 1, unit: mV}", "which lead?"),
        ("{wave: lead.q V1, is: there}", "criteria.wave.is"),
        ("{rule: two}", "no rule 'two'"),
        ("{rule: one}", "refers to itself"),
        ("{every: []}", "has none of the keys"),
        ("{all: []}", "criteria.all.all"),
        (
            "{value: {formula: sum, of: [lead.q V1, intervals.pr]}, is: '>', than: 1, unit: mV}",
            "sum of mV and ms",
        ),
        ("{__import__('os'): 1}", "has none of the keys"),
        ("[", "line"),
    ],
)
def test_a_wrong_rule_file_is_one_clear_line(tmp_path: Path, criteria: str, words: str) -> None:
    for name in ("labels.yaml", "sources.yaml"):
        shutil.copy(BOOK / name, tmp_path)
    (tmp_path / "mine.yaml").write_text(RULE.replace("CRITERIA", criteria))
    with pytest.raises(RuleFileError, match=re.escape(words)) as caught:
        load_rules(tmp_path)
    assert str(caught.value).startswith("mine.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_folder_without_rules_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="holds no rules"):
        load_rules(tmp_path)


def test_the_digest_is_that_of_the_files(tmp_path: Path, book: RuleBook) -> None:
    shutil.copytree(BOOK, tmp_path / "copy")
    assert load_rules(tmp_path / "copy").digest == book.digest
    shutil.copytree(BOOK, tmp_path / "other")
    with (tmp_path / "other" / "labels.yaml").open("a") as file:
        file.write("# a remark\n")
    assert load_rules(tmp_path / "other").digest != book.digest
