"""Publishing an ensemble: a Triton ``ensemble`` over published versions, with a combining graph and its own card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cardiomesh.cards import CARD_FILE, Artifact, Metric, ModelCard, load_card
from export.calibration.heads import calibrated_heads, card_space, head_logits
from export.calibration.weights import choose_weights, cross_fitted_mean
from export.errors import GateError, WorkshopError
from export.formats.combine import Member, combined_logits, write_combination
from export.publishing.card import draft_card, ensemble_facts
from export.publishing.checks import check_configuration, check_graph
from export.publishing.measure import External
from export.publishing.release import MODEL_FILE, describe, finite_logits
from export.publishing.repository import changing, file_digest, newest_folder, next_version
from export.publishing.triton import combination_config, ensemble_config
from export.training.labels import SUPERCLASSES, LabelSpace, targets
from export.training.ptbxl import Records
from export.training.settings import TRAINING_FOLDS, VALIDATION_FOLD
from export.validation.metrics import Interval, macro_auc, paired_change
from export.validation.scoring import EnsembleModel, OnnxModel

__all__ = ["publish_ensemble"]

Arrays = Mapping[str, npt.NDArray[Any]]


def _cards(repository: Path, names: tuple[str, ...]) -> list[ModelCard]:
    cards = [load_card(newest_folder(repository, name) / CARD_FILE) for name in names]
    if len(set(names)) < 2:
        raise WorkshopError("an ensemble needs two different models: --model A --model B")
    nested = [card.name for card in cards if card.architecture.family == "ensemble"]
    if nested:
        raise WorkshopError(f"{', '.join(nested)}: an ensemble cannot be a member")
    codes = [tuple(s.code for s in card.statements) for card in cards]
    if len(set(codes)) != 1 or len({card.input.preprocessing_version for card in cards}) != 1:
        raise WorkshopError(f"{', '.join(names)} do not answer the same classes on the same input")
    return cards


def _members(cards: list[ModelCard], single: Mapping[str, Arrays], truth: Arrays) -> list[Member]:
    """The members with the weights that suit fold 9 best, head by head; those that get none anywhere are left out."""
    weights: dict[str, dict[str, float]] = {card.name: {} for card in cards}
    for k, head in enumerate(cards[0].heads):
        calibrated = [head_logits(card.heads[k], single[card.name][head.output]) for card in cards]
        for card, weight in zip(cards, choose_weights(calibrated, truth[head.output]), strict=True):
            weights[card.name][head.output] = weight
    return [
        Member(card.name, card.version, {h.output: h for h in card.heads}, weights[card.name])
        for card in cards
        if any(weights[card.name].values())
    ]


def _gain(
    space: LabelSpace, single: Mapping[str, Arrays], truth: Arrays, patients: npt.NDArray[Any]
) -> tuple[str, Interval]:
    """The best single model, and the cross-fitted ensemble's superclass macro-AUC minus its, paired by patient."""
    n = len(SUPERCLASSES)
    y = truth["statements"][:, :n]
    best = max(single, key=lambda name: macro_auc(y, single[name]["statements"][:, :n]))
    mean = cross_fitted_mean(space, list(single.values()), truth, patients).ranking["statements"]
    return best, paired_change(y, mean[:, :n], single[best]["statements"][:, :n], patients)


def _verdict(best: str, gain: Interval) -> str:
    figures = f"{gain.value:+.4f}, 95 % {gain.low:+.4f} to {gain.high:+.4f}, paired, weights cross-fitted"
    if gain.low > 0:
        return f"On fold 9 its superclass macro-AUC is above that of its best member, {best} ({figures})."
    return f"On fold 9 it is not shown to be better than its best member, {best}: superclass macro-AUC {figures}."


def publish_ensemble(
    name: str,
    names: tuple[str, ...],
    records: Records,
    repository: Path,
    external: External | None = None,
    version: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Publish the weighted mean of the newest versions of some models.

    Refused where, by cross-fitting on fold 9, it is below its best member by more than the interval of that difference.
    """
    cards = _cards(repository, names)
    first, space = cards[0], card_space(cards[0])
    heads = {h.output: len(h.classes) for h in first.heads}
    combination = f"{name}_combination"
    number = version or next_version(repository, name, combination)
    validation = records.select((VALIDATION_FOLD,))
    truth, patients = targets(validation, space), validation.table["patient_id"].to_numpy()
    models = {c.name: OnnxModel.open(repository / c.name / str(c.version) / MODEL_FILE) for c in cards}
    single = {key: finite_logits(key, model, validation) for key, model in models.items()}
    best, gain = _gain(space, single, truth, patients)
    if gain.high < 0:
        raise GateError(f"{name}: {_verdict(best, gain)}")
    members = _members(cards, single, truth)
    if len(members) < 2:
        raise GateError(f"{name}: all weight falls to {members[0].name}; an ensemble of one is no ensemble")
    with changing(repository) as change:
        main = change.version_folder(name, number, overwrite)
        side = change.version_folder(combination, number, overwrite)
        write_combination(side / MODEL_FILE, members, heads)
        inputs = {m.tensor(head): (count,) for m in members for head, count in heads.items()}
        outputs = {head: (count,) for head, count in heads.items()}
        check_graph(side / MODEL_FILE, inputs, outputs)
        leads, samples = len(first.input.leads), first.input.samples
        configs = {
            combination: combination_config(combination, members, heads),
            name: ensemble_config(name, combination, number, members, leads, samples, heads),
        }
        check_configuration(configs[combination]["config.pbtxt"], combination, inputs, outputs)
        check_configuration(configs[name]["config.pbtxt"], name, {"ecg": (leads, samples)}, outputs)
        flat = {m.tensor(head): single[m.name][head] for m in members for head in heads}
        logits = {head: combined_logits(members, flat, head) for head in heads}
        calibrated = calibrated_heads(space, logits, truth, patients, len(records.select(TRAINING_FOLDS)))
        chosen = [card for card in cards if card.name in {m.name for m in members}]
        path = side / MODEL_FILE
        artifacts = {
            f"{combination}/{number}/{MODEL_FILE}": Artifact(
                sha256=file_digest(path), bytes=path.stat().st_size, precision="FP32"
            )
        }
        for member in chosen:
            place = f"{member.name}/{member.version}/"
            artifacts |= {key: value for key, value in member.artifacts.items() if key.startswith(place)}
        gained = Metric(
            name=f"superclass_macro_auc_gain_over_{best}",
            **gain.as_dict(),
            data=f"PTB-XL fold {VALIDATION_FOLD}, {len(validation)} records, weights cross-fitted",
            command=f"python -m export ensemble {' '.join(f'--model {n}' for n in names)}",
        )
        facts = ensemble_facts(name, members, chosen, _verdict(best, gain))
        card = draft_card(facts, number, calibrated, records).model_copy(
            update={"artifacts": artifacts, "metrics": (gained,)}
        )
        model = EnsembleModel({m.name: models[m.name] for m in members}, OnnxModel.open(path), tuple(heads))
        describe(change, main, card, model, records, external or External(), configs)
    return repository / name / str(number)
