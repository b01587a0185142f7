"""Where evidence lies, in words a cardiologist uses, from numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.explainer.v1 import explainer_pb2
from explainer.segments import SEGMENTS

__all__ = ["SEGMENT_NAMES", "joined", "lead_range", "where"]

#: English and Portuguese.
SEGMENT_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "P": ("P wave", "onda P"),
    "PR": ("PR segment", "segmento PR"),
    "QRS": ("QRS complex", "complexo QRS"),
    "ST": ("ST segment", "segmento ST"),
    "T": ("T wave", "onda T"),
    "TP": ("baseline between beats", "linha de base entre batimentos"),
}
#: Segments named in one sentence, and the least share that is named.
_NAMED: Final = 2
_LEAST: Final = 0.15
#: Leads are named until they hold this much of their segment.
_MOST: Final = 0.6


def joined(words: Sequence[str], conjunction: str) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def lead_range(leads: Sequence[str], order: Sequence[str]) -> str:
    """Leads in standard order; three or more neighbouring chest leads become a range: ``II, III, V1–V4``."""
    ranks = sorted(order.index(lead) for lead in leads)
    names: list[str] = []
    while ranks:
        run = 1
        while run < len(ranks) and ranks[run] == ranks[0] + run and order[ranks[0]].startswith("V"):
            run += 1
        run = run if run > 2 else 1
        first, last = order[ranks[0]], order[ranks[run - 1]]
        names.append(first if run == 1 else f"{first}\N{EN DASH}{last}")
        ranks = ranks[run:]
    return ", ".join(names)


def where(shares: npt.NDArray[np.floating], leads: Sequence[str]) -> explainer_pb2.Text:
    """The segments that hold most of ``[segments, leads]`` shares, each with the leads that hold most of it.

    Empty where there is nothing. One column stands for all leads together and is not named.
    """
    by_segment = shares.sum(axis=1)
    order = [int(k) for k in np.argsort(-by_segment, kind="stable")[:_NAMED] if by_segment[k] >= _LEAST]
    if not order:
        return explainer_pb2.Text()
    en: list[str] = []
    pt: list[str] = []
    for k in order:
        names = ""
        if shares.shape[1] > 1:
            ranked = np.argsort(-shares[k], kind="stable")
            held = np.cumsum(shares[k][ranked]) / by_segment[k]
            chosen = ranked[: int(np.searchsorted(held, _MOST)) + 1]
            names = f", {lead_range([leads[int(j)] for j in chosen], leads)}"
        for words, name in zip((en, pt), SEGMENT_NAMES[SEGMENTS[k]], strict=True):
            words.append(f"{name}{names} ({100 * by_segment[k]:.0f} %)")
    return explainer_pb2.Text(en="; ".join(en), pt="; ".join(pt))
