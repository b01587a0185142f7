"""What the decision layer does to the answers on fold 9 of PTB-XL, through the whole mesh. Prints Markdown.

    python -m benchmarks.decision [--data DIR] [--limit N]

Each recording is sent as it is stored (500 Hz) with the patient's age and sex, and measured; hybrid_mobile answers.
Each rule of the policy is then judged alone: on the recordings it acts on (those that depend on the setting or a poor
signal: as if every recording were one), its threshold against the card's. Every twentieth recording is sent in each
setting too, and must come back with the thresholds that the tables are made with. Fold 9 chose the card's thresholds
and prediction sets, so the figures are hopeful; the differences between them less so.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cardiomesh.cards import CARD_FILE, ModelCard, Urgency, load_card
from cardiomesh.client import SETTINGS, Analysis, Client, RecordingArguments
from cardiomesh.ecg.recording import MAX_AGE_YEARS
from cardiomesh.errors import UnfitRecording
from cardiomesh.local import Mesh
from export.publishing.repository import newest_folder
from export.training.settings import VALIDATION_FOLD
from export.validation.sources import Source, ptbxl_source
from gateway.decision import Policy, load_policy
from gateway.decision.policy import Shift
from gateway.decision.thresholds import moved

REPOSITORY = Path("model_repository")
MODEL = "hybrid_mobile"
CHECKED = 20
Array = npt.NDArray[Any]


def main() -> None:
    """Ask the mesh, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int, help="only so many recordings")
    asked = parser.parse_args()
    source = ptbxl_source(asked.data, (VALIDATION_FOLD,), Path("runs/cache"))
    card, policy = load_card(newest_folder(REPOSITORY, MODEL) / CARD_FILE), load_policy()
    kept, answers = answered(source, card, policy, asked.limit)
    truth = np.concatenate([source.truth(card)[head.output] for head in card.heads], axis=1)[kept] > 0.5
    print(f"\n{len(answers)} recordings of fold 9, {card.name} version {card.version}, policy {policy.digest[:12]}\n")
    shifts_table(card, policy, answers, truth)
    outcomes_table(card, answers, truth)
    over_read_table(card, answers, truth)
    critical_table(policy, answers, [sorted(codes) for codes in source.table["codes"].to_numpy()[kept]])


def recording_of(patient: Any, microvolts: Array) -> RecordingArguments:
    """One recording as a caller sends it."""
    found: RecordingArguments = {"signal": microvolts, "sampling_rate": 500.0, "unit": "uV"}
    if not np.isnan(patient["age"]):
        found["age_years"] = min(int(patient["age"]), MAX_AGE_YEARS)
    found["sex"] = "female" if patient["sex"] == 1 else "male"
    return found


def answered(source: Source, card: ModelCard, policy: Policy, limit: int | None) -> tuple[list[int], list[Analysis]]:
    """Rows that were fit, and their answers; every twentieth in each setting, to hold the policy to what is served."""
    if source.microvolts is None or source.table is None:
        raise SystemExit("the recordings as stored are needed")
    microvolts, kept, answers = source.microvolts(), [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        Mesh(directory=Path(folder)) as mesh,
        Client(mesh.addresses.gateway, credential=mesh.api_key) as client,
    ):
        for row in tqdm(range(limit or len(microvolts)), desc="analyse"):
            arguments = recording_of(source.table.iloc[row], microvolts[row])
            try:
                answer = client.analyze(model=MODEL, measure=True, **arguments)
            except UnfitRecording:
                continue
            kept.append(row)
            answers.append(answer)
            for setting in SETTINGS[1:] if row % CHECKED == 0 else ():
                served = client.analyze(model=MODEL, setting=setting, **arguments)  # type: ignore[arg-type]
                check(card, policy, setting, served)
    return kept, answers


def check(card: ModelCard, policy: Policy, setting: str, served: Analysis) -> None:
    """The served thresholds are those of the policy."""
    applying = policy.applying(setting, served.quality.grade, served.recording.age_years)
    for statement, finding in zip(card.statements, served.findings, strict=True):
        if finding.threshold != moved(statement, policy, applying).threshold:
            raise SystemExit(f"{statement.code}: the mesh used another threshold than the policy's")


def acts_on(shift: Shift, answer: Analysis) -> bool:
    """Whether a rule acts on a recording, were it in the rule's setting and of its grade."""
    grade = shift.when.grades[0] if shift.when.grades else answer.quality.grade
    return shift.when.holds(shift.when.setting or "", grade, answer.recording.age_years)


def share(hits: int, count: int) -> str:
    """A share, or a dash."""
    return f"{hits / count:.3f}" if count else "–"


def shifts_table(card: ModelCard, policy: Policy, answers: Sequence[Analysis], truth: Array) -> None:
    """Each rule alone, pooled over its statements and for each of them."""
    print("| rule | statements | records | positives | sensitivity | specificity | calls gained (true) | lost (true) |")
    print("|---|---|---|---|---|---|---|---|")
    p = np.array([[f.probability for f in answer.findings] for answer in answers])
    for shift in policy.shifts:
        rows = np.array([acts_on(shift, answer) for answer in answers])
        columns = [k for k, s in enumerate(card.statements) if shift.of.covers(s)]
        groups = [("all " + str(len(columns)), columns)] if len(columns) > 1 else []
        for name, group in groups + [(card.statements[k].code, [k]) for k in columns]:
            y = truth[rows][:, group]
            before = p[rows][:, group] >= [card.statements[k].threshold for k in group]
            after = p[rows][:, group] >= [moved(card.statements[k], policy, (shift,)).threshold for k in group]
            gained, lost = after & ~before, before & ~after
            print(
                f"| {shift.id} | {name} | {rows.sum()} | {y.sum()} "
                f"| {share((before & y).sum(), y.sum())} → {share((after & y).sum(), y.sum())} "
                f"| {share((~before & ~y).sum(), (~y).sum())} → {share((~after & ~y).sum(), (~y).sum())} "
                f"| {gained.sum()} ({(gained & y).sum()}) | {lost.sum()} ({(lost & y).sum()}) |"
            )


def _urgent(card: ModelCard) -> Array:
    return np.array([s.urgency in (Urgency.URGENT, Urgency.CRITICAL) for s in card.statements])


def outcomes_table(card: ModelCard, answers: Sequence[Analysis], truth: Array) -> None:
    """How often each outcome is given, and how often it is right, with the rules that age and quality set off."""
    outcomes = np.array([[f.outcome or "not stated" for f in answer.findings] for answer in answers])
    present = np.array([[f.present for f in answer.findings] for answer in answers])
    print("\n| outcome | share, all statements | finding there | share, urgent statements | finding there |")
    print("|---|---|---|---|---|")
    urgent = _urgent(card)
    for name in ("present", "absent", "uncertain, called", "uncertain, not called", "not stated"):
        found = outcomes == name.partition(",")[0]
        if name.startswith("uncertain"):
            found &= present if name.endswith(", called") else ~present
        cells = []
        for columns in (np.ones_like(urgent), urgent):
            here, y = found[:, columns], truth[:, columns]
            cells += [share(here.sum(), here.size), share((here & y).sum(), here.sum())]
        print(f"| {name} | {' | '.join(cells)} |")


def over_read_table(card: ModelCard, answers: Sequence[Analysis], truth: Array) -> None:
    """Whether a human is called where an urgent statement is wrong, and left alone where all are right."""
    present = np.array([[f.present for f in answer.findings] for answer in answers])
    urgent = _urgent(card)
    missed = (truth & ~present)[:, urgent].any(axis=1)
    false = (~truth & present)[:, urgent].any(axis=1)
    flags = {
        "over_read": np.array([a.decision is not None and a.decision.over_read for a in answers]),
        "any urgent statement uncertain": np.array(
            [any(f.outcome == "uncertain" and f.urgency == "urgent" for f in a.findings) for a in answers]
        ),
        "any urgent statement called": present[:, urgent].any(axis=1),
    }
    print("\n| a human is called by | all | an urgent finding missed | a false urgent call | all urgent calls right |")
    print("|---|---|---|---|---|")
    groups = [np.ones_like(missed), missed, false, ~(missed | false)]
    print(f"| (records) | {' | '.join(str(group.sum()) for group in groups)} |")
    for name, flag in flags.items():
        print(f"| {name} | {' | '.join(share((flag & group).sum(), group.sum()) for group in groups)} |")


def critical_table(policy: Policy, answers: Sequence[Analysis], labels: Sequence[Sequence[str]]) -> None:
    """Each criterion of a critical finding: how often it is met, and on what."""
    print("\n| criterion | met | not evaluable | PTB-XL's codes of the records that meet it |\n|---|---|---|---|")
    decisions = [answer.decision for answer in answers]
    for rule_id in policy.critical:
        met = [k for k, d in enumerate(decisions) if d and any(c.code == rule_id for c in d.critical)]
        untold = sum(d is not None and rule_id in d.not_evaluable for d in decisions)
        said = "; ".join(" ".join(labels[k]) for k in met)
        print(f"| {rule_id} | {len(met)} | {untold} | {said} |")


if __name__ == "__main__":
    main()
