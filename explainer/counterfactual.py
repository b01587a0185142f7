"""The smallest plausible change of the beat that flips a finding (Wachter et al., Harvard JOLT 31:841, 2018).

The typical beat of the recording is moved along the principal components of typical beats, and every beat of its shape
is changed alike, so that rate, rhythm and noise stay. Only the eight independent leads are free: Einthoven's law and
Goldberger's definitions hold exactly. Each step solves the served model's linearisation for the shortest move, in
standard deviations between people, that reaches the threshold (Moosavi-Dezfooli et al., DeepFool, CVPR 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.cards import Head, StatementKind
from cardiomesh.ecg.delineation import Delineation
from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from explainer.beat_basis import SAMPLES, BeatBasis, beat_basis
from explainer.beats import INDEPENDENT_ROWS, MIXING, places
from explainer.case import Case
from explainer.model import FloatArray
from explainer.withheld import Withheld

__all__ = ["MAX_STEPS", "Counterfactual", "counterfactual", "lead_error"]

MAX_STEPS: Final = 12
#: Aimed beyond the threshold by this much (logit), and believed from this much on.
_AIM: Final = 0.1
_MARGIN: Final = 0.02
#: Longest single move, in standard deviations: the linearisation is not to be trusted further.
_LONGEST: Final = 1.0
#: The found move is shortened to within 1/16 of the smallest share of it that still flips.
_BISECTIONS: Final = 4
#: Statements about single beats or about the order of beats: no change of the typical beat is about them.
_NOT_OF_THE_TYPICAL_BEAT: Final = frozenset({"PVC", "PAC", "BIGU", "TRIGU", "SVARR", "PRC(S)"})

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactual:
    """The changed recording, or the nearest that was reached."""

    #: Whether the served model itself calls the finding otherwise on it.
    found: bool
    #: Millivolts, ``[windows, leads, samples]``.
    ecg: FloatArray
    #: What the served model says of it.
    probability: float
    #: Length of the move in standard deviations.
    distance: float
    #: Squared distance of the changed beat from the mean beat over what 99 % of the training beats keep.
    plausibility: float
    #: Energy of the change over energy of the recording.
    energy: float
    steps: int
    #: Dimensions of the space that was searched.
    components: int
    #: The typical beat of the first window, recorded and changed, mV ``[leads, samples]``.
    beat_before: Array
    beat_after: Array


class _Morph:
    """From coordinates to a changed recording, and from its gradient back to coordinates."""

    def __init__(self, ecg: FloatArray, delineations: tuple[Delineation, ...], basis: BeatBasis) -> None:
        self._basis = basis
        self._places = [places(d) for d in delineations]
        self._independent = ecg[:, INDEPENDENT_ROWS].astype(np.float64)

    def changed(self, coordinates: Array) -> FloatArray:
        """The recording with every typical beat changed alike, all lead relations exact."""
        change = self._basis.change(coordinates)
        eight = self._independent.copy()
        for window, here in enumerate(self._places):
            for start, weight in here:
                first, last = max(0, start), min(eight.shape[2], start + SAMPLES)
                eight[window][:, first:last] += (change * weight)[:, first - start : last - start]
        return np.asarray(np.einsum("rl,wls->wrs", MIXING, eight), np.float32)

    def pulled_back(self, gradient: FloatArray) -> Array:
        """d logit / d coordinates from d logit / d ecg ``[windows, leads, samples]``."""
        eight = np.einsum("rl,wrs->wls", MIXING, gradient.astype(np.float64))
        beat = np.zeros((len(INDEPENDENT_LEADS), SAMPLES))
        for window, here in enumerate(self._places):
            for start, weight in here:
                first, last = max(0, start), min(eight.shape[2], start + SAMPLES)
                part = slice(first - start, last - start)
                beat[:, part] += eight[window][:, first:last] * weight[part]
        return np.asarray(self._basis.axes @ beat.reshape(-1))


def _head(case: Case) -> Head:
    return next(head for head in case.card.heads if case.statement in head.classes)


def _applicable(case: Case) -> None:
    if case.statement.kind is StatementKind.RHYTHM or case.code in _NOT_OF_THE_TYPICAL_BEAT:
        raise Withheld(
            explainer_pb2.MISSING_REASON_NOT_APPLICABLE,
            f"{case.code} is about the order of beats; no change of the typical beat can flip it",
            f"{case.code} trata da ordem dos batimentos; nenhuma mudança do batimento típico o inverte",
        )
    head = _head(case)
    if head.activation != "sigmoid" or case.card.input.leads != STANDARD_LEADS:
        raise Withheld(
            explainer_pb2.MISSING_REASON_UNSUPPORTED,
            "counterfactuals need independent statements over the twelve standard leads",
            "contrafactuais exigem achados independentes nas doze derivações padrão",
        )


async def counterfactual(case: Case, max_steps: int = MAX_STEPS) -> Counterfactual:
    """Search; raises Withheld where no change of the typical beat can be an answer."""
    _applicable(case)
    medians = [d.median for d in case.segmentation.delineations]
    if any(median is None for median in medians):
        raise Withheld(
            explainer_pb2.MISSING_REASON_NOT_EVALUABLE,
            "a window shows no whole beat to change",
            "uma janela não mostra um batimento inteiro para mudar",
        )
    basis = beat_basis()
    beats = [median.millivolts[INDEPENDENT_ROWS] for median in medians if median is not None]
    start = basis.coordinates(np.mean(beats, axis=0))
    limit = max(basis.limit, float(start @ start))  # an unusual heart may stay as unusual as it is
    morph = _Morph(case.ecg, case.segmentation.delineations, basis)
    threshold = case.statement.threshold
    side = -1.0 if case.probability >= threshold else 1.0
    goal = _head(case).logit_at(case.statement, threshold) if 0 < threshold < 1 else 0.0

    search = _Search(case, morph, start, limit, goal, side)
    here, steps = await search.walk(np.zeros(len(start)), max_steps)
    if not search.flipped(here.logit):  # caught in a fold of the network: once more from the way to the mean beat
        shares = np.array([0.25, 0.5, 0.75, 1.0])
        logits = await case.logits(np.stack([morph.changed(-share * start) for share in shares]))
        again, more = await search.walk(-shares[int((side * logits).argmax())] * start, max_steps)
        here, steps = max(here, again, key=lambda look: side * look.logit), steps + more
    move = await search.shortest(here.move) if search.flipped(here.logit) else here.move
    return await _result(case, morph, move, start, basis, steps)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """The finding's logit at a move, and its slope in coordinates."""

    move: Array
    logit: float
    slope: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """The search of one flip: ``side`` is the direction in which the logit must cross ``goal``."""

    case: Case
    morph: _Morph
    start: Array
    limit: float
    goal: float
    side: float

    def flipped(self, logit: float) -> bool:
        """Whether the finding is called otherwise, with a margin for rounding."""
        return self.side * (logit - self.goal) >= _MARGIN

    async def walk(self, move: Array, max_steps: int) -> tuple[_Look, int]:
        """Linearise, step, keep what leads nearer; a step that leads away is halved."""
        here, longest, steps = await self._look(move), _LONGEST, 1
        while not self.flipped(here.logit) and steps < max_steps:
            there = await self._look(self._next(here, longest))
            steps += 1
            if self.side * (there.logit - here.logit) > 0:
                here = there
            else:
                longest /= 2
        return here, steps

    async def shortest(self, move: Array) -> Array:
        """The smallest share of a move that still flips, by bisection."""
        low, high = 0.0, 1.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            logit = float((await self.case.logits(self.morph.changed(middle * move)[None]))[0])
            low, high = (low, middle) if self.flipped(logit) else (middle, high)
        return high * move

    async def _look(self, move: Array) -> _Look:
        logit, gradient = await self.case.gradients(self.morph.changed(move)[None])
        return _Look(move, float(logit[0]), self.morph.pulled_back(gradient[0]))

    def _next(self, here: _Look, longest: float) -> Array:
        """The shortest move that the linearisation takes beyond the goal, kept near to here and plausible."""
        square = float(here.slope @ here.slope)
        if square <= 0:
            return here.move
        wanted = self.goal + self.side * _AIM - here.logit
        step = here.slope * ((float(here.slope @ here.move) + wanted) / square) - here.move
        length = float(np.linalg.norm(step))
        reached = self.start + here.move + step * min(1.0, longest / max(length, 1e-12))
        distance = float(reached @ reached)
        return np.asarray(reached * math.sqrt(min(1.0, self.limit / distance)) - self.start)


async def _result(case: Case, morph: _Morph, move: Array, start: Array, basis: BeatBasis, steps: int) -> Counterfactual:
    changed = morph.changed(move)
    median = case.segmentation.delineations[0].median
    beat = median.millivolts if median is not None else np.zeros((len(STANDARD_LEADS), SAMPLES))
    probability = await case.served_probability(changed)
    threshold = case.statement.threshold
    difference = changed.astype(np.float64) - case.ecg
    reached = start + move
    return Counterfactual(
        found=(probability >= threshold) != (case.probability >= threshold),
        ecg=changed,
        probability=probability,
        distance=float(np.linalg.norm(move)),
        plausibility=float(reached @ reached) / basis.limit,
        energy=float((difference**2).sum() / max(float((case.ecg.astype(np.float64) ** 2).sum()), 1e-12)),
        steps=steps,
        components=len(move),
        beat_before=beat,
        beat_after=beat + MIXING @ basis.change(move),
    )


def lead_error(ecg: FloatArray) -> float:
    """Largest departure of ``[windows, leads, samples]`` from Einthoven's law and Goldberger's definitions, mV."""
    wide = ecg.astype(np.float64)
    return float(np.abs(np.einsum("rl,wls->wrs", MIXING, wide[:, INDEPENDENT_ROWS]) - wide).max())
