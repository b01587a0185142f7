"""Checkpoint → calibrated, exported, measured, published version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cardiomesh.cards import CARD_FILE, Artifact, load_card
from export.architectures import trainable_parameters
from export.architectures.served import served_network
from export.errors import ParityError
from export.formats.onnx import export_attribution, export_network
from export.publishing.card import calibrated_heads, draft_card
from export.publishing.gate import GateReport, accuracy_change, latency_ratio, neighbour_effect, pass_gate
from export.publishing.measure import measure
from export.publishing.readme import model_readme
from export.publishing.repository import (
    file_digest,
    install_version,
    next_version,
    staging,
    versions,
    write_text,
)
from export.publishing.triton import attribution_config, prediction_config
from export.training.checkpoint import load_network
from export.training.labels import SUPERCLASSES, LabelSpace, targets
from export.training.ptbxl import Records
from export.training.settings import TRAINING_FOLDS, VALIDATION_FOLD
from export.validation.scoring import OnnxModel

__all__ = ["publish"]


def publish(
    name: str,
    checkpoint: Path,
    records: Records,
    repository: Path,
    ludb: Path | None = None,
    attribution: bool = True,
    version: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Publish a checkpoint as a new version of ``name`` (and of ``name_attribution``); returns the version's folder."""
    trained, space = load_network(checkpoint)
    network = served_network(trained)
    validation = records.select((VALIDATION_FOLD,))
    training_records = len(records.select(TRAINING_FOLDS))
    truth = targets(validation, space)
    explained = f"{name}_attribution"
    number = version or next_version(repository, name, explained)
    with staging(repository) as scratch:
        main, side = scratch / "main", scratch / "side"
        main.mkdir()
        side.mkdir()
        export_network(network, main / "model.onnx")
        model = OnnxModel.open(main / "model.onnx")
        logits = model.logits(validation.signals)
        heads = calibrated_heads(space, logits, truth, training_records)
        card = draft_card(name, number, network, trainable_parameters(trained), heads, records)
        _gate(name, model, repository, space, logits, truth, validation)
        card, result, external = measure(card, model, validation, truth, ludb)
        artifacts: dict[str, Artifact] = {}

        def add(folder: Path, model: str) -> None:
            for path in sorted(p for p in folder.iterdir() if p.name != CARD_FILE):
                artifacts[f"{model}/{number}/{path.name}"] = Artifact(
                    sha256=file_digest(path), bytes=path.stat().st_size, precision="weights FP16, arithmetic FP32"
                )

        add(main, name)
        if attribution:
            export_attribution(network, side / "model.onnx")
            _same_answers(main / "model.onnx", side / "model.onnx", validation, [head.output for head in card.heads])
            add(side, explained)
        card = card.model_copy(
            update={
                "artifacts": artifacts,
                "attribution": explained if attribution else None,
            }
        )
        write_text(main / CARD_FILE, card.model_dump_json(indent=1) + "\n")
        sizes = {head.output: len(head.classes) for head in card.heads}
        config = network.config
        if attribution:
            frames = config.samples // config.stem_stride // 2 ** (len(config.dense_layers) - 1)
            _configure(
                repository,
                explained,
                attribution_config(explained, config.leads, config.samples, sizes, frames),
            )
            install_version(side, repository, explained, number, overwrite)
        _configure(repository, name, prediction_config(name, config.leads, config.samples, sizes))
        place = install_version(main, repository, name, number, overwrite)
    write_text(repository / name / "README.md", model_readme(card, result, external))
    return place


def _gate(
    name: str,
    model: OnnxModel,
    repository: Path,
    space: LabelSpace,
    logits: dict[str, Any],
    truth: dict[str, Any],
    validation: Records,
) -> None:
    """Measure the candidate, against the newest published version where its classes are the same."""
    n = len(SUPERCLASSES)
    report = GateReport(neighbour_effect(model, validation.signals))
    published = versions(repository, name)
    if published:
        folder = repository / name / str(published[-1])
        current = OnnxModel.open(folder / "model.onnx")
        card = load_card(folder / CARD_FILE)
        codes = tuple(s.code for s in card.heads[0].classes[:n])
        if codes == space.heads["statements"][:n]:
            report = replace(
                report,
                auc_change=accuracy_change(
                    truth["statements"][:, :n],
                    logits["statements"][:, :n],
                    current.logits(validation.signals)["statements"][:, :n],
                    validation.table["patient_id"].to_numpy(),
                ),
                latency_ratio=latency_ratio(model, current, validation.signals),
            )
    pass_gate(report, name)


def _configure(repository: Path, name: str, files: dict[str, str]) -> None:
    for path, text in files.items():
        write_text(repository / name / path, text)


def _same_answers(prediction: Path, attribution: Path, validation: Records, names: list[str]) -> None:
    """Both graphs must give the same logits for real ECGs."""
    signals: Any = np.array(validation.signals[:4])
    explained = OnnxModel.open(attribution).session
    inputs = {i.name: i.shape for i in explained.get_inputs()}
    target = np.zeros((len(signals), int(inputs["target"][1])), dtype=np.float32)
    target[:, 1] = 1.0
    expected = OnnxModel.open(prediction).logits(signals)
    for name in names:
        (value,) = explained.run([name], {"ecg": signals, "target": target})
        difference = float(np.abs(value - expected[name]).max())
        if difference > 1e-4:
            raise ParityError(f"prediction and attribution graphs disagree on {name} by {difference:.1e}")
