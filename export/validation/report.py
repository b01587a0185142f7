"""``python -m export evaluate``: published versions on PTB-XL folds or LUDB, in this process or through Triton."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from cardiomesh.cards import CARD_FILE, ModelCard, load_card
from export.errors import DataError, WorkshopError
from export.publishing.repository import versions
from export.training.labels import SUPERCLASSES, LabelSpace, targets
from export.training.ludb import load_ludb
from export.training.ptbxl import default_data_folder, load_ptbxl
from export.validation.evaluate import Evaluation, evaluate
from export.validation.scoring import Scorer, TritonModel, open_model, probabilities

__all__ = ["Served", "evaluate_published"]

Array = npt.NDArray[Any]


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


def _card(repository: Path, name: str, version: int | None) -> ModelCard:
    published = versions(repository, name)
    if not published or (version is not None and version not in published):
        have = ", ".join(map(str, published)) or "none"
        raise WorkshopError(f"{repository} holds no such version of {name} (it has: {have})")
    return load_card(repository / name / str(version or published[-1]) / CARD_FILE)


def _space(card: ModelCard) -> LabelSpace:
    heads = {head.output: tuple(s.code for s in head.classes) for head in card.heads}
    return LabelSpace(heads=heads, auxiliary={}, positives={})


def _ptbxl(
    data: Path | None, folds: tuple[int, ...], runs: Path, card: ModelCard
) -> tuple[Array, dict[str, Array], Array, str]:
    records = load_ptbxl(data, cache=runs / "cache").select(folds)
    truth = targets(records, _space(card))
    served = {head.output: truth[head.output] for head in card.heads}
    label = f"PTB-XL fold {', '.join(map(str, folds))} ({len(records)} records)"
    return np.array(records.signals), served, records.table["patient_id"].to_numpy(), label


def _ludb(data: Path | None, calibrated: bool) -> tuple[Array, dict[str, Array], Array, str]:
    folder = data or default_data_folder()
    if folder is None:
        raise DataError("no folder was given: use --data or CARDIOMESH_DATA")
    signals, truth, ids = load_ludb(folder, calibrated)
    reading = "integers as microvolts" if calibrated else "as its headers scale it"
    return signals, {"statements": truth}, ids, f"LUDB ({len(ids)} records, {reading})"


def _print(console: Console, card: ModelCard, label: str, result: Evaluation) -> None:
    table = Table(title=f"{card.name} version {card.version} on {label}", title_justify="left")
    for column in ("class", "n", "AUC", "AP", "sens.", "spec.", "PPV", "NPV", "F1"):
        table.add_column(column, justify="left" if column == "class" else "right")
    keys = ("auc", "average_precision", "sensitivity", "specificity", "ppv", "npv", "f1")
    for code, row in result.classes.items():
        figures = ["–" if np.isnan(row[key]) else f"{row[key]:.3f}" for key in keys]
        table.add_row(code, str(int(row["positives"])), *figures)
    console.print(table)
    for name, row in result.summary.items():
        interval = f" (95 % {row['low']:.4f}-{row['high']:.4f})" if "low" in row else ""
        console.print(f"{name}: {row['value']:.4f}{interval}")
    if set(result.classes) == set(SUPERCLASSES):
        console.print("Superclasses only: this data set has no further statements.")


def evaluate_published(
    names: tuple[str, ...],
    data: Path | None,
    folds: tuple[int, ...],
    ludb: bool,
    calibrated: bool,
    version: int | None,
    served: Served,
    runs: Path,
    repository: Path,
    as_json: bool,
) -> None:
    """Print one table per model, or one JSON object for all; no name means every model that has a card."""
    if not names:
        names = tuple(sorted({path.parents[1].name for path in repository.glob(f"*/[1-9]*/{CARD_FILE}")}))
    if not names:
        raise WorkshopError(f"{repository} holds no published model")
    console, answer = Console(), dict[str, Any]()
    # Everything that can be wrong with the request is found before a server is started for it.
    cards = [_card(repository, name, version) for name in names]
    sets = [_ludb(data, calibrated) if ludb else _ptbxl(data, folds, runs, card) for card in cards]
    with served.scorers(repository) as scorer:
        for card, (signals, truth, patients, label) in zip(cards, sets, strict=True):
            model = scorer(card)
            result = evaluate(card, probabilities(card, model.logits(signals)), truth, patients)
            through = "ONNX Runtime" if served.offline else "Triton"
            answer[card.name] = {
                "version": card.version,
                "data": label,
                "through": through,
                **result.as_dict(),
            }
            if not as_json:
                _print(console, card, f"{label} through {through}", result)
    if as_json:
        print(json.dumps(answer, indent=1, allow_nan=True))
