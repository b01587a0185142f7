"""The parts of an explanation that ask the model, in the words and numbers of the page of reasons."""

from __future__ import annotations

from typing import Final

from cardiomesh import report
from cardiomesh.client import Counterfactual, Explanation, Lime, MovedMeasurement, Part
from cardiomesh.language import Language

__all__ = ["METHOD_NAMES", "methods_panel"]

_SEGMENTS: Final = {
    "en": {"P": "P wave", "PR": "PR segment", "QRS": "QRS", "ST": "ST segment", "T": "T wave", "TP": "baseline"},
    "pt": {"P": "onda P", "PR": "segmento PR", "QRS": "QRS", "ST": "segmento ST", "T": "onda T", "TP": "linha de base"},
}
METHOD_NAMES: Final = {
    "en": {
        "rules": "rules",
        "gradient_x_input": "gradient × input",
        "grad_cam": "Grad-CAM",
        "integrated_gradients": "integrated gradients",
        "lime": "LIME",
        "counterfactual": "counterfactual",
    },
    "pt": {
        "rules": "regras",
        "gradient_x_input": "gradiente × entrada",
        "grad_cam": "Grad-CAM",
        "integrated_gradients": "gradientes integrados",
        "lime": "LIME",
        "counterfactual": "contrafactual",
    },
}
#: Figures of trust that a reader of the sheet understands.
_FIGURES: Final = {"r2": "R²", "top5_jaccard": "top-5 Jaccard", "plausibility": "plausibility"}


def methods_panel(why: Explanation, finding: str, language: Language) -> report.MethodsPanel | None:
    """LIME, counterfactual and what is missing; None where no method but the rules was asked for."""
    lime = next(iter(why.limes), None)
    change = next(iter(why.counterfactuals), None)
    names = METHOD_NAMES[language]
    missing = tuple(f"{names.get(part.method, part.method)} — {part.text[language]}" for part in why.missing)
    if lime is None and change is None and not missing:
        return None
    return report.MethodsPanel(
        lime=_lime(lime, finding, language) if lime else None,
        change=_change(change, finding, language) if change else None,
        missing=missing,
    )


def _trust(part: Part) -> str:
    figures = [f"{_FIGURES[f.name]} {f.value:.2f}" for f in part.fidelity if f.name in _FIGURES and f.scope != "model"]
    return " · ".join([*figures, f"{part.model.name} v{part.model.version}"])


def _lime(part: Lime, finding: str, language: Language) -> report.LimePanel:
    bars = tuple(report.Bar(f"{_SEGMENTS[language][f.segment]} {', '.join(f.leads)}", f.weight) for f in part.features)
    own = [f for f in part.fidelity if f.scope == "explanation"]
    return report.LimePanel(finding, bars, part.summary[language], _trust(part), not all(f.passed for f in own))


def _change(part: Counterfactual, finding: str, language: Language) -> report.ChangePanel:
    beat = None
    if part.beat_before is not None and part.beat_after is not None:
        beat = report.BeatChange(part.beat_before, part.beat_after, part.sampling_rate)
    rows = tuple(_moved(m, language) for m in part.moved)
    return report.ChangePanel(finding, part.summary[language], beat, rows, _trust(part))


def _moved(m: MovedMeasurement, language: Language) -> report.MovedRow:
    """``QRS 96 → 120 ms``, ``axis QRS 30 → −12°``, ``T V5 0.31 → −0.05 mV``."""
    group, _, name = m.key.partition(".")
    name = name.replace("_prime", "′").replace("j60", "J + 60 ms").upper().replace("MS", "ms")
    if group == "axis":
        name = f"{'axis' if language == 'en' else 'eixo'} {name}"
    digits = 2 if m.unit == "mV" else 0
    unit = "°" if m.unit == "deg" else f" {m.unit}"
    values = f"{m.before:.{digits}f} → {m.after:.{digits}f}{unit}".replace("-", "−")
    return report.MovedRow(f"{name} {m.lead}".strip(), values if language == "en" else values.replace(".", ","))
