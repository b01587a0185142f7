"""Commands that make smaller and faster forms of a network, and compare them with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.options import DataOption, RunsOption

__all__ = ["prune"]


def prune(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint of the network to prune.")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write; fine-tune it with train --initial.")],
    channels: Annotated[float, typer.Option(help="Share of the cost of all bottleneck channels to keep.")] = 0.6,
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
