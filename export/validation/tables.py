"""Evaluations as a person reads them in a terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from cardiomesh.cards import ModelCard
from export.training.labels import SUPERCLASSES
from export.validation.evaluate import Evaluation, beta_of
from export.validation.metrics import CLASS_FIGURES, Interval
from export.validation.robustness import Effect
from export.validation.subgroups import Subgroup

__all__ = ["print_effects", "print_evaluation", "print_subgroups", "report_console"]

_WIDTH = 120
_HEADINGS = ("AUC", "AP", "sens.", "spec.", "PPV", "NPV", "Fβ")


def _cell(figure: Interval) -> str:
    return "–" if math.isnan(figure.value) else f"{figure.value:.3f}\n{figure.low:.2f}-{figure.high:.2f}"


def report_console() -> Console:
    """As wide as the terminal; wide enough for the tables where the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def print_evaluation(console: Console, card: ModelCard, label: str, result: Evaluation) -> None:
    """One row per class, 95 % intervals beneath the figures, then the summary."""
    table = _table(f"{card.name} version {card.version} on {label}", "class", "n", *_HEADINGS)
    betas = {s.code: beta_of(s) for s in card.statements}
    for code, row in result.classes.items():
        mark = "" if betas[code] == 1 else "*"
        table.add_row(code + mark, str(result.positives[code]), *(_cell(row[name]) for name in CLASS_FIGURES))
    console.print(table)
    console.print("* urgent: Fβ with β = 2; all others with β = 1.")
    if result.cross_fitted:
        console.print(
            "The card was calibrated on this fold: probabilities, calls and prediction sets were chosen anew by "
            "cross-fitting, so that no record is judged by what it chose itself."
        )
    for name, figure in result.summary.items():
        interval = f" (95 % {figure['low']:.4f}-{figure['high']:.4f})" if "low" in figure else ""
        console.print(f"{name}: {figure['value']:.4f}{interval}")
    if set(result.classes) == set(SUPERCLASSES):
        console.print("Superclasses only: this data set has no further statements.")


def print_subgroups(console: Console, rows: list[Subgroup]) -> None:
    """Means over the superclasses per group."""
    table = _table("Subgroups, superclasses", "group", "records", "classes", "macro-AUC (95 %)", "sens.", "spec.")
    for row in rows:
        figures = ("–", "–", "–")
        if row.macro_auc is not None:
            figures = (str(row.macro_auc), f"{row.sensitivity:.3f}", f"{row.specificity:.3f}")
        table.add_row(f"{row.by}: {row.group}", str(row.records), str(row.classes or "–"), *figures)
    console.print(table)


def print_effects(console: Console, rows: list[Effect]) -> None:
    """What each condition does."""
    table = _table(
        "Robustness, superclasses", "condition", "refused", "macro-AUC", "change (95 %)", "calls turned", "mean |Δp|"
    )
    for row in rows:
        change = f"{row.change.value:+.3f} ({row.change.low:+.3f} to {row.change.high:+.3f})"
        table.add_row(
            row.condition,
            f"{row.refused:.0%}",
            f"{row.macro_auc:.3f}",
            change,
            f"{row.flipped:.1%}",
            f"{row.moved:.3f}",
        )
    console.print(table)
    console.print("refused: the share that the preprocessor would not let through to the model.")
