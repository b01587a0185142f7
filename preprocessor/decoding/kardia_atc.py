"""AliveCor Kardia ATC files → Recording (ATC File Format Specification 1.7, published by AliveCor)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.recording import Device, MedianBeat, Recording
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, assemble, clean_text, median_beat

__all__ = ["decode_atc", "is_atc"]

FIELD: Final = "recording.file.content"
_SIGNATURE: Final = b"ALIVE\0\0\0"
_BLOCK: Final = struct.Struct("<4sL")
_FORMAT: Final = struct.Struct("<BHHB")
_CRC: Final = struct.Struct("<L")
_MAX_BLOCKS: Final = 256
_MILLIVOLTS_PER_NANOVOLT: Final = 1e-6
#: Block ids end in a space for lead I, then in the lead's number in hexadecimal: ``ecg ``, ``ecg2`` … ``ecgc``.
_LEADS: Final[Mapping[bytes, str]] = dict(zip((b" ", *(b"%x" % k for k in range(2, 13))), STANDARD_LEADS, strict=True))


def is_atc(content: bytes) -> bool:
    """The eight bytes that begin every ALIVE file."""
    return content[:8] == _SIGNATURE


def decode_atc(content: bytes) -> Recording:
    """Read one to twelve leads of 16-bit samples. A block whose checksum is wrong is remarked."""
    blocks, intact = _blocks(content)
    if b"fmt " not in blocks or len(blocks[b"fmt "]) < _FORMAT.size:
        raise _refused("the ATC file says nothing of its rate and scale", "MALFORMED")
    kind, rate, nanovolts, _ = _FORMAT.unpack_from(blocks[b"fmt "])
    if kind != 1:
        raise _refused("ATC samples that are not 16-bit integers", "UNSUPPORTED_SAMPLES")
    if not nanovolts:
        raise _refused("the scale of the leads is not a positive number", "BAD_SCALE")
    leads = _samples(blocks, b"ecg", nanovolts)
    if not leads or not rate:
        raise _refused("the ATC file holds no ECG signal", "NO_RHYTHM")
    if len({len(row) for row in leads.values()}) != 1:
        raise _refused("the leads of the file differ in length", "WRONG_LENGTH")
    return assemble(
        labels=list(leads),
        channels=np.stack(list(leads.values())),
        sampling_rate=float(rate),
        format_name="kardia-atc",
        field_name=FIELD,
        metadata=_metadata(blocks.get(b"info", b"")),
        remarks=[] if intact else ["CHECKSUM_MISMATCH"],
        median=_beat(_samples(blocks, b"med", nanovolts) or _samples(blocks, b"avg", nanovolts), float(rate)),
    )


def _blocks(content: bytes) -> tuple[dict[bytes, bytes], bool]:
    """Every block by its id, and whether all checksums are right."""
    blocks: dict[bytes, bytes] = {}
    intact, position = True, len(_SIGNATURE) + 4
    while position + _BLOCK.size <= len(content):
        name, size = _BLOCK.unpack_from(content, position)
        stop = position + _BLOCK.size + size
        if stop + _CRC.size > len(content):
            raise _refused("the ATC file ends in the middle of a block; send it whole", "TRUNCATED")
        if len(blocks) == _MAX_BLOCKS:
            raise _refused(f"more than {_MAX_BLOCKS} blocks", "MALFORMED")
        intact &= zlib.crc32(content[position:stop]) == _CRC.unpack_from(content, stop)[0]
        blocks.setdefault(name, content[position + _BLOCK.size : stop])
        position = stop + _CRC.size
    return blocks, intact


def _samples(blocks: Mapping[bytes, bytes], kind: bytes, nanovolts: int) -> dict[str, npt.NDArray[np.float64]]:
    """The blocks of one kind as millivolts by lead."""
    found = {lead: blocks[kind + suffix] for suffix, lead in _LEADS.items() if blocks.get(kind + suffix)}
    factor = nanovolts * _MILLIVOLTS_PER_NANOVOLT
    return {lead: np.frombuffer(data[: len(data) // 2 * 2], "<i2") * factor for lead, data in found.items()}


def _beat(leads: Mapping[str, npt.NDArray[np.float64]], rate: float) -> MedianBeat | None:
    if not leads or len({len(row) for row in leads.values()}) != 1:
        return None
    return median_beat(list(leads), np.stack(list(leads.values())), rate)


def _metadata(info: bytes) -> Metadata:
    """The recorder's hardware and the time; ids of recording and telephone are not looked at."""
    when: datetime | None = None
    try:
        when = datetime.fromisoformat(info[:32].split(b"\0")[0].decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        when = None
    hardware = info[180:212].split(b"\0")[0].decode("ascii", "ignore")
    return Metadata(device=Device("AliveCor", clean_text(hardware)), acquired_at=when)


def _refused(description: str, reason: str) -> InvalidRequest:
    return InvalidRequest.field(FIELD, description, reason)
