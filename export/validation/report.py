"""``python -m export evaluate``: published versions on PTB-XL folds or LUDB, in this process or through Triton."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import CARD_FILE, ModelCard, load_card
from export.calibration.heads import card_space, cross_fitted, judge
from export.errors import WorkshopError
from export.publishing.repository import newest_folder
from export.training.labels import SUPERCLASSES
from export.validation.evaluate import Evaluation, evaluate
from export.validation.plot import reliability_plot
from export.validation.robustness import Effect, robustness
from export.validation.scoring import Scorer, TritonModel, open_model
from export.validation.sources import Source, ludb_source, ptbxl_source
from export.validation.subgroups import Subgroup, subgroups
from export.validation.tables import print_effects, print_evaluation, print_subgroups, report_console

__all__ = ["Question", "Report", "Served", "Spoilt", "evaluate_published", "report_on"]

Spoilt = dict[str, tuple[npt.NDArray[np.float32], float]]


@dataclass(frozen=True, slots=True)
class Served:
    """Where the answers come from: this process, a Triton that runs, or an embedded one started for the purpose."""

    offline: bool = False
    triton: str | None = None

    @contextmanager
    def scorers(self, repository: Path) -> Iterator[Callable[[ModelCard], Scorer]]:
        """A function from a card to something that answers for it."""
        if self.offline:
            yield lambda card: open_model(repository, card)
        elif self.triton is not None:
            address = self.triton
            yield lambda card: TritonModel(address, card)
        else:
            from cardiomesh.local import Mesh

            with (
                tempfile.TemporaryDirectory(prefix="cardiomesh-evaluate-") as folder,
                Mesh(repository, directory=Path(folder), parts=["triton"]) as mesh,
            ):
                started = mesh.addresses.triton
                yield lambda card: TritonModel(started, card)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be evaluated, and how the answer is given."""

    names: tuple[str, ...] = ()
    data: Path | None = None
    folds: tuple[int, ...] = (9,)
    ludb: bool = False
    #: Read LUDB's integers as microvolts instead of trusting its headers.
    calibrated: bool = False
    version: int | None = None
    robust: bool = False
    #: Folder for reliability plots.
    plots: Path | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Report:
    """Everything measured about one version on one source."""

    evaluation: Evaluation
    subgroups: list[Subgroup] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **self.evaluation.as_dict(),
            "subgroups": [row.as_dict() for row in self.subgroups],
            "robustness": [row.as_dict() for row in self.effects],
        }


def report_on(
    card: ModelCard, model: Scorer, source: Source, robust: bool = False, spoilt: Spoilt | None = None
) -> Report:
    """Measure one version; ``spoilt`` keeps the robustness tensors for the next one."""
    logits, truth = model.logits(source.signals), source.truth(card)
    training, crossed = source.calibrated_on(card), None
    if training is not None:
        crossed = cross_fitted(card_space(card), logits, truth, source.patients, training)
    result = evaluate(card, logits, truth, source.patients, crossed=crossed)
    groups: list[Subgroup] = []
    effects: list[Effect] = []
    count = len(SUPERCLASSES)
    y = truth[card.heads[0].output][:, :count]
    if source.table is not None:
        served = judge(card.heads, logits)
        score, called = served.probability[:, :count], (crossed or served).called[:, :count]
        groups = subgroups(source.table, y, score, called, source.patients)
    if robust:
        if source.microvolts is None:
            raise WorkshopError("robustness is measured on PTB-XL")
        kept = {} if spoilt is None else spoilt
        effects = robustness(card, model, source.microvolts(), y, source.patients, kept)
    return Report(result, groups, effects)


def evaluate_published(question: Question, served: Served, runs: Path, repository: Path) -> None:
    """Print one table per model, or one JSON object for all; no name means every model that has a card."""
    names = question.names or tuple(sorted({path.parents[1].name for path in repository.glob(f"*/[1-9]*/{CARD_FILE}")}))
    if not names:
        raise WorkshopError(f"{repository} holds no published model")
    # Everything that can be wrong with the request is found before a server is started for it.
    cards = [load_card(newest_folder(repository, name, question.version) / CARD_FILE) for name in names]
    if question.ludb:
        source = ludb_source(question.data, question.calibrated)
    else:
        source = ptbxl_source(question.data, question.folds, runs / "cache", progress=not question.as_json)
    if question.robust and source.microvolts is None:
        raise WorkshopError("robustness is measured on PTB-XL")
    console, answer = report_console(), dict[str, Any]()
    spoilt: Spoilt = {}
    through = "ONNX Runtime" if served.offline else "Triton"
    with served.scorers(repository) as scorer:
        for card in cards:
            report = report_on(card, scorer(card), source, question.robust, spoilt)
            answer[card.name] = {
                "version": card.version,
                "data": source.label,
                "through": through,
                **report.as_dict(),
            }
            if question.plots is not None:
                path = question.plots / f"reliability-{card.name}.png"
                reliability_plot(path, f"{card.name} version {card.version}, {source.label}", report.evaluation.bins)
                answer[card.name]["reliability_plot"] = str(path)
            if not question.as_json:
                print_evaluation(console, card, f"{source.label} through {through}", report.evaluation)
                if report.subgroups:
                    print_subgroups(console, report.subgroups)
                if report.effects:
                    print_effects(console, report.effects)
    if question.as_json:
        print(json.dumps(answer, indent=1, allow_nan=False))
