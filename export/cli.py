"""Commands of the workshop: train, export, publish, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cardiomesh.errors import CardioMeshError
from export.compression.commands import parity, prune, quantise
from export.formats.commands import checkpoint, coreml, litert, tensorrt
from export.options import DataOption, ModelOption, RunsOption
from export.publishing.commands import ensemble, publish, recalibrate, rollback, verify
from export.validation.commands import evaluate

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
def records(
    out: Annotated[Path, typer.Option(help="File to write (.npz): signals, codes and a name.")],
    fold: Annotated[list[int] | None, typer.Option(help="Folds to take; default: 9.")] = None,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Write conditioned PTB-XL records for tools that know no data set, such as the explainer's fidelity harness."""
    import numpy as np

    from export.training.ptbxl import load_ptbxl

    folds = tuple(fold or [9])
    chosen = load_ptbxl(data, cache=runs / "cache", progress=False, folds=folds).select(folds)
    named = f"PTB-XL, {'fold' if len(folds) == 1 else 'folds'} {', '.join(map(str, folds))}, {len(chosen)} records"
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, signals=np.asarray(chosen.signals), codes=[" ".join(c) for c in chosen.table["codes"]], name=named)
    typer.echo(f"{out}: {named}")


for command in (
    *(prune, quantise, parity),
    *(checkpoint, litert, coreml, tensorrt),
    *(publish, recalibrate, ensemble, rollback, verify, evaluate),
):
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
