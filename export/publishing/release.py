"""Staged files → checked, gated, calibrated, measured and described version. Every way of publishing ends here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cardiomesh.cards import CARD_FILE, Artifact, Head, Metric, ModelCard, load_card
from export.calibration.heads import calibrated_heads
from export.errors import GateError
from export.publishing.card import Facts, draft_card
from export.publishing.checks import check_card, check_configuration, check_graph, check_same_answers
from export.publishing.gate import GateReport, latency_ratio, neighbour_effect, neighbour_limit, pass_gate
from export.publishing.measure import External, measure
from export.publishing.readme import model_readme
from export.publishing.repository import Change, file_digest, versions
from export.publishing.rollback import check_members_stay
from export.publishing.triton import attribution_config, prediction_config
from export.training.labels import SUPERCLASSES, LabelSpace, targets
from export.training.ptbxl import Records
from export.training.settings import TRAINING_FOLDS, VALIDATION_FOLD
from export.validation.metrics import paired_change
from export.validation.scoring import OnnxModel, Scorer, open_model

__all__ = ["MODEL_FILE", "Staged", "describe", "release"]

MODEL_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class Staged:
    """A version whose graphs lie in a change's folders, ready to be judged."""

    facts: Facts
    space: LabelSpace
    number: int
    #: Folder of the graph that predicts, and of the one that explains.
    main: Path
    side: Path | None
    #: Calibration to keep, of the version whose answers this one reproduces; none: it is calibrated on fold 9.
    heads: tuple[Head, ...] | None = None
    #: Figures that only the caller could measure, such as the parity of a compressed variant.
    metrics: tuple[Metric, ...] = field(default=())


def release(change: Change, staged: Staged, records: Records, external: External) -> None:
    """Judge a staged network and complete it with card, configuration and README; raises ``GateError``."""
    facts, space = staged.facts, staged.space
    check_members_stay(change.repository, facts.name, staged.number)
    leads, samples = len(facts.input.leads), facts.input.samples
    heads = {name: len(codes) for name, codes in space.heads.items()}
    tensors = {name: (count,) for name, count in heads.items()}
    validation = records.select((VALIDATION_FOLD,))
    check_graph(staged.main / MODEL_FILE, {"ecg": (leads, samples)}, tensors)
    model = OnnxModel.open(staged.main / MODEL_FILE)
    logits = finite_logits(facts.name, model, validation)
    configs = {facts.name: prediction_config(facts.name, leads, samples, heads)}
    check_configuration(configs[facts.name]["config.pbtxt"], facts.name, {"ecg": (leads, samples)}, tensors)
    if staged.side is not None and facts.attribution is not None:
        explained = OnnxModel.open(staged.side / MODEL_FILE)
        shapes = {o.name: o.shape for o in explained.session.get_outputs()}
        frames = int(shapes["cam"][1]) if "cam" in shapes else 0
        inputs = {"ecg": (leads, samples), "target": (sum(heads.values()),)}
        outputs = {**tensors, "cam": (frames,), "gradient": (leads, samples)}
        check_graph(staged.side / MODEL_FILE, inputs, outputs)
        check_same_answers(model, explained, np.array(validation.signals[:4]), heads)
        configs[facts.attribution] = attribution_config(facts.attribution, leads, samples, heads, frames)
        check_configuration(configs[facts.attribution]["config.pbtxt"], facts.attribution, inputs, outputs)
    pass_gate(_against_current(change.repository, staged, model, logits, validation), facts.name)
    truth = targets(validation, space)
    patients = validation.table["patient_id"].to_numpy()
    calibrated = staged.heads
    if calibrated is None:
        calibrated = calibrated_heads(space, logits, truth, patients, len(records.select(TRAINING_FOLDS)))
    card = draft_card(facts, staged.number, calibrated, records).model_copy(
        update={"artifacts": _artifacts(staged), "metrics": staged.metrics}
    )
    describe(change, staged.main, card, model, records, external, configs)


def describe(
    change: Change,
    folder: Path,
    card: ModelCard,
    model: Scorer,
    records: Records,
    external: External,
    configs: Mapping[str, Mapping[str, str]],
) -> None:
    """Measure, then write card, README and configurations of a version into the change."""
    card, measured = measure(card, model, records, external)
    check_card(card)
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for name, files in configs.items():
        for path, text in files.items():
            change.write_text(Path(name, path), text)
    change.write_text(Path(card.name, "README.md"), model_readme(card, measured))


def finite_logits(name: str, model: Scorer, records: Records) -> dict[str, Any]:
    """Logits of some records; ``GateError`` where one is not a number."""
    logits = model.logits(np.array(records.signals))
    for head, values in logits.items():
        if not np.isfinite(values).all():
            raise GateError(f"{name}: {head} answers numbers that are not finite")
    return logits


def _artifacts(staged: Staged) -> dict[str, Artifact]:
    """Every file of the staged folders but the card, by its place in the repository."""
    folders = {staged.facts.name: staged.main}
    if staged.side is not None and staged.facts.attribution is not None:
        folders[staged.facts.attribution] = staged.side
    return {
        f"{name}/{staged.number}/{path.name}": Artifact(
            sha256=file_digest(path), bytes=path.stat().st_size, precision=staged.facts.precision
        )
        for name, folder in folders.items()
        for path in sorted(folder.iterdir())
        if path.name != CARD_FILE
    }


def _against_current(
    repository: Path, staged: Staged, model: OnnxModel, logits: dict[str, Any], validation: Records
) -> GateReport:
    """Measure the candidate, against the newest published version where its superclasses are the same."""
    signals, n = np.array(validation.signals), len(SUPERCLASSES)
    report = GateReport(neighbour_effect(model, signals), neighbour_limit(staged.facts.precision))
    published = versions(repository, staged.facts.name)
    if not published:
        return report
    card = load_card(repository / staged.facts.name / str(published[-1]) / CARD_FILE)
    current = open_model(repository, card)
    if tuple(s.code for s in card.heads[0].classes[:n]) != staged.space.heads["statements"][:n]:
        return report
    change = paired_change(
        targets(validation, staged.space)["statements"][:, :n],
        logits["statements"][:, :n],
        current.logits(signals)["statements"][:, :n],
        validation.table["patient_id"].to_numpy(),
    )
    ratio = latency_ratio(model, current, signals) if isinstance(current, OnnxModel) else None
    return replace(report, auc_change=change, latency_ratio=ratio)
