"""Commands of the workshop: train, export, publish, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cardiomesh.errors import CardioMeshError
from export.compression.commands import parity, prune, quantise
from export.formats.commands import checkpoint
from export.options import DataOption, ModelOption, RepositoryOption, RunsOption

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


@app.command()
def train(
    model: ModelOption,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
    epochs: Annotated[int | None, typer.Option(help="Passes over the training folds.")] = None,
    batch: Annotated[int | None, typer.Option(help="Recordings per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the one-cycle schedule.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option(help="Arithmetic of the forward pass (default: the faster one on this device)."),
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None, typer.Option(help="Where to train (default: cuda where there is one).")
    ] = None,
    distil: Annotated[
        list[Path] | None,
        typer.Option(help="Network to learn from: checkpoint.pt or a published model.onnx; several make an ensemble."),
    ] = None,
    initial: Annotated[
        Path | None, typer.Option(help="Checkpoint to start from (fine-tuning); it may be a pruned network.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Checkpoint whose convolutions alone are taken over (growing a network).")
    ] = None,
    teacher_weight: Annotated[
        float | None, typer.Option(help="Share of the teacher in the targets, the rest is the labels.", min=0, max=1)
    ] = None,
    rhythm_weight: Annotated[float | None, typer.Option(help="Weight of the rhythm task in the loss.")] = None,
    label: Annotated[str, typer.Option(help="Suffix of the run's folder.")] = "",
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """Train networks on folds 1-8; goes on where an interrupted run stopped."""
    from export.training.checkpoint import starting_config
    from export.training.loop import train as run
    from export.training.ptbxl import load_ptbxl
    from export.training.settings import choose_device, fastest_precision, settings_for

    configs = {name: starting_config(name, initial) for name in model}
    place = choose_device(device)
    records = load_ptbxl(data, cache=runs / "cache", progress=progress)
    for name, config in configs.items():
        settings = settings_for(
            name,
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            seed=seed,
            threads=threads,
            device=place,
            precision=precision or fastest_precision(place),
            rhythm_weight=rhythm_weight,
            teacher_weight=teacher_weight,
        )
        folder = runs / (f"{name}-s{seed}" + (f"-{label}" if label else ""))
        path = run(name, config, records, settings, folder, tuple(distil or ()), progress, initial, features)
        typer.echo(path)


@app.command()
def onnx(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint to export.")],
    out: Annotated[Path, typer.Option(help="Folder for model.onnx and attribution.onnx.")],
    attribution: Annotated[bool, typer.Option(help="Also write the attribution graph.")] = True,
) -> None:
    """Write the ONNX files of a checkpoint without publishing them; prints the largest difference seen."""
    from export.architectures.served import served_network
    from export.formats.onnx import export_attribution, export_network
    from export.training.checkpoint import load_network

    network = served_network(load_network(checkpoint)[0])
    typer.echo(f"{out / 'model.onnx'}: {export_network(network, out / 'model.onnx'):.1e}")
    if attribution:
        typer.echo(f"{out / 'attribution.onnx'}: {export_attribution(network, out / 'attribution.onnx'):.1e}")


@app.command()
def publish(
    model: ModelOption,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint to publish (default: RUNS/MODEL-s1/checkpoint.pt).")
    ] = None,
    data: DataOption = None,
    ludb: Annotated[Path | None, typer.Option(help="LUDB folder for the external figures.")] = None,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = Path("model_repository"),
    attribution: Annotated[bool, typer.Option(help="Also publish the attribution graph.")] = True,
    version: Annotated[int | None, typer.Option(help="Version number (default: the next one).")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace that version; only before a release.")] = False,
) -> None:
    """Calibrate on fold 9, export to ONNX, measure, and publish a version."""
    from export.publishing.publish import publish as run
    from export.training.ptbxl import load_ptbxl

    records = load_ptbxl(data, cache=runs / "cache")
    for name in model:
        source = checkpoint or runs / f"{name}-s1" / "checkpoint.pt"
        typer.echo(run(name, source, records, repository, ludb, attribution, version, overwrite))


@app.command()
def ensemble(
    model: ModelOption,
    name: Annotated[str, typer.Option(help="Name of the ensemble.")] = "ensemble",
    data: DataOption = None,
    ludb: Annotated[Path | None, typer.Option(help="LUDB folder for the external figures.")] = None,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = Path("model_repository"),
    version: Annotated[int | None, typer.Option(help="Version number (default: the next one).")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace that version; only before a release.")] = False,
) -> None:
    """Publish the mean of the newest versions of some models, if it beats its best member."""
    from export.publishing.ensemble import publish_ensemble
    from export.training.ptbxl import load_ptbxl

    records = load_ptbxl(data, cache=runs / "cache")
    typer.echo(publish_ensemble(name, tuple(model), records, repository, ludb, version, overwrite))


@app.command()
def rollback(model: ModelOption, repository: RepositoryOption = Path("model_repository")) -> None:
    """Take the newest version out of service; the one before it answers again."""
    from export.publishing.repository import versions, withdraw_version

    for name in model:
        number = withdraw_version(repository, name, f"{name}_attribution")
        typer.echo(f"{name}: version {number} withdrawn, version {versions(repository, name)[-1]} serves")


@app.command()
def evaluate(
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model name; several times (default: all).")
    ] = None,
    data: DataOption = None,
    fold: Annotated[list[int] | None, typer.Option(help="PTB-XL folds (default: 9).")] = None,
    ludb: Annotated[
        bool, typer.Option("--ludb", help="Evaluate on LUDB (folder ludb/ of the data) instead of PTB-XL.")
    ] = False,
    calibrated: Annotated[
        bool, typer.Option(help="Read LUDB's integers as microvolts instead of trusting its headers.")
    ] = False,
    version: Annotated[int | None, typer.Option(help="Version (default: the newest).")] = None,
    triton: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Triton gRPC endpoint (default: an embedded one is started).")
    ] = None,
    offline: Annotated[bool, typer.Option(help="ONNX Runtime in this process instead of Triton.")] = False,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = Path("model_repository"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Measure published models: AUC, sensitivity, specificity and calibration, with intervals by patient."""
    from export.validation.report import Served, evaluate_published

    served = Served(offline, triton)
    evaluate_published(
        tuple(model or ()), data, tuple(fold or (9,)), ludb, calibrated, version, served, runs, repository, as_json
    )


for command in (checkpoint, parity, prune, quantise):
    app.command()(command)


@app.callback()
def workshop() -> None:
    """Train, calibrate, export, validate and publish CardioMesh models."""


def main() -> None:
    """Run the command line; a mistake of the caller is one line and exit code 2."""
    try:
        app()
    except CardioMeshError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise SystemExit(2) from None
