"""Commands that change the format of a network and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.options import DataOption, RepositoryOption, RunsOption

__all__ = ["checkpoint", "coreml", "litert"]


def checkpoint(
    model: Annotated[str, typer.Option("--model", "-m", help="Published model.")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")],
    version: Annotated[int | None, typer.Option(help="Version (default: the newest).")] = None,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = Path("model_repository"),
) -> None:
    """Turn a published version back into a checkpoint: to fine-tune, prune or distil it."""
    from export.errors import CheckpointError
    from export.formats.published import read_published, trainable_network
    from export.publishing.repository import newest_folder
    from export.training.checkpoint import save_network
    from export.training.labels import build_label_space
    from export.training.ptbxl import load_ptbxl
    from export.training.settings import TRAINING_FOLDS

    folder = newest_folder(repository, model, version)
    served, space, card = read_published(folder)
    training = load_ptbxl(data, cache=runs / "cache").select(TRAINING_FOLDS)
    built = build_label_space(training)
    if built.heads != space.heads:
        raise CheckpointError(f"{folder} answers other classes than this data's: {training.name}")
    network = trainable_network(served, training.signals, built.sizes()[1])
    typer.echo(save_network(out, network, built, origin=f"{card.name} version {card.version}"))


def _converted(module: str, model: str, out: Path, version: int | None, repository: Path) -> str:
    from export.formats.edge import run_converter
    from export.publishing.repository import newest_folder

    folder = newest_folder(repository, model, version)
    return run_converter(module, folder, out, lambda line: typer.echo(line, err=True))


def litert(
    model: Annotated[str, typer.Option("--model", "-m", help="Published model.")],
    out: Annotated[Path, typer.Option(help="The .tflite file to write.")],
    version: Annotated[int | None, typer.Option(help="Version (default: the newest).")] = None,
    repository: RepositoryOption = Path("model_repository"),
) -> None:
    """Write a published network for LiteRT, and run it; prints the largest difference seen."""
    typer.echo(f"{out}: {_converted('litert', model, out, version, repository)}")


def coreml(
    model: Annotated[str, typer.Option("--model", "-m", help="Published model.")],
    out: Annotated[Path, typer.Option(help="The .mlpackage folder to write.")],
    version: Annotated[int | None, typer.Option(help="Version (default: the newest).")] = None,
    repository: RepositoryOption = Path("model_repository"),
) -> None:
    """Write a published network for Core ML. What it predicts can only be checked on Apple's systems."""
    weights = _converted("coreml", model, out, version, repository)
    typer.echo(f"{out}: {weights} bytes of weights; predictions not verified: Core ML does not run here")
