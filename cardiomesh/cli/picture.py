"""An answer of the mesh as a clinical sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cardiomesh import report
from cardiomesh.cards import Urgency
from cardiomesh.cli.picture_methods import METHOD_NAMES, methods_panel
from cardiomesh.cli.picture_rules import rules_panel
from cardiomesh.cli.show_decision import sent_before
from cardiomesh.cli.show_routing import routing_words
from cardiomesh.client import Analysis, Explanation
from cardiomesh.errors import InvalidRequest
from cardiomesh.language import Language, quality_reason

__all__ = ["draw"]


def draw(path: Path, title: str, result: Analysis, why: Explanation, language: Language) -> None:
    """Write the sheet of one answer; ``result`` must carry its signal."""
    if result.signal is None:
        raise InvalidRequest.field("signal", "the answer carries no signal to draw", "MISSING")
    info = result.recording
    sex: Literal["female", "male"] | None = None
    if info.sex in ("female", "male"):
        sex = "female" if info.sex == "female" else "male"
    sheet = report.Sheet(
        signal=result.signal.millivolts,
        sampling_rate=result.signal.sampling_rate,
        leads=result.signal.leads,
        heading=report.Heading(
            title=title,
            device=" ".join(part for part in (info.manufacturer, info.device) if part),
            acquired_at=info.acquired_at,
            age_years=info.age_years,
            sex=sex,
            measurements=_measurements(result, language),
        ),
        model=report.ModelLabel(result.model.name, result.model.version, result.preprocessing_version),
        findings=tuple(
            report.SheetFinding(
                f.code,
                f.name if language == "en" else f.name_pt,
                f.probability,
                f.threshold,
                f.present,
                Urgency(f.urgency),
                f.outcome == "uncertain",
            )
            for f in result.findings
        ),
        decision=_decision(result, language),
        quality=report.SheetQuality(
            report.Grade(result.quality.grade if result.quality.grade != "REJECT" else "reject"),
            result.quality.score,
            tuple(
                report.LeadQuality(
                    q.lead,
                    report.Grade(q.grade if q.grade != "REJECT" else "reject"),
                    tuple(quality_reason(r.code, r.message, language) for r in q.reasons),
                )
                for q in result.quality.leads
            ),
            tuple(quality_reason(r.code, r.message, language) for r in result.quality.reasons),
        ),
        attribution=_evidence(why, language),
        rules=_rules(why, result, language),
        methods=methods_panel(why, _explained(why), language),
        from_cache=result.from_cache,
        footnotes=_footnotes(result, language),
        language=language,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    report.save_sheet(sheet, path)


def _decision(result: Analysis, language: Language) -> report.SheetDecision | None:
    """What a human must look at; what is critical is told apart from what is merely doubtful."""
    decision = result.decision
    if decision is None:
        return None
    shifts = dict.fromkeys(shift.text[language] for f in result.present for shift in f.shifts)
    return report.SheetDecision(
        critical=tuple(r.text[language] for r in decision.reasons if r.code == "CRITICAL_FINDING"),
        reasons=tuple(r.text[language] for r in decision.reasons if r.code != "CRITICAL_FINDING"),
        order=decision.order,
        shifts=tuple(shifts),
    )


def _footnotes(result: Analysis, language: Language) -> tuple[str, ...]:
    """What is special about the answer."""
    routed = (routing_words(result.routing, language),) if result.routing else ()
    same = result.near_duplicate
    return (*routed, sent_before(same, language)) if same is not None and same.result_id else routed


def _rules(why: Explanation, result: Analysis, language: Language) -> report.RulesPanel | None:
    """The rules on the finding that was explained."""
    if why.rules is None:
        return None
    finding = next((f for f in result.findings if f.code == _explained(why)), None)
    if finding is None:
        return rules_panel(why.rules, "", "", language)
    return rules_panel(why.rules, finding.code, finding.name if language == "en" else finding.name_pt, language)


def _explained(why: Explanation) -> str:
    """The first finding that was to be explained."""
    codes = [part.finding_code for part in (*why.attributions, *why.limes, *why.missing) if part.finding_code]
    codes += [agreement.finding_code for agreement in why.rules.agreements] if why.rules is not None else []
    return codes[0] if codes else ""


def _measurements(result: Analysis, language: Language) -> str:
    """What carts print above the tracing: rate, PR, QRS, QT/QTc (Fridericia), QRS axis; a dash where there is none."""
    values = {found.key: found.value for found in result.measurements if not found.lead}
    if not values:
        return ""

    def number(key: str) -> str:
        value = values.get(key)
        return "–" if value is None else f"{value:.0f}"

    rate, axis = ("HR", "axis") if language == "en" else ("FC", "eixo")
    corrected = f"{number('intervals.qt')}/{number('intervals.qtc_fridericia')}"
    return (
        f"{rate} {number('rhythm.heart_rate')}/min · PR {number('intervals.pr')} · QRS {number('intervals.qrs')} · "
        f"QT/QTcF {corrected} ms · {axis} {number('axis.qrs')}°"
    )


def _evidence(why: Explanation, language: Language) -> report.Attribution | None:
    """The first attribution by lead, all windows on one time axis; where windows overlap, contributions add up."""
    part = next((part for part in why.attributions if part.leads), None)
    if part is None:
        return None
    rate = part.sampling_rate
    samples = round((max(part.window_starts) - min(part.window_starts)) * rate) + part.values.shape[-1]
    first = min(part.window_starts)
    label = f"{part.finding_code} · {METHOD_NAMES[language][part.method]} · {part.model.name} v{part.model.version}"
    return report.Attribution(part.at(rate, samples, first), rate, label, start=first, meaning="support")
