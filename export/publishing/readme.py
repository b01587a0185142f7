"""The card a clinician reads, made from the card a machine reads."""

from __future__ import annotations

from cardiomesh.cards import ModelCard
from export.validation.evaluate import Evaluation

__all__ = ["model_readme"]


def _figure(row: dict[str, float]) -> str:
    interval = f" ({row['low']:.3f}-{row['high']:.3f})" if "low" in row else ""
    return f"{row['value']:.3f}{interval}"


def _class_table(card: ModelCard, result: Evaluation) -> list[str]:
    lines = [
        "| code | finding | achado | SNOMED CT | urgency | threshold | positives | AUC | sens. | spec. | PPV | NPV |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for s in card.statements:
        row = result.classes[s.code]
        cells = [row[k] for k in ("auc", "sensitivity", "specificity", "ppv", "npv")]
        figures = " | ".join("–" if c != c else f"{c:.2f}" for c in cells)  # NaN
        lines.append(
            f"| {s.code} | {s.name} | {s.name_pt} | {s.snomed_ct or ''} | {s.urgency.value} | {s.threshold:.3f} "
            f"| {int(row['positives'])} | {figures} |"
        )
    return lines


def model_readme(card: ModelCard, result: Evaluation, external: tuple[Evaluation, ...] = ()) -> str:
    """Markdown for ``model_repository/NAME/README.md``."""
    explained = f"{card.attribution}/"
    size = sum(a.bytes for key, a in card.artifacts.items() if not key.startswith(explained))
    lines = [
        f"# {card.name}, version {card.version}",
        "",
        card.description,
        "",
        f"**Research use, not cleared.** {card.intended_use}",
        "",
        f"- Network: {card.architecture.family}, {card.architecture.parameters:,} trainable parameters, "
        f"{size / 1e6:.1f} MB (weights FP16, arithmetic FP32).",
        f"- Input: float32 [batch, 12, {card.input.samples}], {card.input.unit}, {card.input.sampling_rate_hz:.0f} Hz, "
        f"leads {' '.join(card.input.leads)}; conditioning `{card.input.preprocessing_version}`.",
        "- Output: independent probabilities (several findings may be true); each head's logits are divided by its "
        f"temperature ({', '.join(f'{h.output} {h.temperature:.2f}' for h in card.heads)}) before the sigmoid.",
        f"- Data: {card.data.name}, folds {card.data.training_folds[0]}-{card.data.training_folds[-1]} for training, "
        f"fold {card.data.calibration_folds[0]} for selection, temperatures, thresholds and the figures below; fold 10 "
        "was never seen. No patient is in two folds.",
        f"- Explanations: `{card.attribution}`." if card.attribution else "- Explanations: none are served.",
        "",
        "## Measured",
        "",
        "Value and 95 % interval (bootstrap by patient, 1,000 draws). Fold 9 chose the thresholds and, between runs, "
        "the network; its figures are therefore slightly hopeful.",
        "",
        "| figure | fold 9 | LUDB (external, 100 records) | LUDB as its headers scale it |",
        "|---|---|---|---|",
    ]
    for name, row in result.summary.items():
        rows = [part.summary.get(name) for part in external]
        figures = [_figure(other) if other else "–" for other in rows] or ["–", "–"]
        lines.append(f"| {name} | {_figure(row)} | {' | '.join(figures)} |")
    lines += [
        "",
        f"`python -m export evaluate --model {card.name} --fold 9`, `… --ludb --calibrated` and `… --ludb` print them.",
        "LUDB's headers scale every lead to a range of 1 mV; its integers, as microvolts, have the true amplitudes.",
        "",
    ]
    if external:
        lines += [
            "LUDB per superclass (AUC): "
            + ", ".join(
                f"{code} {row['auc']:.3f} ({int(row['positives'])} positives)"
                for code, row in external[0].classes.items()
            )
            + ". Its HYP labels are liberal, and only 4 of its first 100 recordings are normal.",
            "",
        ]
    lines += ["## Classes (fold 9)", "", *_class_table(card, result), "", "## Limits", ""]
    lines += [f"- {limit}" for limit in card.limits]
    lines += [
        "",
        "## Credit",
        "",
        f"Trained on PTB-XL ({card.data.licence}): {card.data.citation}",
        "External test on LUDB (ODC-By 1.0): Kalyakulina AI et al., LUDB: a new open-access validation tool for "
        "electrocardiogram delineation algorithms. IEEE Access 8:186181 (2020).",
        "",
    ]
    return "\n".join(lines)
