"""Commands that make smaller and faster forms of a network, and compare them with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.compression.names import Method, Target
from export.options import DataOption, RepositoryOption, RunsOption

__all__ = ["parity", "prune", "quantise"]


def prune(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint of the network to prune.")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write; fine-tune it with train --initial.")],
    channels: Annotated[float, typer.Option(help="Share of the cost of all bottleneck channels to keep.")] = 0.75,
    heads: Annotated[float, typer.Option(help="Share of the attention heads to keep.")] = 0.5,
    units: Annotated[float, typer.Option(help="Share of the feed-forward units to keep.")] = 0.36,
    records: Annotated[int, typer.Option(help="Training recordings on which importance is measured.")] = 512,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Cut the least important inner units out of a network; prints what is left."""
    import numpy as np
    import torch

    from export.architectures import trainable_parameters
    from export.compression.importance import measure_importance
    from export.compression.pruning import Cut, choose_units, prune_network
    from export.training.checkpoint import load_network, save_network
    from export.training.labels import targets
    from export.training.ptbxl import load_ptbxl
    from export.training.settings import TRAINING_FOLDS

    cut = Cut(channels, heads, units)
    network, space = load_network(checkpoint)
    training = load_ptbxl(data, cache=runs / "cache").select(TRAINING_FOLDS)
    chosen = np.random.default_rng(0).permutation(len(training))[:records]
    truth = {name: torch.from_numpy(value[chosen]) for name, value in targets(training, space).items()}
    importance = measure_importance(network, training.signals[chosen], truth)
    smaller = prune_network(network, choose_units(network.config, importance, cut))
    place = save_network(out, smaller, space, origin=f"pruned from {checkpoint.parent.name or checkpoint.name}")
    before, after, config = trainable_parameters(network), trainable_parameters(smaller), smaller.config
    typer.echo(f"bottleneck channels  {' '.join(map(str, config.bottlenecks))}")
    typer.echo(f"attention heads      {' '.join(map(str, config.heads_per_layer))}")
    typer.echo(f"feed-forward units   {' '.join(map(str, config.hidden_units))}")
    typer.echo(f"parameters           {before:,} → {after:,} ({1 - after / before:.1%} removed)")
    typer.echo(place)


def quantise(
    model: Annotated[str, typer.Option("--model", "-m", help="Published model.")],
    out: Annotated[Path | None, typer.Option(help="Folder for model.onnx, weights.bin and ranges.json.")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish MODEL_int8 if it decides as MODEL does.")] = False,
    version: Annotated[int | None, typer.Option(help="Version (default: the newest).")] = None,
    ranges: Annotated[
        Path | None, typer.Option(help="ranges.json of an earlier calibration; no data is needed then.")
    ] = None,
    target: Annotated[Target, typer.Option(help="For whom the file is.")] = Target.CPU,
    method: Annotated[Method, typer.Option(help="How ranges are chosen.")] = Method.MINMAX,
    reduce_range: Annotated[bool, typer.Option(help="Weights of 7 bits, right on processors without VNNI too.")] = True,
    exclude: Annotated[list[str] | None, typer.Option(help="Node that stays float; several times.")] = None,
    records: Annotated[int, typer.Option(help="Training recordings to calibrate on.")] = 256,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = Path("model_repository"),
) -> None:
    """Write or publish the INT8 form of a published network: explicit QDQ, on training ECGs or kept ranges."""
    import numpy as np

    from export.compression.quantise import MODEL_FILE, Ranges, Recipe, calibrate
    from export.compression.quantise import quantise as run
    from export.compression.variant import publish_int8
    from export.errors import WorkshopError
    from export.publishing.repository import newest_folder
    from export.training.ptbxl import load_ptbxl
    from export.training.settings import TRAINING_FOLDS

    if publish == (out is not None):
        raise WorkshopError("say either --out FOLDER or --publish")
    source = newest_folder(repository, model, version) / MODEL_FILE
    known = Ranges.read(ranges) if ranges is not None else None
    everything = load_ptbxl(data, cache=runs / "cache") if known is None or publish else None
    if known is None and everything is not None:
        training = everything.select(TRAINING_FOLDS)
        chosen = np.random.default_rng(0).permutation(len(training))[:records]
        known = calibrate(source, training.signals[chosen], training.name, method)
    assert known is not None  # noqa: S101  # read or calibrated above
    if out is not None:
        typer.echo(run(source, known, out, Recipe(target, reduce_range, tuple(exclude or ()))))
    elif everything is not None:
        typer.echo(publish_int8(model, known, everything, repository, version))


def parity(
    model: Annotated[str, typer.Option("--model", "-m", help="Published model that is the reference.")],
    variant: Annotated[Path, typer.Option(help="File or version folder to compare with it.")],
    version: Annotated[int | None, typer.Option(help="Version of the reference (default: the newest).")] = None,
    fold: Annotated[list[int] | None, typer.Option(help="PTB-XL folds (default: 9).")] = None,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = Path("model_repository"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Compare a variant with its model: changes of probability, decisions that flip, change of AUC."""
    import json

    from cardiomesh.cards import CARD_FILE, load_card
    from export.compression.parity import open_variant, parity_report
    from export.publishing.repository import newest_folder
    from export.training.ptbxl import load_ptbxl
    from export.training.settings import VALIDATION_FOLD
    from export.validation.scoring import open_model

    card = load_card(newest_folder(repository, model, version) / CARD_FILE)
    other = open_variant(variant, card)
    chosen = load_ptbxl(data, cache=runs / "cache").select(tuple(fold or (VALIDATION_FOLD,)))
    found = parity_report((card, open_model(repository, card)), other, chosen)
    if as_json:
        typer.echo(json.dumps({"reference": f"{card.name} {card.version}", "variant": str(variant)} | found.as_dict()))
        return
    change = found.auc_change
    typer.echo(f"{variant} against {card.name} version {card.version}, {chosen.name}, {found.records} recordings")
    typer.echo(f"probability change   max {found.max_probability_change:.4f}  mean {found.mean_probability_change:.5f}")
    typer.echo(
        f"decision flips       {found.flips} of {found.decisions:,} ({found.flip_share:.2%}); "
        f"most in {found.worst_class}: {found.worst_class_flips}"
    )
    typer.echo(f"superclass macro-AUC {change.value:+.4f} (95 % interval {change.low:+.4f} to {change.high:+.4f})")
