"""The command that measures what is served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.options import DataOption, RepositoryOption, RunsOption

__all__ = ["evaluate"]


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
        bool, typer.Option("--calibrated", help="Read LUDB's integers as microvolts instead of trusting its headers.")
    ] = False,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Spoil the recordings too: leads, noise, gain, rate, length (minutes)."),
    ] = False,
    plots: Annotated[Path | None, typer.Option(help="Folder for reliability plots (PNG).")] = None,
    version: Annotated[int | None, typer.Option(help="Version (default: the newest).")] = None,
    triton: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Triton gRPC endpoint (default: an embedded one is started).")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="ONNX Runtime in this process, not Triton.")] = False,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = Path("model_repository"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Measure published models: discrimination, calls, calibration, prediction sets and subgroups, by patient."""
    from export.validation.report import Question, Served, evaluate_published

    question = Question(
        names=tuple(model or ()),
        data=data,
        folds=tuple(fold or (9,)),
        ludb=ludb,
        calibrated=calibrated,
        version=version,
        robust=robustness,
        plots=plots,
        as_json=as_json,
    )
    evaluate_published(question, Served(offline, triton), runs, repository)
