from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh.cards import ModelCard
from export.architectures import HybridConfig
from export.calibration.heads import calibrated_heads, cross_fitted
from export.calibration.logistic import sigmoid
from export.publishing.card import draft_card, hybrid_facts
from export.training.labels import LabelSpace, build_label_space, targets
from export.training.ptbxl import Records
from export.validation.evaluate import beta_of, evaluate
from export.validation.plot import reliability_plot
from export.validation.report import report_on
from export.validation.robustness import CONDITIONS, robustness, spoil
from export.validation.sources import records_source
from export.validation.subgroups import subgroups


class _Oracle:
    """A model that knows the labels and is unsure of them; it tells records apart by a mark in their first sample."""

    def __init__(self, records: Records, space: LabelSpace) -> None:
        truth = targets(records, space)
        random = np.random.default_rng(11)
        self._logits = {
            head: (4 * truth[head] - 3 + random.normal(0, 1.2, truth[head].shape)).astype(np.float32)
            for head in space.heads
        }
        self._mark = {float(x): n for n, x in enumerate(records.signals[:, 0, 0])}

    def logits(self, signals: np.ndarray) -> dict[str, np.ndarray]:
        rows = [self._mark[float(x)] for x in signals[:, 0, 0]]
        return {head: values[rows] for head, values in self._logits.items()}


@pytest.fixture(scope="module")
def oracle(records: Records) -> tuple[ModelCard, _Oracle, LabelSpace]:
    space = build_label_space(records)
    model, folds = _Oracle(records, space), (7, 8, 9)
    part = records.select(folds)
    patients = part.table["patient_id"].to_numpy()
    heads = calibrated_heads(space, model.logits(part.signals), targets(part, space), patients, 120)
    facts = hybrid_facts("oracle", HybridConfig(heads=space.sizes()[0]), 10, attribution=False)
    return draft_card(facts, 1, heads, records), model, space


def _three_folds(records: Records, oracle: Any, crossed: bool) -> Any:
    card, model, space = oracle
    part = records.select((7, 8, 9))
    logits, truth = model.logits(part.signals), targets(part, space)
    patients = part.table["patient_id"].to_numpy()
    judged = cross_fitted(space, logits, truth, patients, 120) if crossed else None
    return evaluate(card, logits, truth, patients, draws=100, crossed=judged)


def test_every_figure_is_there_and_its_interval_holds_it(records: Records, oracle: Any) -> None:
    result = _three_folds(records, oracle, crossed=False)
    assert {"superclass_macro_auc", "superclass_ece", "superclass_ece_floor", "conformal_coverage"} <= set(
        result.summary
    )
    assert set(result.classes) == {s.code for s in oracle[0].statements}
    area = result.classes["MI"]["auc"]
    assert area.low <= area.value <= area.high
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["records"] == 60


def test_what_was_chosen_on_the_records_looks_better_than_it_is(records: Records, oracle: Any) -> None:
    inside, outside = (_three_folds(records, oracle, crossed) for crossed in (False, True))
    assert outside.cross_fitted
    assert not inside.cross_fitted
    assert outside.summary["superclass_macro_auc"] == inside.summary["superclass_macro_auc"]
    f_inside, f_outside = (np.mean([r["f_beta"].value for r in x.classes.values()]) for x in (inside, outside))
    assert f_outside < f_inside


def test_urgent_findings_weigh_sensitivity_more(oracle: Any) -> None:
    betas = {s.code: beta_of(s) for s in oracle[0].statements}
    assert betas["MI"] == 2.0
    assert betas["NORM"] == 1.0


def test_the_calibration_fold_is_judged_by_cross_fitting_and_others_are_not(records: Records, oracle: Any) -> None:
    card, model, _ = oracle
    for fold in (9, 8):
        source = records_source(records.select((fold,)), (fold,))
        report = report_on(card, model, source)
        assert report.evaluation.cross_fitted is (fold == 9)
        assert report.subgroups
        assert report.effects == []


def test_subgroups_share_out_all_records(records: Records) -> None:
    table = records.table.assign(
        device="CART 1", static_noise=[" , I-V1,  " if n % 3 == 0 else None for n in range(180)]
    )
    random = np.random.default_rng(2)
    truth = (random.random((180, 5)) < 0.3).astype(np.float64)
    truth[:, 4] = 0
    score = sigmoid(truth * 2 - 1 + random.normal(0, 1, truth.shape))
    rows = subgroups(table, truth, score, score > 0.5, table["patient_id"].to_numpy())
    for by in ("sex", "age", "noise", "device"):
        assert sum(row.records for row in rows if row.by == by) == 180, by
    assert {row.group for row in rows if row.by == "age"} >= {"under 40", "40-59", "not known"}
    judged = [row for row in rows if row.macro_auc is not None]
    assert judged
    assert all(row.classes <= 4 for row in judged)
    assert [row.records for row in rows if row.macro_auc is None] == [r.records for r in rows if r.records < 20]


def _microvolts(count: int) -> np.ndarray:
    seconds = np.arange(5000) / 500
    beats = np.exp(-(((np.mod(seconds, 0.8) - 0.3) / 0.015) ** 2)) - 0.3 * np.exp(
        -(((np.mod(seconds, 0.8) - 0.33) / 0.02) ** 2)
    )
    scale = np.random.default_rng(5).uniform(300, 900, (count, 12, 1))
    scale[:, 2] = scale[:, 1] - scale[:, 0]
    return np.round(scale * beats + np.random.default_rng(6).normal(0, 3, (count, 12, 5000))).astype(np.int16)


def _named(name: str) -> Any:
    return next(c for c in CONDITIONS if c.name == name)


def test_conditions_do_to_the_tensor_what_they_say() -> None:
    recorded = _microvolts(3)
    plain, refused = spoil(recorded, _named("as recorded"))
    assert plain.shape == (3, 12, 1000)
    assert refused == 0
    doubled, _ = spoil(recorded, _named("all leads times 2.0"))
    np.testing.assert_allclose(doubled, 2 * plain, atol=1e-4)
    faster, _ = spoil(recorded, _named("source at 1000 Hz"))
    np.testing.assert_allclose(faster[:, :, 20:-20], plain[:, :, 20:-20], atol=0.02)
    silent, refused = spoil(recorded, _named("all chest leads flat"))
    assert np.abs(silent[:, 6:]).max() == 0
    assert refused == 1
    again, _ = spoil(recorded, _named("muscle noise 20-150 Hz, SNR 0 dB"))
    repeated, _ = spoil(recorded, _named("muscle noise 20-150 Hz, SNR 0 dB"))
    np.testing.assert_array_equal(again, repeated)
    assert not np.array_equal(again, plain)


@pytest.mark.parametrize("fill", ["edge", "zero", "repeat", "mirror"])
def test_short_recordings_are_filled_as_named_and_would_be_refused(fill: str) -> None:
    tensors, refused = spoil(_microvolts(1), _named(f"5 s, filled by {fill}"))
    head, tail = tensors[0, :, :500], tensors[0, :, 500:]
    expected = {
        "edge": np.repeat(head[:, -1:], 500, axis=1),
        "zero": np.zeros_like(tail),
        "repeat": head,
        "mirror": head[:, ::-1],
    }[fill]
    np.testing.assert_array_equal(tail, expected)
    assert refused == 1


def test_robustness_is_measured_against_the_recordings_as_they_are(oracle: Any) -> None:
    card, _, space = oracle
    count = 40
    random = np.random.default_rng(8)
    truth = (random.random((count, 5)) < 0.4).astype(np.float64)

    class Loud:
        """Finds what is loud, so that gain matters and order does not."""

        def logits(self, signals: np.ndarray) -> dict[str, np.ndarray]:
            loudness = np.abs(signals).mean(axis=(1, 2), dtype=np.float64)[:, None]
            return {head: np.repeat(40 * loudness - 4, len(codes), axis=1) for head, codes in space.heads.items()}

    chosen = tuple(_named(n) for n in ("as recorded", "all leads times 2.0"))
    spoilt: dict[str, Any] = {}
    rows = robustness(card, Loud(), _microvolts(count), truth, np.arange(count), spoilt, chosen)
    assert (rows[0].change.value, rows[0].flipped, rows[0].moved) == (0, 0, 0)
    assert rows[1].moved > 0.05
    assert abs(rows[1].change.value) < 1e-9  # a gain shared by all changes no ranking
    assert set(spoilt) == {c.name for c in chosen}


def test_reliability_plot_is_a_picture(records: Records, oracle: Any, tmp_path: Path) -> None:
    plot_file = tmp_path / "plots" / "reliability.png"
    result = _three_folds(records, oracle, crossed=False)
    assert set(result.bins) == {"all", "NORM", "MI", "STTC", "CD", "HYP"}
    reliability_plot(plot_file, "oracle", result.bins)
    assert plot_file.read_bytes().startswith(b"\x89PNG")
