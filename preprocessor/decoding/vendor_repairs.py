"""Where ecgdatakit reads a real file wrongly or not at all: the smallest change that reads it right.

Which trap each one meets: docs/decisions/preprocessor-formats.md.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any, Final

import numpy as np

from cardiomesh.errors import InvalidRequest

__all__ = ["check_edf", "join_edf", "scp_reader"]

FIELD: Final = "recording.file.content"
_MAX_SIGNALS: Final = 256


def check_edf(content: bytes) -> None:
    """Refuse a header that promises what the file does not hold, before anything is made ready for it."""
    try:
        signals, records = int(content[252:256]), int(content[236:244])
        start, duration = 256 * (signals + 1), float(content[244:252])
        if not 0 < signals <= _MAX_SIGNALS or len(content) < start:
            raise ValueError
        sizes = [int(content[256 + 216 * signals + 8 * k :][:8]) for k in range(signals)]
    except ValueError:
        raise InvalidRequest.field(FIELD, "the EDF header is damaged", "MALFORMED") from None
    if min(sizes) < 0 or sum(sizes) == 0 or not 0 <= duration < 1e6:
        raise InvalidRequest.field(FIELD, "the EDF header is damaged", "MALFORMED")
    if records >= 0 and start + 2 * sum(sizes) * records > len(content):
        raise InvalidRequest.field(FIELD, "the EDF file ends before its last record; send it whole", "TRUNCATED")


def join_edf(record: Any) -> tuple[str, ...]:
    """Exact rates, which the library rounds, and the longest stretch without a gap, which it joins over.

    Returns the remarks to make.
    """
    meta = record.raw_metadata
    exact = meta.get("exact_sampling_rates", {})
    for lead in record.leads:
        lead.sampling_rate = exact.get(lead.label, lead.sampling_rate)
    onsets, records = np.asarray(meta.get("record_onsets", ())), int(meta["num_records"])
    if len(onsets) != records or records < 2:
        return ()
    breaks = np.flatnonzero(np.abs(np.diff(onsets) - meta["record_duration"]) > 1e-3) + 1
    if not len(breaks):
        return ()
    edges = [0, *breaks.tolist(), records]
    first, last = max(itertools.pairwise(edges), key=lambda edge: edge[1] - edge[0])
    for lead in record.leads:
        size = len(lead.samples) // records
        lead.samples = lead.samples[first * size : last * size]
    return ("GAPS_LEFT_OUT",)


def scp_reader(parsers: Any) -> Any:
    """The SCP reader, for files of writers that overflow, count from 0, or damage what is not the rhythm.

    The byte length of a lead is a 16-bit field, so that 32,767 samples are the most that fit uncompressed; carts that
    record longer declare more samples than they store. What is stored is read. Sections that no Recording has a place
    for (measurements, statements) are not read at all, so that they can neither fail nor be shown.
    """
    damaged = (parsers.CorruptedFileError, parsers.UnsupportedFormatError)

    class Repaired(parsers.SCPECGParser):  # type: ignore[misc]
        remarks: tuple[str, ...] = ()
        _from_zero = False

        def _parse_section3(self, ctx: Any) -> None:
            body = ctx.sections[3].body(ctx.data)
            starts = [int.from_bytes(body[k : k + 4], "little") for k in range(2, 2 + 9 * (body[0] if body else 0), 9)]
            if starts and not any(starts):
                # The standard counts samples from 1.
                self._from_zero = True
                section, shifted = ctx.sections[3], bytearray(ctx.data)
                at = section.offset + section.length - len(body)
                for k in range(len(starts)):
                    for part in (at + 2 + 9 * k, at + 6 + 9 * k):
                        value = int.from_bytes(shifted[part : part + 4], "little") + 1
                        shifted[part : part + 4] = min(value, 2**32 - 1).to_bytes(4, "little")
                ctx.data = bytes(shifted)
            super()._parse_section3(ctx)

        def _decode_leads(self, ctx: Any, sid: int, counts: list[int] | None) -> Any:
            if counts is not None and ctx.tables is None:
                body = ctx.sections[sid].body(ctx.data)
                sizes = [int.from_bytes(body[6 + 2 * k : 8 + 2 * k], "little") for k in range(len(ctx.leads))]
                fitting = [min(count, size // 2) for count, size in zip(counts, sizes, strict=True)]
                if fitting != counts:
                    counts, self.remarks = fitting, ("SHORTER_THAN_DECLARED",)
            try:
                return super()._decode_leads(ctx, sid, counts)
            except damaged:
                if not (self._from_zero and counts is not None and ctx.tables is not None):
                    raise
                # From 0 to the number of samples, rather than to the last one.
                return super()._decode_leads(ctx, sid, [count - 1 for count in counts])

        def _parse_section5(self, ctx: Any, record: Any) -> Any:
            with suppress(*damaged):
                return super()._parse_section5(ctx, record)
            return None

        def _parse_section7(self, ctx: Any, record: Any) -> None: ...

        def _parse_section10(self, ctx: Any, raw: dict[str, Any]) -> None: ...

        def _parse_statements(self, ctx: Any, record: Any) -> None: ...

    return Repaired()
