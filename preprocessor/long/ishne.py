"""ISHNE Holter files (Badilini, Ann Noninvasive Electrocardiol 1998;3:263), block by block.

The short way reads them by ``ecgdatakit``, which takes the whole file into memory; the tests compare the two.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import BinaryIO, Final

import numpy as np

from cardiomesh.ecg.recording import Device, Patient, Sex
from preprocessor.decoding.assemble import Metadata, age_group, clean_text
from preprocessor.long.source import Block, Source, block_sizes, refused

__all__ = ["open_ishne"]

_HEADER_BYTES: Final = 522
_LEADS: Final[Mapping[int, str]] = {
    2: "X", 3: "Y", 4: "Z", 5: "I", 6: "II", 7: "III", 8: "aVR", 9: "aVL", 10: "aVF",
    11: "V1", 12: "V2", 13: "V3", 14: "V4", 15: "V5", 16: "V6", 17: "ES", 18: "AS", 19: "AI",
}  # fmt: skip
_SEXES: Final[Mapping[int, Sex]] = {1: "male", 2: "female"}
_MOST_LEADS: Final = 12
#: The value that the standard proposes for a lead that has come off.
_FAULT: Final = -32768


def open_ishne(file: BinaryIO) -> Source:
    """Read the header; samples are read when asked for."""
    file.seek(0)
    head = file.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES:
        raise refused("the ISHNE header is cut short; send the file whole", "TRUNCATED")
    (variable,) = struct.unpack_from("<i", head, 10)
    (count,) = struct.unpack_from("<h", head, 156)
    codes, resolutions = struct.unpack_from("<12h", head, 158), struct.unpack_from("<12h", head, 206)
    (rate,) = struct.unpack_from("<h", head, 272)
    if variable < 0 or not 0 < count <= _MOST_LEADS or rate <= 0:
        raise refused("the ISHNE header contradicts itself", "MALFORMED")
    if any(step <= 0 for step in resolutions[:count]):
        raise refused("the scale of a lead is not a positive number", "BAD_SCALE")
    start = _HEADER_BYTES + variable
    # The header's own number of samples is nominal in many files: what is there counts.
    samples = (os.fstat(file.fileno()).st_size - start) // (2 * count)
    if samples <= 0:
        raise refused("the ISHNE file holds no samples", "EMPTY")
    millivolts = np.array(resolutions[:count])[:, None] * 1e-6

    def blocks() -> Iterator[Block]:
        for first, size in block_sizes(samples, rate):
            data = os.pread(file.fileno(), 2 * count * size, start + 2 * count * first)
            counts = np.frombuffer(data, "<i2").reshape(size, count).T
            block = counts * millivolts
            block[counts == _FAULT] = np.nan
            yield block

    return Source(
        format="ishne",
        labels=tuple(_LEADS.get(code, "unknown") for code in codes[:count]),
        voltage=(True,) * count,
        rate=float(rate),
        samples=samples,
        blocks=blocks,
        metadata=_metadata(head),
    )


def _metadata(head: bytes) -> Metadata:
    day, month, year, hour, minute, second = struct.unpack_from("<3h", head, 138) + struct.unpack_from("<3h", head, 150)
    born = struct.unpack_from("<3h", head, 132)
    try:
        acquired = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  the recorder's own clock
    except ValueError:
        acquired = None
    age = None
    if acquired is not None and born[2] > 1800:
        age = year - born[2] - ((month, day) < (born[1], born[0]))
    recorder = head[232:272].split(b"\0")[0].decode("latin-1")
    return Metadata(
        device=Device(model=clean_text(recorder)),
        patient=Patient(age_group(age), _SEXES.get(struct.unpack_from("<h", head, 128)[0])),
        acquired_at=acquired,
    )
