"""Measure every method on one model; see ``docs/explanations.md`` for what each figure means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from cardiomesh.cards import ModelCard
from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS, derive_limb_leads
from explainer.attribution import grad_cam, gradient_x_input
from explainer.case import Case
from explainer.counterfactual import counterfactual, lead_error
from explainer.evaluation.deletion import curves, fixed_mask
from explainer.evaluation.inprocess import STAGES, InProcessModel
from explainer.evaluation.maps import METHODS, Maps, maps_of
from explainer.evaluation.planted import PLANTS, Plant, planted
from explainer.lime import jaccard, lime, top
from explainer.model import FloatArray, Model, probabilities
from explainer.segments import SEGMENTS, Segmentation, segment, shares
from explainer.withheld import Withheld

__all__ = ["Found", "Plan", "evaluate"]

#: Noise that a second recording of the same heart would have (mV).
_NOISE: Final = 0.02
#: Random orders that each deletion is compared with.
_RANDOM_ORDERS: Final = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    cases: int
    randomised: int
    planted: int
    seed: int = 0


@dataclass(slots=True)
class Found:
    """Raw figures, one list per name and method; a case adds one number to each."""

    by_method: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, method: str, name: str, value: float) -> None:
        """One number more."""
        self.by_method[method][name].append(float(value))

    def of(self, method: str, name: str) -> list[float]:
        """All of one name."""
        return self.by_method[method][name]


async def evaluate(repository: Path, card: ModelCard, signals: FloatArray, plan: Plan) -> AsyncIterator[Found]:
    """Measure on ``signals`` ``[records, leads, samples]``; yields the figures so far after each step."""
    found, model = Found(), InProcessModel(repository, card)
    for case in [case async for case in _cases(model, card, signals, plan.cases, plan.seed)]:
        maps = await maps_of(case)
        await _deletion(case, maps, found, plan.seed)
        await _consistency(case, maps, found, plan.seed)
        await _counterfactual(case, found)
        yield found
    shuffled = {stage: InProcessModel(repository, card, STAGES[: k + 1], seed=1) for k, stage in enumerate(STAGES)}
    async for case in _cases(model, card, signals, plan.randomised, plan.seed + 1):
        await _randomisation(case, shuffled, found)
        yield found
    async for case, plant in _planted(model, card, signals, plan):
        _pointing(case, plant, await maps_of(case), found)
        yield found


async def _cases(model: Model, card: ModelCard, signals: FloatArray, count: int, seed: int) -> AsyncIterator[Case]:
    """One present finding of one record after another, in seeded order."""
    rng = np.random.default_rng(seed)
    for k in rng.permutation(len(signals)):
        ecg = signals[k : k + 1]
        predicted = await model.predict(card, ecg)
        chances = zip(card.statements, probabilities(card, predicted), strict=True)
        present = [s.code for s, p in chances if p >= s.threshold]
        if not present or count <= 0:
            continue
        found = segment(ecg, card.input.sampling_rate_hz)
        if found.beats:
            count -= 1
            yield Case(model, card, ecg, predicted, present[int(rng.integers(len(present)))], found)


async def _deletion(case: Case, maps: Maps, found: Found, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = len(maps.lime.features)
    random = np.mean([await curves(case, rng.random(features)) for _ in range(_RANDOM_ORDERS)], axis=0)
    fixed = await curves(case, fixed_mask(case))
    for method in METHODS:
        deletion, insertion = await curves(case, maps.features[method])
        found.add(method, "deletion_below_random", random[0] - deletion)
        found.add(method, "insertion_above_random", insertion - random[1])
        found.add(method, "deletion_below_fixed", fixed[0] - deletion)
    found.add("integrated_gradients", "completeness_error", maps.completeness_error)
    found.add("lime", "r2", maps.lime.r2)


async def _consistency(case: Case, maps: Maps, found: Found, seed: int) -> None:
    """Against the same recording with other noise, and for LIME with other perturbations."""
    rng = np.random.default_rng(seed + 7)
    noise = dict(
        zip(INDEPENDENT_LEADS, rng.normal(0, _NOISE, (len(INDEPENDENT_LEADS), *case.ecg.shape[::2])), strict=True)
    )
    noise |= derive_limb_leads(noise)
    noisy = case.ecg + np.stack([noise[lead] for lead in STANDARD_LEADS], axis=1).astype(np.float32)
    predicted = await case.model.predict(case.card, noisy)
    other = Case(case.model, case.card, noisy, predicted, case.code, case.segmentation)
    again = await maps_of(other, seed=seed + 1, steps=24)
    for method in METHODS:
        r = np.corrcoef(maps.features[method], again.features[method])[0, 1]
        found.add(method, "self_consistency", r if np.isfinite(r) else 0.0)
    found.add("lime", "top5_jaccard_with_noise", jaccard(top(maps.lime.weights), top(again.lime.weights)))
    same = await lime(case, seed=seed + 2)
    found.add("lime", "top5_jaccard", jaccard(top(maps.lime.weights), top(same.weights)))


async def _counterfactual(case: Case, found: Found) -> None:
    try:
        answer = await counterfactual(case)
    except Withheld:
        return
    found.add("counterfactual", "validity", answer.found)
    if answer.found:
        found.add("counterfactual", "lead_error_mv", lead_error(answer.ecg))
        found.add("counterfactual", "energy_changed", answer.energy)
        found.add("counterfactual", "plausibility", answer.plausibility)


async def _randomisation(case: Case, shuffled: dict[str, InProcessModel], found: Found) -> None:
    """Spearman's rank correlation with the map of the shuffled model, per stage of the cascade."""
    trained = await maps_of(case, steps=24)
    for stage, model in shuffled.items():
        last = stage == STAGES[-1]
        predicted = await model.predict(case.card, case.ecg)
        other = Case(model, case.card, case.ecg, predicted, case.code, case.segmentation)
        passed = await model.attribute(case.card, case.ecg, other.target(1))
        untrained = (await maps_of(other, steps=24)) if last else None
        maps = {
            "gradient_x_input": gradient_x_input(passed, case.ecg),
            "grad_cam": grad_cam(passed, case.ecg.shape[2]),
        }
        if untrained is not None:
            maps["integrated_gradients"] = untrained.samples["integrated_gradients"]
            found.add("lime", f"rank_{stage}", _rank(trained.lime.weights, untrained.lime.weights))
        for method, values in maps.items():
            found.add(method, f"rank_{stage}", _rank(trained.samples[method], values))


def _rank(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    rank = stats.spearmanr(one.reshape(-1), other.reshape(-1)).statistic if np.ptp(other) > 0 else 0.0
    return float(rank) if np.isfinite(rank) else 0.0


async def _planted(model: Model, card: ModelCard, signals: FloatArray, plan: Plan) -> AsyncIterator[tuple[Case, Plant]]:
    """Plants that the model sees: a finding of theirs, absent before, is present."""
    rng = np.random.default_rng(plan.seed + 2)
    left = plan.planted
    thresholds = {s.code: s.threshold for s in card.statements}
    for k in rng.permutation(len(signals)):
        ecg = signals[k : k + 1]
        before = dict(zip(thresholds, probabilities(card, await model.predict(card, ecg)), strict=True))
        if left <= 0 or before.get("NORM", 0.0) < thresholds.get("NORM", 1.0):
            continue
        d = segment(ecg, card.input.sampling_rate_hz).delineations[0]
        for plant in PLANTS:
            changed = planted(plant, ecg[0], d)[None]
            predicted = await model.predict(card, changed)
            after = dict(zip(thresholds, probabilities(card, predicted), strict=True))
            seen = [c for c in plant.codes if c in after and before[c] < thresholds[c] <= after[c]]
            if seen:
                code = max(seen, key=lambda c: after[c] / thresholds[c])
                left -= 1
                yield Case(model, card, changed, predicted, code, segment(changed, card.input.sampling_rate_hz)), plant


def _pointing(case: Case, plant: Plant, maps: Maps, found: Found) -> None:
    """Whether the strongest place of each map lies in the plant."""
    leads = case.card.input.leads
    for method in METHODS:
        if method == "lime":
            best = maps.lime.features[int(maps.lime.weights.argmax())]
            overlap = len(set(best.territory.leads) & plant.leads) / len(best.territory.leads)
            hit = best.segment in plant.segments and overlap >= 0.5
        elif method == "grad_cam":
            hit = _strongest_segment(maps.samples[method], case.segmentation) in plant.segments
        else:
            cells = shares(maps.samples[method], case.segmentation.labels)
            row, column = divmod(int(cells.argmax()), cells.shape[1])
            hit = SEGMENTS[row] in plant.segments and leads[column] in plant.leads
        found.add(method, "pointing", hit)
        found.add(method, f"pointing: {plant.name}", hit)


def _strongest_segment(values: npt.NDArray[np.float32], segmentation: Segmentation) -> str:
    """By mean, because a map without leads spreads over long segments."""
    means = {k: float(values[:, 0][segmentation.labels == k].mean()) for k in segmentation.present}
    return SEGMENTS[max(means, key=lambda k: means[k])]
