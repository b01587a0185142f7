"""Commands that change or check the model repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.options import DataOption, ModelOption, RepositoryOption, RunsOption

if TYPE_CHECKING:
    from export.publishing.measure import External

__all__ = ["ensemble", "publish", "recalibrate", "rollback", "verify"]

_REPOSITORY = Path("model_repository")
_LudbOption = Annotated[Path | None, typer.Option(help="LUDB folder for the external figures.")]
_RobustnessOption = Annotated[bool, typer.Option(help="Measure robustness too (minutes).")]
_VersionOption = Annotated[int | None, typer.Option(help="Version number (default: the next one).")]
_OverwriteOption = Annotated[bool, typer.Option(help="Replace that version; only before a release.")]


def _external(data: Path | None, robustness: bool, ludb: Path | None) -> External:
    from export.publishing.measure import External

    return External(data, robustness, ludb)


def _say(place: Path) -> None:
    """Where the version lies, and which ensembles were calibrated with what it replaced."""
    from export.publishing.rollback import answering_with

    typer.echo(place)
    for ensemble in answering_with(place.parents[1], place.parent.name, int(place.name)):
        typer.secho(f"{ensemble} answers with this version: publish it anew", err=True, fg="yellow")


def publish(
    model: ModelOption,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint to publish (default: RUNS/MODEL-s1/checkpoint.pt).")
    ] = None,
    data: DataOption = None,
    ludb: _LudbOption = None,
    robustness: _RobustnessOption = False,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = _REPOSITORY,
    attribution: Annotated[bool, typer.Option(help="Also publish the attribution graph.")] = True,
    version: _VersionOption = None,
    overwrite: _OverwriteOption = False,
) -> None:
    """Export a checkpoint to ONNX, calibrate and measure it on fold 9, and publish a version if it passes the gate."""
    from export.publishing.publish import publish as run
    from export.training.ptbxl import load_ptbxl

    records = load_ptbxl(data, cache=runs / "cache")
    external = _external(data, robustness, ludb)
    for name in model:
        source = checkpoint or runs / f"{name}-s1" / "checkpoint.pt"
        _say(run(name, source, records, repository, external, attribution, version, overwrite))


def recalibrate(
    model: ModelOption,
    data: DataOption = None,
    ludb: _LudbOption = None,
    robustness: _RobustnessOption = False,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = _REPOSITORY,
    version: _VersionOption = None,
    overwrite: _OverwriteOption = False,
) -> None:
    """Publish the newest version's weights anew: calibrated, measured and described by the present procedure."""
    from export.publishing.publish import recalibrate as run
    from export.training.ptbxl import load_ptbxl

    records = load_ptbxl(data, cache=runs / "cache")
    external = _external(data, robustness, ludb)
    for name in model:
        _say(run(name, records, repository, external, version, overwrite))


def ensemble(
    model: ModelOption,
    name: Annotated[str, typer.Option(help="Name of the ensemble.")] = "ensemble",
    data: DataOption = None,
    ludb: _LudbOption = None,
    robustness: _RobustnessOption = False,
    runs: RunsOption = Path("runs"),
    repository: RepositoryOption = _REPOSITORY,
    version: _VersionOption = None,
    overwrite: _OverwriteOption = False,
) -> None:
    """Publish the weighted mean of the newest versions of some models; weights by log-loss on fold 9."""
    from export.publishing.ensemble import publish_ensemble
    from export.training.ptbxl import load_ptbxl

    records = load_ptbxl(data, cache=runs / "cache")
    external = _external(data, robustness, ludb)
    typer.echo(publish_ensemble(name, tuple(model), records, repository, external, version, overwrite))


def rollback(model: ModelOption, repository: RepositoryOption = _REPOSITORY) -> None:
    """Take the newest version out of service; the one before it answers again."""
    from export.publishing.repository import versions
    from export.publishing.rollback import rollback as run

    for name in model:
        number = run(repository, name)
        typer.echo(f"{name}: version {number} withdrawn, version {versions(repository, name)[-1]} serves")


def verify(repository: RepositoryOption = _REPOSITORY) -> None:
    """Compare every published file with the SHA-256 in its card; exit code 1 where one differs."""
    from export.errors import WorkshopError
    from export.publishing.rollback import verify as run

    if not repository.is_dir():
        raise WorkshopError(f"{repository} is not a folder")
    good, wrong = run(repository)
    for place in good:
        typer.echo(f"as recorded  {place}")
    for reason in wrong:
        typer.secho(f"wrong  {reason}", err=True, fg="red")
    if wrong or not good:
        raise typer.Exit(1)
