"""Options that several commands of the workshop share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DataOption", "ModelOption", "RepositoryOption", "RunsOption"]

ModelOption = Annotated[list[str], typer.Option("--model", "-m", help="Model name; may be given several times.")]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="PTB-XL folder (default: CARDIOMESH_DATA, else ../shared/data).")
]
RunsOption = Annotated[Path, typer.Option("--runs", help="Where checkpoints, caches and run records live.")]
RepositoryOption = Annotated[Path, typer.Option("--repository", help="Triton model repository.")]
