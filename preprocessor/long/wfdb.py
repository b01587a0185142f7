"""WFDB records in a zip, block by block: members are unpacked as they are read, never as a whole."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import IO, BinaryIO, Final

import numpy as np

from preprocessor.decoding.wfdb import Header, Signal, millivolts_of, parse_header
from preprocessor.decoding.wfdb_samples import FORMATS, bytes_for, unpack
from preprocessor.long.source import Block, Source, block_sizes, refused

__all__ = ["open_wfdb"]

_MOST_MEMBERS: Final = 128
_MOST_HEADER_BYTES: Final = 256 * 1024
#: Three samples share four bytes, so that a block need not end where a byte does.
_NOT_IN_BLOCKS: Final = frozenset({"310", "311"})
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError)


def open_wfdb(file: BinaryIO) -> Source:
    """Read the header; samples are unpacked when asked for."""
    try:
        archive = zipfile.ZipFile(file)
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > _MOST_MEMBERS:
            raise refused(f"more than {_MOST_MEMBERS} files in the zip", "TOO_LARGE")
        members = {re.split(r"[/\\]", entry.filename)[-1]: entry for entry in entries}
        headers = [name for name in members if name.lower().endswith(".hea")]
        if len(headers) != 1:
            raise refused(f"{len(headers)} headers in the zip; send one record at a time", "NOT_ONE_RECORD")
        with archive.open(members[headers[0]]) as stream:
            header = parse_header(stream.read(_MOST_HEADER_BYTES + 1))
    except _DAMAGED:
        raise refused("the zip is damaged or cut short", "TRUNCATED") from None
    except (NotImplementedError, RuntimeError):
        raise refused("the zip is encrypted or packed by an unusual method", "UNREADABLE") from None
    groups = _by_file(header)
    samples = min(_available(name, signals, header, members) for name, (signals, _) in groups.items())

    def blocks() -> Iterator[Block]:
        try:
            with ExitStack() as stack:
                streams = {name: stack.enter_context(archive.open(members[name])) for name in groups}
                for name, (signals, _) in groups.items():
                    _exactly(streams[name], signals[0].offset)
                for _, size in block_sizes(samples, header.rate):
                    block = np.empty((len(header.signals), size))
                    for name, (signals, rows) in groups.items():
                        block[rows] = _read(streams[name], signals, size)
                    yield block
        except _DAMAGED:
            raise refused("the zip is damaged or cut short", "TRUNCATED") from None

    return Source(
        format="wfdb",
        labels=tuple(signal.label for signal in header.signals),
        voltage=tuple(signal.is_voltage for signal in header.signals),
        rate=header.rate,
        samples=samples,
        blocks=blocks,
        metadata=header.metadata,
    )


def _by_file(header: Header) -> dict[str, tuple[list[Signal], list[int]]]:
    """Signals and their rows by the file that holds them; a file has one format."""
    groups: dict[str, tuple[list[Signal], list[int]]] = {}
    for row, signal in enumerate(header.signals):
        signals, rows = groups.setdefault(signal.file, ([], []))
        signals.append(signal)
        rows.append(row)
    if any(signal.skew or signal.format in _NOT_IN_BLOCKS for signal in header.signals):
        raise refused("skewed signals and ten-bit formats are not read in windows", "UNSUPPORTED")
    if any(len({(s.format, s.offset) for s in signals}) != 1 for signals, _ in groups.values()):
        raise refused("signals of one file differ in format", "MALFORMED")
    return groups


def _available(name: str, signals: list[Signal], header: Header, members: Mapping[str, zipfile.ZipInfo]) -> int:
    if name not in members:
        raise refused("a signal file that the header names is not in the zip", "MISSING_SIGNAL_FILE")
    bits = int(FORMATS[signals[0].format][2])
    there = (members[name].file_size - signals[0].offset) * 8 // bits // len(signals)
    samples = there if header.samples is None else header.samples
    if samples > there:
        raise refused("the signal file is shorter than the header says; send it whole", "TRUNCATED")
    if samples <= 0:
        raise refused("the signal file is empty", "EMPTY")
    return samples


def _read(stream: IO[bytes], signals: list[Signal], size: int) -> Block:
    kind, count = signals[0].format, size * len(signals)
    counts, invalid = unpack(kind, _exactly(stream, bytes_for(kind, count)), count)
    return millivolts_of(signals, counts.reshape(size, len(signals)).T, [invalid] * len(signals))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data
