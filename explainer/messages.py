"""What the methods found, as parts on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh.language import Language
from cardiomesh.rules.words import number
from explainer.case import Case
from explainer.counterfactual import Counterfactual
from explainer.lime import Lime
from explainer.model import FloatArray
from explainer.remeasure import Moved
from explainer.segments import SEGMENTS, shares
from explainer.words import SEGMENT_NAMES, joined, lead_range, where

__all__ = ["attribution_part", "counterfactual_part", "lime_part", "method_name", "missing_part"]

_LEAST_SHARE: Final = 0.01
#: Measurements listed with a counterfactual, and features named in a sentence.
_MOVED: Final = 12
_NAMED: Final = 3


def method_name(method: explainer_pb2.Method.ValueType) -> str:
    """``METHOD_GRAD_CAM`` as people and files write it: ``grad_cam``."""
    return explainer_pb2.Method.Name(method).removeprefix("METHOD_").lower()


def attribution_part(
    case: Case, method: str, values: FloatArray, gap: float, window_starts: Sequence[float]
) -> explainer_pb2.Attribution:
    """``values`` ``[windows, leads or 1, samples]``; one row stands for all leads together."""
    whole = values.shape[1] == 1
    leads = [] if whole else list(case.card.input.leads)
    positive = np.maximum(values, 0).sum(axis=(0, 2), dtype=np.float64)
    total = float(positive.sum())
    part = explainer_pb2.Attribution(
        finding_code=case.code,
        method=method,
        leads=leads,
        sampling_rate=case.card.input.sampling_rate_hz,
        values=values.astype("<f4").tobytes(),
        window_starts=window_starts,
        probability=case.probability,
        lead_shares=[] if whole else (positive / total if total > 0 else np.zeros_like(positive)),
        prediction_gap=gap,
    )
    if case.segmentation.beats:
        found = shares(values, case.segmentation.labels)
        part.segments.extend(_segment_shares(found, leads))
        part.summary.CopyFrom(where(found, leads))
    return part


def _segment_shares(found: npt.NDArray[np.float64], leads: Sequence[str]) -> list[explainer_pb2.SegmentShare]:
    order = np.argsort(-found, axis=None, kind="stable")
    places = [divmod(int(k), found.shape[1]) for k in order]
    return [
        explainer_pb2.SegmentShare(
            segment=SEGMENTS[row], lead=leads[column] if leads else "", share=float(found[row, column])
        )
        for row, column in places
        if found[row, column] >= _LEAST_SHARE
    ]


def lime_part(case: Case, found: Lime) -> explainer_pb2.Lime:
    """The strongest feature first."""
    order = [int(k) for k in np.argsort(-np.abs(found.weights), kind="stable")]
    features = [
        explainer_pb2.LimeFeature(
            segment=found.features[k].segment,
            group=found.features[k].territory.name,
            leads=found.features[k].territory.leads,
            weight=float(found.weights[k]),
        )
        for k in order
    ]
    supporting = [f for f in features if f.weight > 0][:_NAMED]
    return explainer_pb2.Lime(features=features, summary=_needs(case, supporting))


def _needs(case: Case, supporting: Sequence[explainer_pb2.LimeFeature]) -> explainer_pb2.Text:
    if not supporting:
        return explainer_pb2.Text(
            en=f"Nothing that differs from an average heart speaks for {case.code}.",
            pt=f"Nada do que difere de um coração médio fala a favor de {case.code}.",
        )
    order = case.card.input.leads
    names = [[f"{SEGMENT_NAMES[f.segment][k]} {lead_range(f.leads, order)}" for f in supporting] for k in (0, 1)]
    return explainer_pb2.Text(
        en=f"{case.code} rests most on: {joined(names[0], 'and')}.",
        pt=f"{case.code} apoia-se sobretudo em: {joined(names[1], 'e')}.",
    )


def counterfactual_part(
    case: Case, found: Counterfactual, moved: Sequence[Moved], window_starts: Sequence[float]
) -> explainer_pb2.Counterfactual:
    """The changed recording and what moved; without values where none was found."""
    part = explainer_pb2.Counterfactual(
        found=found.found,
        probability_before=case.probability,
        probability_after=found.probability,
        threshold=case.statement.threshold,
    )
    if not found.found:
        part.summary.en = (
            f"No valid counterfactual found: the nearest plausible beat still gives {found.probability:.2f} "
            f"(threshold {case.statement.threshold:.2f})."
        )
        part.summary.pt = (
            f"Nenhum contrafactual válido encontrado: o batimento plausível mais próximo ainda dá "
            f"{found.probability:.2f} (limiar {case.statement.threshold:.2f})."
        )
        return part
    energy = (found.ecg.astype(np.float64) - case.ecg) ** 2
    by_segment = shares(energy, case.segmentation.labels).sum(axis=1)
    part.values = found.ecg.astype("<f4").tobytes()
    part.leads.extend(case.card.input.leads)
    part.sampling_rate = case.card.input.sampling_rate_hz
    part.window_starts.extend(window_starts)
    part.energy_changed = found.energy
    part.beat_before = found.beat_before.astype("<f4").tobytes()
    part.beat_after = found.beat_after.astype("<f4").tobytes()
    part.segments.extend(_segment_shares(by_segment[:, None], []))
    part.moved.extend(
        explainer_pb2.MovedMeasurement(
            key=m.key, lead=m.lead, unit=m.unit, before=m.before, after=m.after, tolerances=m.tolerances
        )
        for m in moved[:_MOVED]
    )
    part.summary.CopyFrom(_flipped(case, found, by_segment))
    return part


def _flipped(case: Case, found: Counterfactual, by_segment: npt.NDArray[np.float64]) -> explainer_pb2.Text:
    present = case.probability >= case.statement.threshold
    strongest = SEGMENT_NAMES[SEGMENTS[int(by_segment.argmax())]]
    share = f"{100 * float(by_segment.max()):.0f} %"

    def change(language: Language) -> str:
        return " → ".join(number(p, "1", language, 2) for p in (case.probability, found.probability))

    def energy(language: Language) -> str:
        return f"{number(100 * found.energy, '%', language, 1)} %"

    return explainer_pb2.Text(
        en=f"{case.code} would be {'absent' if present else 'present'} ({change('en')}) with {energy('en')} of the "
        f"signal's energy changed, mostly in the {strongest[0]} ({share}).",
        pt=f"{case.code} estaria {'ausente' if present else 'presente'} ({change('pt')}) com {energy('pt')} da energia "
        f"do sinal mudada, sobretudo em: {strongest[1]} ({share}).",
    )


def missing_part(reason: explainer_pb2.MissingReason.ValueType, en: str, pt: str) -> explainer_pb2.Missing:
    """What could not be done, and why."""
    return explainer_pb2.Missing(reason=reason, text=explainer_pb2.Text(en=en, pt=pt))
