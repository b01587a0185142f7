"""Commands that change the format of a network and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.options import DataOption, RepositoryOption, RunsOption

__all__ = ["checkpoint", "coreml", "litert", "tensorrt"]


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


def tensorrt(
    model: Annotated[str, typer.Option("--model", "-m", help="Published model.")] = "",
    source: Annotated[
        Path | None, typer.Option(help="QDQ file of `quantise --target tensorrt`: builds an INT8 engine from it.")
    ] = None,
    version: Annotated[int | None, typer.Option(help="Version (default: the newest).")] = None,
    smallest: Annotated[int, typer.Option("--min", help="Smallest batch of the optimisation profile.")] = 1,
    best: Annotated[int, typer.Option("--opt", help="Batch that the engine is optimised for.")] = 8,
    largest: Annotated[int, typer.Option("--max", help="Largest batch.")] = 64,
    timing_cache: Annotated[Path, typer.Option(help="Kept kernel timings.")] = Path("runs/tensorrt.cache"),
    choose: Annotated[bool, typer.Option("--choose", help="Only print this machine's --model-config-name.")] = False,
    served_by: Annotated[str | None, typer.Option(help="With --choose: TensorRT version of the server.")] = None,
    repository: RepositoryOption = Path("model_repository"),
) -> None:
    """Build a TensorRT engine on this machine's GPU into a published version. Not verified on hardware."""
    from cardiomesh.cards import CARD_FILE, load_card
    from export.errors import WorkshopError
    from export.formats.tensorrt import Precision, Profile, build_engine, chosen_config, find_gpu
    from export.publishing.repository import changing, newest_folder
    from export.publishing.triton import tensorrt_config

    if choose:
        try:
            gpu = find_gpu()
        except WorkshopError:
            gpu = None
        name, reasons = chosen_config(repository, gpu, served_by)
        for reason in reasons:
            typer.echo(f"ONNX answers: {reason}", err=True)
        typer.echo(name)
        return
    if not model:
        raise WorkshopError("name the --model to build an engine of")
    folder = newest_folder(repository, model, version)
    card = load_card(folder / CARD_FILE)
    precision = Precision.INT8 if source else Precision.FP16
    profile = Profile(smallest, best, largest)
    plan = build_engine(source or folder / "model.onnx", folder, precision, profile, find_gpu(), timing_cache)
    heads = {head.output: len(head.classes) for head in card.heads}
    config = tensorrt_config(model, card.version, largest, len(card.input.leads), card.input.samples, heads)
    with changing(repository) as change:
        for path, text in config.items():
            change.write_text(Path(model, path), text)
        # The name is the server's, not the model's: what has no engine is told to stay on the GPU with ONNX Runtime.
        for other in sorted(repository.glob("*/configs/gpu.pbtxt")):
            place = other.with_name("tensorrt.pbtxt").relative_to(repository)
            if place.parts[0] != model and not (repository / place).exists():
                change.write_text(place, other.read_text(encoding="utf-8"))
    typer.echo(plan)
