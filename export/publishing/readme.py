"""The card a clinician reads, made from the card a machine reads and from what was measured. One template for all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from cardiomesh.cards import ModelCard
from export.publishing.measure import Measured
from export.validation.evaluate import Evaluation, beta_of
from export.validation.metrics import Interval
from export.validation.robustness import Effect
from export.validation.subgroups import Subgroup

__all__ = ["model_readme"]

#: Rows of the summary, as a reader calls them.
_SUMMARY = {
    "superclass_macro_auc": "macro-AUC, five superclasses",
    "statements_macro_auc": "macro-AUC, further statements",
    "rhythm_macro_auc": "macro-AUC, rhythms",
    "superclass_ece": "calibration error (ECE), superclasses pooled, 10 equal-mass bins",
    "superclass_ece_floor": "– the same for perfect probabilities, by chance alone",
    "superclass_ece_per_class": "calibration error, mean over the superclasses",
    "superclass_ece_per_class_floor": "– the same for perfect probabilities, by chance alone",
    "conformal_coverage": "prediction sets that hold the truth, superclasses",
    "conformal_coverage_present": "– where the finding is present",
    "conformal_coverage_absent": "– where it is absent",
    "conformal_uncertain": "prediction sets that are uncertain (hold both)",
}


def _figure(row: dict[str, float] | None) -> str:
    if row is None:
        return "–"
    return f"{row['value']:.3f}" + (f" ({row['low']:.3f}-{row['high']:.3f})" if "low" in row else "")


def _short(figure: Interval) -> str:
    return "–" if math.isnan(figure.value) else f"{figure.value:.2f} ({figure.low:.2f}-{figure.high:.2f})"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    headings = tuple(headings)
    yield f"| {' | '.join(headings)} |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _identity(card: ModelCard) -> Iterator[str]:
    explained = f"{card.attribution}/"
    size = sum(a.bytes for key, a in card.artifacts.items() if not key.startswith(explained))
    precision = next(iter(card.artifacts.values())).precision if card.artifacts else "unknown"
    yield (
        f"- Network: {card.architecture.family}, {card.architecture.parameters:,} parameters, {size / 1e6:.1f} MB "
        f"({precision})."
    )
    yield (
        f"- Input: float32 [batch, 12, {card.input.samples}], {card.input.unit}, {card.input.sampling_rate_hz:.0f} Hz, "
        f"leads {' '.join(card.input.leads)}; conditioning `{card.input.preprocessing_version}`. Recordings of 9.8 to "
        "60 s; longer than 10 s is cut into windows, shorter is refused."
    )
    yield "- Output: independent probabilities; several findings may be true at once."
    yield f"- Explanations: `{card.attribution}`." if card.attribution else "- Explanations: none are served."


def _data(card: ModelCard) -> Iterator[str]:
    folds = card.data.training_folds
    yield f"- Training: {card.data.name}, folds {folds[0]}-{folds[-1]}: {card.data.training_records:,} recordings."
    count = f"{card.calibration.records:,} recordings" if card.calibration else "recordings not counted"
    yield (
        f"- Fold {card.data.calibration_folds[0]} ({count}): choice between runs, calibration, thresholds, prediction "
        "sets and the figures below. Whatever was chosen on it is judged by cross-fitting: each recording by what the "
        "other patients' recordings taught."
    )
    yield "- Fold 10 was never seen. No patient is in two folds. LUDB: external test only."


def _measured(card: ModelCard, measured: Measured) -> Iterator[str]:
    columns = [measured.fold.evaluation, *measured.ludb]
    headings = ["figure", "fold 9", *("LUDB, true amplitudes", "LUDB, as its headers scale it")[: len(measured.ludb)]]
    yield "Value and 95 % interval (bootstrap by patient, 1,000 draws)."
    yield ""
    rows = [
        [words, *(_figure(column.summary.get(name)) for column in columns)]
        for name, words in _SUMMARY.items()
        if name in columns[0].summary
    ]
    yield from _table(headings, rows)
    yield ""
    for metric in card.metrics:
        if metric.name.startswith(("parity_", "superclass_macro_auc_gain")):
            interval = f" ({metric.low:+.4f} to {metric.high:+.4f})" if metric.low is not None else ""
            yield f"- {metric.name}: {metric.value:+.4f}{interval}; {metric.data} (`{metric.command}`)"
    yield f"`python -m export evaluate --model {card.name} --fold 9` prints them, with `--robustness` the last table"
    yield "too, with `--ludb --calibrated` and `--ludb` those of LUDB."
    if measured.ludb:
        yield from ("", *_abroad(measured.ludb[0]))


def _abroad(ludb: Evaluation) -> Iterator[str]:
    each = ", ".join(
        f"{code} {figures['auc'].value:.3f} ({ludb.positives[code]} positives)"
        for code, figures in ludb.classes.items()
    )
    yield f"LUDB per superclass (AUC): {each}. Its HYP labels are liberal, and few of its recordings are normal."
    yield "Thresholds and probabilities do not transfer to it (see its calibration error): set your own."


def _classes(card: ModelCard, result: Evaluation) -> Iterator[str]:
    rows = []
    for s in card.statements:
        figures = result.classes[s.code]
        names = ("auc", "sensitivity", "specificity", "ppv", "npv", "f_beta")
        beta = "" if beta_of(s) == 1 else " (β 2)"
        limits = "–" if s.present_from is None else f"{s.absent_to:.3f} / {s.present_from:.3f}"
        cells = [_short(figures[name]) for name in names]
        cells[-1] += beta
        rows.append(
            [s.code, s.name, s.name_pt, s.snomed_ct or "", s.urgency.value, f"{s.threshold:.3f}", limits,
             str(result.positives[s.code]), *cells]
        )  # fmt: skip
    yield from _table(
        ["code", "finding", "achado", "SNOMED CT", "urgency", "threshold", "absent to / present from", "positives",
         "AUC", "sens.", "spec.", "PPV", "NPV", "Fβ"],
        rows,
    )  # fmt: skip


def _subgroups(rows: list[Subgroup]) -> Iterator[str]:
    yield "Means over the superclasses with at least five recordings of either outcome in the group. Groups under 20"
    yield "recordings are not judged. Compare intervals, not values: the groups differ in disease, too."
    yield ""
    cells = []
    for row in rows:
        figures = ["–"] * 3
        if row.macro_auc is not None:
            figures = [str(row.macro_auc), f"{row.sensitivity:.2f}", f"{row.specificity:.2f}"]
        cells.append([f"{row.by}: {row.group}", str(row.records), str(row.classes or "–"), *figures])
    yield from _table(["group", "records", "classes", "macro-AUC", "sens.", "spec."], cells)


def _robustness(rows: list[Effect]) -> Iterator[str]:
    yield "Fold 9, spoilt and sent the way of service. *refused*: the share that the preprocessor would not let"
    yield "through; the figures are over all recordings, refused or not."
    yield ""
    cells = [
        [row.condition, f"{row.refused:.0%}", f"{row.macro_auc:.3f}",
         f"{row.change.value:+.3f} ({row.change.low:+.3f} to {row.change.high:+.3f})",
         f"{row.flipped:.1%}", f"{row.moved:.3f}"]
        for row in rows
    ]  # fmt: skip
    yield from _table(
        ["condition", "refused", "macro-AUC", "change, paired", "calls turned over", "mean change of p"], cells
    )


def model_readme(card: ModelCard, measured: Measured) -> str:
    """Markdown for ``model_repository/NAME/README.md``."""
    fold = measured.fold
    calibration = card.calibration
    sections: list[tuple[str, Iterable[str]]] = [
        ("What it is", _identity(card)),
        ("Data", _data(card)),
        ("Measured", _measured(card, measured)),
    ]
    if calibration is not None:
        sections.append(
            (
                "Calibration and prediction sets",
                [
                    f"- Probabilities: {calibration.method} ({calibration.records:,} recordings).",
                    f"- Prediction sets: {calibration.conformal}, at {calibration.level:.0%}. Up to *absent to* the "
                    "set holds “absent”, from *present from* on “present”; both is uncertain, neither is untypical. Of "
                    f"the recordings with the finding, and of those without it, {calibration.level:.0%} keep their "
                    "truth in the set, on recordings like those of fold 9 and on no others.",
                    "- Thresholds: urgent findings at sensitivity 0.95 where specificity 0.80 allows it, others at the "
                    "largest F1 (`docs/decisions/models-thresholds.md`; each class's rule is in `card.json`).",
                ],
            )
        )
    sections.append(("Classes (fold 9)", _classes(card, fold.evaluation)))
    if fold.subgroups:
        sections.append(("Subgroups (fold 9)", _subgroups(fold.subgroups)))
    if fold.effects:
        sections.append(("Robustness (fold 9)", _robustness(fold.effects)))
    sections.append(("Limits", [f"- {limit}" for limit in card.limits]))
    sections.append(
        (
            "Credit",
            [
                f"Trained on PTB-XL ({card.data.licence}): {card.data.citation}",
                "External test on LUDB (ODC-By 1.0): Kalyakulina AI et al., LUDB: a new open-access validation tool "
                "for electrocardiogram delineation algorithms. IEEE Access 8:186181 (2020).",
            ],
        )
    )
    lines = [f"# {card.name}, version {card.version}", "", card.description, ""]
    lines += [f"**Research use, not cleared.** {card.intended_use}", ""]
    for title, body in sections:
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines)
