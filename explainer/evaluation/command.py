"""``python -m explainer evaluate`` and ``python -m explainer basis``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cardiomesh.cards import VERDICT_FILE, CardStore
from cardiomesh.ecg.delineation import delineate
from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from explainer.beat_basis import BASIS_FILE, learn, save
from explainer.evaluation.gates import verdicts_of
from explainer.evaluation.run import Found, Plan, evaluate
from explainer.model import FloatArray
from explainer.verdict import Verdict

__all__ = ["COMMANDS", "main"]

COMMANDS = ("evaluate", "basis")
_RECORDS = "conditioned records (.npz of `python -m export records`)"


def main(argv: Sequence[str]) -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m explainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("evaluate", help="measure whether the explanations of a model are true of it")
    measure.add_argument("--model", default="hybrid_mobile")
    measure.add_argument("--version", type=int, default=0, help="default: the newest published")
    measure.add_argument("--repository", type=Path, default=Path("model_repository"))
    measure.add_argument("--records", type=Path, required=True, help=_RECORDS)
    measure.add_argument("--cases", type=int, default=60, help="findings explained")
    measure.add_argument("--randomised", type=int, default=20, help="of them against shuffled weights")
    measure.add_argument("--planted", type=int, default=60, help="planted findings that the model sees")
    measure.add_argument("--seed", type=int, default=0)
    measure.add_argument("--json", action="store_true", help="print the verdict as JSON")
    measure.add_argument("--write", action="store_true", help=f"write {VERDICT_FILE} beside the card")
    basis = commands.add_parser("basis", help="learn the components of typical beats")
    basis.add_argument("--records", type=Path, required=True, help=_RECORDS)
    basis.add_argument("--out", type=Path, default=BASIS_FILE)
    options = parser.parse_args(argv)
    signals, name = _records(parser, options.records)
    if options.command == "basis":
        _learn(signals, options.out)
    else:
        asyncio.run(_evaluate(parser, options, signals, name))


def _records(parser: argparse.ArgumentParser, path: Path) -> tuple[FloatArray, str]:
    try:
        with np.load(path) as file:
            return np.asarray(file["signals"], np.float32), str(file["name"])
    except (OSError, KeyError, ValueError) as error:
        parser.error(f"--records {path}: {error}")


def _learn(signals: FloatArray, out: Path) -> None:
    rows = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    medians = [delineate(signal, 100.0).median for signal in signals]
    beats = np.stack([m.millivolts[rows] for m in medians if m is not None and m.beats > 2])
    basis = learn(beats)
    save(basis, out)
    print(f"{out}: {basis.beats} beats, {len(basis.axes)} components hold {basis.explained:.1%} of the variance")


async def _evaluate(
    parser: argparse.ArgumentParser, options: argparse.Namespace, signals: FloatArray, name: str
) -> None:
    folder = options.repository / options.model
    versions = [int(p.name) for p in folder.glob("*") if p.name.isdigit()] if folder.is_dir() else []
    version = options.version or max(versions, default=0)
    card = CardStore(options.repository).get(options.model, version)
    if card is None or card.attribution is None:
        parser.error(f"{options.model} version {version} is not published with a graph for attribution")
    plan = Plan(options.cases, options.randomised, options.planted, options.seed)
    found, steps = Found(), plan.cases + plan.randomised + plan.planted
    done = 0
    async for found in evaluate(options.repository, card, signals, plan):  # noqa: B007 - the last one counts
        done += 1
        if sys.stderr.isatty() or done % 10 == 0:
            print(f"{done} of {steps}", file=sys.stderr, flush=True)
    verdict = Verdict(
        model=card.name,
        version=card.version,
        card_digest=card.digest,
        command=f"python -m explainer evaluate --model {card.name} --cases {plan.cases} --randomised "
        f"{plan.randomised} --planted {plan.planted} --seed {plan.seed}",
        data=name,
        methods=verdicts_of(found),
    )
    text = json.dumps(verdict.model_dump(), indent=1) + "\n"
    if options.write:
        (folder / str(version) / VERDICT_FILE).write_text(text)
    print(text if options.json else _table(verdict))


def _table(verdict: Verdict) -> str:
    """Markdown, as in the documents."""
    rows = ["| method | gate | measured | limit | n | |", "|---|---|---|---|---|---|"]
    for method, result in verdict.methods.items():
        rows += [
            f"| {method} | {g.name} | {g.value:.3g} | {g.relation} {g.limit:g} | {g.n} | "
            f"{'passed' if g.passed else '**missed**'} |"
            for g in result.gates
        ]
    rows.append("")
    for method, result in verdict.methods.items():
        rows.append(f"{method}: " + ", ".join(f"{k} {v:.3g}" for k, v in result.figures.items()))
    return "\n".join([f"{verdict.model} version {verdict.version}, {verdict.data}", "", *rows])
