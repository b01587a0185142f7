"""Publishing an ensemble: a Triton ``ensemble`` over published versions, with a combining graph and its own card."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cardiomesh.cards import CARD_FILE, Artifact, ModelCard, load_card
from export.calibration.temperature import sigmoid
from export.errors import GateError, WorkshopError
from export.formats.combine import Member, combined_logits, write_combination
from export.publishing.card import calibrated_heads, ensemble_card
from export.publishing.measure import measure
from export.publishing.readme import model_readme
from export.publishing.repository import file_digest, install_version, next_version, staging, versions, write_text
from export.publishing.triton import combination_config, ensemble_config
from export.training.labels import SUPERCLASSES, LabelSpace, targets
from export.training.ptbxl import Records
from export.training.settings import TRAINING_FOLDS, VALIDATION_FOLD
from export.validation.metrics import macro_auc
from export.validation.scoring import EnsembleModel, OnnxModel

__all__ = ["publish_ensemble"]


def _members(repository: Path, names: tuple[str, ...]) -> tuple[list[Member], list[ModelCard]]:
    cards = []
    for name in names:
        published = versions(repository, name)
        if not published:
            raise WorkshopError(f"{repository} holds no version of {name}")
        cards.append(load_card(repository / name / str(published[-1]) / CARD_FILE))
    codes = [tuple(s.code for s in card.statements) for card in cards]
    if len(set(codes)) != 1 or len({card.input.preprocessing_version for card in cards}) != 1:
        raise WorkshopError(f"{', '.join(names)} do not answer the same classes on the same input")
    members = [
        Member(card.name, card.version, {h.output: h.temperature for h in card.heads}, 1 / len(cards)) for card in cards
    ]
    return members, cards


def publish_ensemble(
    name: str,
    names: tuple[str, ...],
    records: Records,
    repository: Path,
    ludb: Path | None = None,
    version: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Publish the mean of some models' calibrated logits; refused unless it beats its best member on fold 9."""
    members, cards = _members(repository, names)
    first = cards[0]
    heads = {h.output: len(h.classes) for h in first.heads}
    space = LabelSpace(
        heads={h.output: tuple(s.code for s in h.classes) for h in first.heads},
        auxiliary={},
        positives={s.code: s.training_positives for s in first.statements},
    )
    combination = f"{name}_combination"
    number = version or next_version(repository, name, combination)
    validation = records.select((VALIDATION_FOLD,))
    truth, n = targets(validation, space), len(SUPERCLASSES)
    models = {m.name: OnnxModel.open(repository / m.name / str(m.version) / "model.onnx") for m in members}
    single = {key: model.logits(validation.signals) for key, model in models.items()}
    flat = {m.tensor(head): single[m.name][head] for m in members for head in heads}
    logits = {head: combined_logits(members, flat, head) for head in heads}

    def auc(values: np.ndarray) -> float:
        return macro_auc(truth["statements"][:, :n], sigmoid(values[:, :n]))

    best = max(single, key=lambda key: auc(single[key]["statements"]))
    gain = auc(logits["statements"]) - auc(single[best]["statements"])
    if gain <= 0:
        raise GateError(f"{name}: superclass macro-AUC on fold 9 is {-gain:.4f} below that of its member {best}")

    with staging(repository) as scratch:
        main, side = scratch / "main", scratch / "side"
        main.mkdir()
        side.mkdir()
        write_combination(side / "model.onnx", members, heads)
        calibrated = calibrated_heads(space, logits, truth, len(records.select(TRAINING_FOLDS)))
        card = ensemble_card(name, number, members, cards, calibrated)
        model = EnsembleModel(models, OnnxModel.open(side / "model.onnx"), tuple(members), tuple(heads))
        card, result, external = measure(card, model, validation, truth, ludb)
        path = side / "model.onnx"
        joined = Artifact(sha256=file_digest(path), bytes=path.stat().st_size, precision="FP32")
        artifacts = {f"{combination}/{number}/model.onnx": joined}
        for member in cards:
            own = f"{member.name}/{member.version}/"
            artifacts |= {key: artifact for key, artifact in member.artifacts.items() if key.startswith(own)}
        card = card.model_copy(update={"artifacts": artifacts})
        write_text(main / CARD_FILE, card.model_dump_json(indent=1) + "\n")
        leads, samples = len(first.input.leads), first.input.samples
        for target, files in (
            (combination, combination_config(combination, members, heads)),
            (name, ensemble_config(name, combination, number, members, leads, samples, heads)),
        ):
            for relative, text in files.items():
                write_text(repository / target / relative, text)
        install_version(side, repository, combination, number, overwrite)
        place = install_version(main, repository, name, number, overwrite)
    write_text(repository / name / "README.md", model_readme(card, result, external))
    return place
