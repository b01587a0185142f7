"""DICOM ECG objects, block by block: the file is mapped, and only the samples asked for are touched."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, BinaryIO

from preprocessor.decoding.dicom import block_of, rhythm_groups
from preprocessor.long.source import Block, Source, block_sizes, refused

__all__ = ["open_dicom"]


def open_dicom(file: BinaryIO) -> Source:
    """Find the rhythm; samples are read when asked for."""
    # A map is read as bytes are: by slices, by struct and by NumPy.
    mapped: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    metadata, groups, rhythm = rhythm_groups(mapped)
    if len(rhythm) != 1:
        raise refused("long DICOM recordings are read from one multiplex group only", "UNSUPPORTED")
    (group,) = rhythm
    if group.rate <= 0:
        raise refused("the file states no usable sampling rate", "RATE_OUT_OF_RANGE")

    def blocks() -> Iterator[Block]:
        for first, size in block_sizes(group.samples, group.rate):
            yield block_of(group, first, size)
            mapped.madvise(mmap.MADV_DONTNEED)  # what was read need not stay in memory

    others = [other for other in groups if not other.median and other is not group and other.samples]
    return Source(
        format="dicom",
        labels=tuple(channel.label for channel in group.channels),
        voltage=tuple(channel.voltage for channel in group.channels),
        rate=group.rate,
        samples=group.samples,
        blocks=blocks,
        metadata=metadata,
        remarks=("OTHER_GROUPS_APART",) if others else (),
    )
