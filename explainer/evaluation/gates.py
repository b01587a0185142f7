"""From raw figures to gates: which method is on for a model, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
from scipy import stats

from explainer.evaluation.inprocess import STAGES
from explainer.evaluation.maps import METHODS
from explainer.evaluation.run import Found
from explainer.verdict import Gate, MethodVerdict

__all__ = ["verdicts_of"]

#: Limits, fixed before anything was measured.
RANDOMISATION: Final = 0.1
DELETION_P: Final = 0.01
POINTING: Final = 0.9
SELF_CONSISTENCY: Final = 0.65
COMPLETENESS: Final = 0.01
R2: Final = 0.7
JACCARD: Final = 0.8
VALIDITY: Final = 0.9
LEAD_ERROR_MV: Final = 1e-3


def verdicts_of(found: Found) -> dict[str, MethodVerdict]:
    """Gates and ungated figures of every method."""
    verdicts = {method: _verdict(found, method) for method in METHODS}
    validity, errors = found.of("counterfactual", "validity"), found.of("counterfactual", "lead_error_mv")
    verdicts["counterfactual"] = MethodVerdict(
        gates=(
            _gate("validity", _mean(validity), ">=", VALIDITY, validity),
            _gate("lead_error_mv", max(errors, default=1.0), "<=", LEAD_ERROR_MV, errors),
        ),
        figures={
            "energy_changed_median": _median(found.of("counterfactual", "energy_changed")),
            "plausibility_median": _median(found.of("counterfactual", "plausibility")),
        },
    )
    return verdicts


def _verdict(found: Found, method: str) -> MethodVerdict:
    gates = list(_common(found, method))
    if method == "integrated_gradients":
        errors = found.of(method, "completeness_error")
        gates.append(_gate("completeness_error", _median(errors), "<=", COMPLETENESS, errors))
    if method == "lime":
        fits, sets = found.of(method, "r2"), found.of(method, "top5_jaccard")
        gates.append(_gate("r2", _mean(fits), ">=", R2, fits))
        gates.append(_gate("top5_jaccard", _mean(sets), ">=", JACCARD, sets))
    return MethodVerdict(
        gates=tuple(gates), figures={k: round(v, 4) for k, v in _figures(found, method) if np.isfinite(v)}
    )


def _common(found: Found, method: str) -> Iterator[Gate]:
    ranks = found.of(method, f"rank_{STAGES[-1]}")
    yield _gate("randomisation", abs(_mean(ranks)), "<=", RANDOMISATION, ranks)
    below = found.of(method, "deletion_below_random")
    yield _gate("deletion_p", _p_value(below), "<=", DELETION_P, below)
    hits = found.of(method, "pointing")
    yield _gate("pointing", _mean(hits), ">=", POINTING, hits)
    alike = found.of(method, "self_consistency")
    yield _gate("self_consistency", _mean(alike), ">=", SELF_CONSISTENCY, alike)


def _figures(found: Found, method: str) -> Iterator[tuple[str, float]]:
    """What is told and decides nothing."""
    for name in ("deletion_below_random", "insertion_above_random", "deletion_below_fixed"):
        yield f"{name}_logit", _mean(found.of(method, name))
    yield "insertion_p", _p_value(found.of(method, "insertion_above_random"))
    yield "deletion_against_fixed_p", _p_value(found.of(method, "deletion_below_fixed"))
    for stage in STAGES[:-1]:
        if ranks := found.of(method, f"rank_{stage}"):
            yield f"randomisation_{stage}", _mean(ranks)
    for name in sorted(found.by_method[method]):
        if name.startswith("pointing: "):
            yield name, _mean(found.of(method, name))
    if method == "integrated_gradients":
        errors = np.array(found.of(method, "completeness_error"))
        yield "completeness_within_limit", float((errors <= COMPLETENESS).mean()) if len(errors) else float("nan")
    if method == "lime":
        yield "top5_jaccard_with_noise", _mean(found.of(method, "top5_jaccard_with_noise"))


def _gate(name: str, value: float, relation: Literal["<=", ">="], limit: float, values: list[float]) -> Gate:
    return Gate(name=name, value=round(value, 6), relation=relation, limit=limit, n=len(values))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def _p_value(differences: list[float]) -> float:
    """One-sided Wilcoxon signed-rank test that the differences are positive; 1 where there are none."""
    if not any(differences):
        return 1.0
    return float(stats.wilcoxon(differences, alternative="greater").pvalue)
