"""``cardiomesh models``: list them, and say which version answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cardiomesh.cli import show
from cardiomesh.cli.connection import GatewayOption, JsonOption, connect, connect_as_operator
from cardiomesh.client import Comparison, Route, Target, Trial
from cardiomesh.errors import InvalidRequest

__all__ = ["models"]

models = typer.Typer(
    help="List the models that can answer; try, promote and withdraw versions (needs the role operator).",
    invoke_without_command=True,
)
out = Console()

NameArgument = Annotated[str, typer.Argument(help='A model, or "fast" or "accurate" for what those modes stand for.')]
TargetArgument = Annotated[
    str,
    typer.Argument(metavar="VERSION", help="Where NAME is a mode, or for a shadow, also MODEL or MODEL:VERSION."),
]
ShareOption = Annotated[str, typer.Option(help="Share of all recordings, such as 5% or 0.05; 0 ends the trial.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for the audit trail.")]


@models.callback()
def list_models(context: typer.Context, as_json: JsonOption = False, gateway: GatewayOption = "") -> None:
    """List the models that can answer."""
    if context.invoked_subcommand is not None:
        return
    with connect(gateway) as client:
        served = client.models()
    if as_json:
        print(json.dumps({"models": [show.model_dict(info) for info in served]}, ensure_ascii=False))
    else:
        show.models(out, served)


@models.command()
def routes(
    name: Annotated[str, typer.Argument(help="One name; default: all.")] = "",
    as_json: JsonOption = False,
    gateway: GatewayOption = "",
) -> None:
    """Show what answers which name, and what is on trial."""
    with connect_as_operator(gateway) as admin:
        found = admin.routes(name)
    _show(found, as_json)


@models.command()
def canary(
    name: NameArgument,
    version: TargetArgument,
    share: ShareOption,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    gateway: GatewayOption = "",
) -> None:
    """Let a version on trial answer a share of all recordings."""
    with connect_as_operator(gateway) as admin:
        _show((admin.set_canary(name, Target.parse(version), _share(share), reason),), as_json)


@models.command()
def shadow(
    name: NameArgument,
    version: TargetArgument,
    share: ShareOption = "100%",
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    gateway: GatewayOption = "",
) -> None:
    """Let a version see copies of a share of all recordings; its answers are compared and given to nobody."""
    with connect_as_operator(gateway) as admin:
        _show((admin.set_shadow(name, Target.parse(version), _share(share), reason),), as_json)


@models.command()
def promote(
    name: NameArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Default: the canary.")] = "",
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    gateway: GatewayOption = "",
) -> None:
    """Let a version answer all recordings."""
    with connect_as_operator(gateway) as admin:
        _show((admin.promote(name, Target.parse(version) if version else None, reason),), as_json)


@models.command()
def rollback(
    name: NameArgument, reason: ReasonOption = "", as_json: JsonOption = False, gateway: GatewayOption = ""
) -> None:
    """End the trial or, where there is none, go back to what answered before the last promotion."""
    with connect_as_operator(gateway) as admin:
        _show((admin.rollback(name, reason),), as_json)


@models.command()
def compare(name: NameArgument, as_json: JsonOption = False, gateway: GatewayOption = "") -> None:
    """Show what the replica that answers has seen of a name's trials."""
    with connect_as_operator(gateway) as admin:
        found = admin.comparisons(name)
    if as_json:
        print(json.dumps({"comparisons": [asdict(comparison) for comparison in found]}))
        return
    if not found:
        out.print(f"nothing is on trial for {name}", highlight=False)
    for comparison in found:
        _show_comparison(comparison)


def _share(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError as error:
        raise InvalidRequest.field("share", f"{text!r} is no share; say 5% or 0.05", "MALFORMED") from error


def _show(found: tuple[Route, ...], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"routes": [asdict(route) for route in found]}, default=str))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("Name", "Answers now", "Set to", "Canary", "Shadow", "Before"):
        table.add_column(column)
    for route in found:
        table.add_row(
            route.name,
            str(route.serving or "nothing"),
            str(route.stable or "the newest"),
            _trial(route.canary),
            _trial(route.shadow),
            str(route.previous or ""),
        )
    out.print(table)


def _trial(trial: Trial | None) -> str:
    return "" if trial is None else f"{trial.target} {trial.share:.3g} since {trial.since:%Y-%m-%d %H:%M}"


def _ms(median: float | None) -> str:
    return "–" if median is None else f"{median:.1f} ms"


def _show_comparison(found: Comparison) -> None:
    """The worst statements first."""
    out.print(
        f"[bold]{found.kind}[/] {found.candidate} beside {found.reference}: {found.compared} recordings compared, "
        f"{found.dropped} dropped",
        highlight=False,
    )
    out.print(
        f"inferences {found.candidate_inferences}, failed {found.candidate_failures}, median "
        f"{_ms(found.candidate_median_ms)}; beside {found.reference_inferences}, {found.reference_failures}, "
        f"{_ms(found.reference_median_ms)}",
        highlight=False,
    )
    for test in found.tests:
        out.print(f"{test.name}: evidence {test.evidence:.3g} of {test.limit:.3g} after {test.seen}", highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("Statement", "Agreement", "Became present", "absent", "Mean change", "Prevalence", "PSI"):
        table.add_column(column)
    for statement in sorted(found.statements, key=lambda s: s.agreement):
        index = statement.stability_index
        table.add_row(
            statement.code,
            f"{statement.agreement:.4f}",
            str(statement.became_present),
            str(statement.became_absent),
            f"{statement.mean_change:.4f}",
            f"{statement.reference_prevalence:.4f} → {statement.candidate_prevalence:.4f}",
            "–" if index is None else f"{index:.3f}",
        )
    out.print(table)
