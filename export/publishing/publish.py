"""The three ways to a new version of a network: from a checkpoint, from files made elsewhere, from its own weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from cardiomesh.cards import CARD_FILE, Head, Metric, load_card
from export.architectures import trainable_parameters
from export.architectures.served import served_network
from export.calibration.heads import card_space
from export.errors import GateError, WorkshopError
from export.formats.onnx import export_attribution, export_network
from export.publishing.card import LIMITS, Facts, hybrid_facts
from export.publishing.measure import External
from export.publishing.release import MODEL_FILE, Staged, release
from export.publishing.repository import changing, file_digest, newest_folder, next_version
from export.training.checkpoint import load_network
from export.training.labels import LabelSpace
from export.training.ptbxl import Records

__all__ = ["publish", "publish_files", "recalibrate"]


def publish(
    name: str,
    checkpoint: Path,
    records: Records,
    repository: Path,
    external: External | None = None,
    attribution: bool = True,
    version: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Publish a checkpoint as a new version of ``name`` (and of ``name_attribution``); returns the version's folder."""
    trained, space = load_network(checkpoint)
    network = served_network(trained)
    facts = hybrid_facts(name, network.config, trainable_parameters(trained), attribution)
    number = version or next_version(repository, name, f"{name}_attribution")
    with changing(repository) as change:
        main = change.version_folder(name, number, overwrite)
        side = change.version_folder(facts.attribution, number, overwrite) if facts.attribution else None
        export_network(network, main / MODEL_FILE)
        if side is not None:
            export_attribution(network, side / MODEL_FILE)
        release(change, Staged(facts, space, number, main, side), records, external or External())
    return repository / name / str(number)


def publish_files(
    facts: Facts,
    space: LabelSpace,
    model: Path,
    attribution: Path | None,
    records: Records,
    repository: Path,
    external: External | None = None,
    version: int | None = None,
    overwrite: bool = False,
    heads: tuple[Head, ...] | None = None,
    metrics: tuple[Metric, ...] = (),
) -> Path:
    """Publish ONNX files made elsewhere (pruned, INT8): all files in the folders of ``model`` and ``attribution``.

    The graphs are called ``model.onnx``. A variant that reproduces another version's answers keeps its calibration
    and thresholds (``heads``); others are calibrated on fold 9. ``metrics`` go into the card with those measured here.
    """
    name = facts.name
    number = version or next_version(repository, name, f"{name}_attribution")
    with changing(repository) as change:
        main = change.version_folder(name, number, overwrite)
        side = None
        shutil.copytree(model.parent, main, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CARD_FILE))
        if attribution is not None and facts.attribution is not None:
            side = change.version_folder(facts.attribution, number, overwrite)
            shutil.copytree(attribution.parent, side, dirs_exist_ok=True)
        staged = Staged(facts, space, number, main, side, heads, metrics)
        release(change, staged, records, external or External())
    return repository / name / str(number)


def recalibrate(
    name: str,
    records: Records,
    repository: Path,
    external: External | None = None,
    version: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Publish the newest version's weights anew: calibrated, measured and described by the present procedure.

    Its files must be those that its card records. The result is a new version, unless ``overwrite``, before a release,
    replaces the version itself.
    """
    folder = newest_folder(repository, name)
    card = load_card(folder / CARD_FILE)
    source = card.version
    if card.architecture.family == "ensemble":
        raise WorkshopError(f"{name} is an ensemble; publish it anew with `python -m export ensemble`")
    for place, artifact in card.artifacts.items():
        if file_digest(repository / place) != artifact.sha256:
            raise GateError(f"{place} is not the file that the card of {name} {source} describes")
    precision = next(iter(card.artifacts.values())).precision
    facts = Facts(card.name, card.description, card.architecture, card.input, card.attribution, precision, LIMITS)
    kept = tuple(m for m in card.metrics if m.name.startswith("parity_"))
    return publish_files(
        facts,
        card_space(card),
        folder / MODEL_FILE,
        repository / card.attribution / str(source) / MODEL_FILE if card.attribution else None,
        records,
        repository,
        external,
        version or (source if overwrite else None),
        overwrite,
        metrics=kept,
    )
