"""Which file is read how, when it may be of any length."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final

from preprocessor.decoding import FileInput, sniff
from preprocessor.decoding.assemble import Metadata
from preprocessor.decoding.dicom import is_dicom
from preprocessor.decoding.registry import decode_file
from preprocessor.long.dicom import open_dicom
from preprocessor.long.edf import open_edf
from preprocessor.long.ishne import open_ishne
from preprocessor.long.source import Block, Source, refused
from preprocessor.long.wfdb import open_wfdb

__all__ = ["open_source"]

_START_BYTES: Final = 16_384
#: Formats whose readers need the whole file get it up to this size.
_WHOLE_BYTES: Final = 64 * 2**20
_STREAMED: Final[Mapping[str, Callable[[BinaryIO], Source]]] = {
    "DICOM": open_dicom, "WFDB zip": open_wfdb, "ISHNE": open_ishne, "EDF": open_edf,
}  # fmt: skip


def open_source(file: BinaryIO) -> Source:
    """The recording in a file; in constant memory for DICOM, WFDB, ISHNE and EDF, whole for the others."""
    size = os.fstat(file.fileno()).st_size
    start = os.pread(file.fileno(), _START_BYTES, 0)
    if is_dicom(start):
        return open_dicom(file)
    if start[:4] == b"PK\x03\x04" and _holds_header(file):
        return open_wfdb(file)
    if sniff.is_ishne(start):
        return open_ishne(file)
    if sniff.is_edf(start):
        return open_edf(file)
    if size > _WHOLE_BYTES:
        raise refused(f"of this size only {', '.join(_STREAMED)} are read", "TOO_LARGE")
    return _whole(os.pread(file.fileno(), size, 0))


def _holds_header(file: BinaryIO) -> bool:
    try:
        return any(name.lower().endswith(".hea") for name in zipfile.ZipFile(file).namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def _whole(content: bytes) -> Source:
    recording = decode_file(FileInput(content))
    recorded = [k for k, lead in enumerate(recording.leads) if lead not in recording.derived_leads]

    def blocks() -> Iterator[Block]:
        yield recording.millivolts[recorded]

    return Source(
        format=recording.format,
        labels=tuple(recording.leads[k] for k in recorded),
        voltage=(True,) * len(recorded),
        rate=recording.sampling_rate,
        samples=recording.samples,
        blocks=blocks,
        metadata=Metadata(recording.device, recording.patient, recording.acquired_at),
        remarks=recording.remarks,
    )
