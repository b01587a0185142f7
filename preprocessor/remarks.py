"""What a decoder's remarks mean, in words for whoever inspects a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["REMARKS", "in_words"]

REMARKS: Final[Mapping[str, str]] = {
    "CHANNEL_SKEW": "the channels were sampled one after the other; not corrected",
    "CHECKSUM_MISMATCH": "a checksum in the file is not that of its content",
    "ELECTRODE_OFF": "the device says that electrodes were off",
    "FILLER_REMOVED": "filler or a calibration pulse at the ends was cut",
    "GAPS_LEFT_OUT": "the recording was interrupted; this is its longest stretch",
    "OTHER_GROUPS_APART": "groups of another time or of the same leads are kept apart",
    "OTHER_RATES_APART": "channels of another rate or length are kept apart",
    "PADDING_REMOVED": "padding at the ends was cut",
    "SHORTER_THAN_DECLARED": "the file declares more samples than it holds; what it holds was read",
}


def in_words(remark: str) -> str:
    """The code, and what it means where that is known."""
    return f"{remark}: {REMARKS[remark]}" if remark in REMARKS else remark
