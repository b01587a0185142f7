"""The figures that a card carries: fold 9 always, its robustness and LUDB where they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cardiomesh.cards import Metric, ModelCard
from export.training.ptbxl import Records, read_microvolts
from export.training.settings import VALIDATION_FOLD
from export.validation.evaluate import Evaluation
from export.validation.report import Report, Spoilt, report_on
from export.validation.scoring import Scorer
from export.validation.sources import ludb_source, records_source

__all__ = ["External", "Measured", "measure"]


@dataclass(frozen=True, slots=True)
class External:
    """What is measured besides fold 9: the PTB-XL folder for robustness, the LUDB folder, or neither."""

    ptbxl: Path | None = None
    robust: bool = False
    ludb: Path | None = None
    #: Spoilt recordings, kept for the next model.
    spoilt: Spoilt = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """The report on fold 9, and LUDB's at its true amplitudes and as its headers scale it."""

    fold: Report
    ludb: tuple[Evaluation, ...] = ()


def _metrics(result: Evaluation, data: str, command: str) -> Iterable[Metric]:
    for name, row in result.summary.items():
        yield Metric(
            name=name, value=row["value"], low=row.get("low"), high=row.get("high"), data=data, command=command
        )
    for code, figures in result.classes.items():
        found = figures["auc"]
        if math.isfinite(found.value):
            rounded = found.as_dict()
            yield Metric(name=f"auc_{code}", **rounded, data=data, command=command)


def _changes(report: Report, data: str, command: str) -> Iterable[Metric]:
    for row in report.effects:
        if row.group:
            yield Metric(name=f"macro_auc_change: {row.condition}", **row.change.as_dict(), data=data, command=command)


def measure(card: ModelCard, model: Scorer, records: Records, external: External) -> tuple[ModelCard, Measured]:
    """The card with its metrics, and what they were taken from."""
    base = f"python -m export evaluate --model {card.name}"
    source = records_source(
        records.select((VALIDATION_FOLD,)),
        (VALIDATION_FOLD,),
        lambda: read_microvolts(external.ptbxl, records.select((VALIDATION_FOLD,)).table),
    )
    report = report_on(card, model, source, external.robust, external.spoilt)
    data = f"PTB-XL fold {VALIDATION_FOLD}, {report.evaluation.records} records"
    command = f"{base} --fold {VALIDATION_FOLD}"
    metrics = [*_metrics(report.evaluation, data, command), *_changes(report, data, f"{command} --robustness")]
    abroad = []
    for calibrated, option in ((True, " --calibrated"), (False, "")) if external.ludb else ():
        found = report_on(card, model, ludb_source(external.ludb, calibrated)).evaluation
        reading = "integers as microvolts" if calibrated else "scaled as in its headers"
        metrics += _metrics(found, f"LUDB, {found.records} records, {reading}", f"{base} --ludb{option}")
        abroad.append(found)
    measured = Measured(report, tuple(abroad))
    return card.model_copy(update={"metrics": (*card.metrics, *metrics)}), measured
