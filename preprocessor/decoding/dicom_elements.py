"""The part of the DICOM encoding that waveforms need: find elements by tag, without reading the others.

Why not ``pydicom.dcmread``: it builds an object for each of some eight hundred elements of an ECG (10 ms CPU for
its own sample file, before one value is used), and it reads the patient's name and numbers, which must never be
here. This reads only tags it is asked for, jumps over the rest, and is checked against pydicom in the tests.
See docs/decisions/preprocessor-readers.md.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from cardiomesh.errors import InvalidRequest

__all__ = ["Dataset", "has_header", "is_bare_dataset", "malformed", "open_dataset", "truncated"]

FIELD: Final = "recording.file.content"
_LONG_VRS: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_UNDEFINED: Final = 0xFFFFFFFF
_DELIMITERS: Final = 0xFFFE
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_TRANSFER_SYNTAX: Final = 0x00020010
_MAX_DEPTH: Final = 8
_MAX_ITEMS: Final = 1000
_MAX_INFLATED: Final = 64 * 1024 * 1024

#: What a dataset without a header begins with: length of the group, character set, image type, date, SOP class.
_FIRST_ELEMENTS: Final = frozenset(bytes([8, 0, number, 0]) for number in (0x00, 0x05, 0x08, 0x12, 0x16))

Span = tuple[int, int]


def truncated() -> InvalidRequest:
    """The file ends before its content does."""
    return InvalidRequest.field(FIELD, "the DICOM file ends in the middle of an element; send it whole", "TRUNCATED")


def malformed(what: str) -> InvalidRequest:
    """The file contradicts itself or the standard."""
    return InvalidRequest.field(FIELD, f"malformed DICOM: {what}", "MALFORMED")


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the data elements of one file are written."""

    explicit: bool
    order: Literal["<", ">"]


@dataclass(slots=True)
class Dataset:
    """The wanted elements of one dataset: where the values lie, and the items of the sequences."""

    data: bytes
    encoding: Encoding
    spans: dict[int, Span]
    sequences: dict[int, list[Dataset]]

    def text(self, tag: int) -> str:
        """The value as text, without padding; empty where the element is absent."""
        span = self.spans.get(tag)
        return self.data[span[0] : span[1]].decode("latin-1").strip(" \0") if span else ""

    def number(self, tag: int, default: float | None = None) -> float | None:
        """A decimal string (DS, IS) as a number; the default where it is absent or empty."""
        value = self.text(tag).split("\\")[0]
        if not value:
            return default
        try:
            return float(value)
        except ValueError:
            raise malformed("a number is not a number") from None

    def unsigned(self, tag: int) -> int:
        """A binary unsigned integer of two or four bytes (US, UL); 0 where it is absent or empty."""
        start, stop = self.spans.get(tag, (0, 0))
        if start == stop:
            return 0
        if stop - start not in (2, 4):
            raise malformed("an integer of odd size")
        code = "H" if stop - start == 2 else "L"
        return int(struct.unpack_from(self.encoding.order + code, self.data, start)[0])


class _Walker:
    """One pass over a file. Every element is looked at once; values that nobody asked for are jumped over."""

    def __init__(self, data: bytes, encoding: Encoding, tags: Collection[int], sequences: Collection[int]) -> None:
        self.data, self.encoding = data, encoding
        self.tags, self.sequences = frozenset(tags), frozenset(sequences)
        self.element = struct.Struct(encoding.order + ("HH2sH" if encoding.explicit else "HHL")).unpack_from
        self.length = struct.Struct(encoding.order + "L").unpack_from
        self.item = struct.Struct(encoding.order + "HHL").unpack_from

    def dataset(self, position: int, end: int, depth: int, delimited: bool) -> tuple[Dataset, int]:
        """The dataset at ``position`` and where it ends: at ``end``, or at its delimiter."""
        if depth > _MAX_DEPTH:
            raise malformed("sequences nested too deep")
        data, element, explicit, tags, sequences = (
            self.data, self.element, self.encoding.explicit, self.tags, self.sequences,
        )  # fmt: skip
        spans: dict[int, Span] = {}
        nested: dict[int, list[Dataset]] = {}
        while position + 8 <= end:
            if explicit:
                group, number, vr, length = element(data, position)
                tag = group << 16 | number
                position += 8
                if vr in _LONG_VRS:
                    if position + 4 > end:
                        raise truncated()
                    length = self.length(data, position)[0]
                    position += 4
                elif tag == _ITEM_END:
                    return Dataset(data, self.encoding, spans, nested), position
                elif not vr.isalpha():
                    raise malformed("an element without a value representation")
            else:
                group, number, length = element(data, position)
                tag = group << 16 | number
                position += 8
                if tag == _ITEM_END:
                    return Dataset(data, self.encoding, spans, nested), position
            if length == _UNDEFINED:
                if explicit and tag not in sequences:
                    position = self.skip(position, end)
                    continue
                items, position = self.items(position, end, depth, delimited=True)
                if tag in sequences:
                    nested[tag] = items
                continue
            stop = position + length
            if stop > end:
                raise truncated()
            if tag in sequences:
                nested[tag] = self.items(position, stop, depth, delimited=False)[0]
            elif tag in tags:
                spans[tag] = (position, stop)
            position = stop
        if delimited:
            raise truncated()
        return Dataset(data, self.encoding, spans, nested), position

    def skip(self, position: int, end: int) -> int:
        """Where a sequence of undefined length ends that nobody asked for; most of a cart's elements lie in such.

        Explicit encodings only. Sequences and items of undefined length are counted, not nested.
        """
        data, element, long_length, undefined = self.data, self.element, self.length, 1
        while position + 8 <= end:
            group, number, vr, length = element(data, position)
            if vr in _LONG_VRS:
                if position + 12 > end:
                    break
                length = long_length(data, position + 8)[0]
                position += 12
            elif group == _DELIMITERS:
                length = long_length(data, position + 4)[0]
                position += 8
                if group << 16 | number != _ITEM:
                    undefined -= 1
                    if not undefined:
                        return position
                    continue
            else:
                position += 8 + length
                continue
            if length == _UNDEFINED:
                undefined += 1
            else:
                position += length
        raise truncated()

    def items(self, position: int, end: int, depth: int, delimited: bool) -> tuple[list[Dataset], int]:
        """The items of a sequence and where it ends."""
        items: list[Dataset] = []
        while position + 8 <= end:
            group, number, length = self.item(self.data, position)
            tag = group << 16 | number
            position += 8
            if tag == _SEQUENCE_END:
                return items, position
            if tag != _ITEM:
                raise malformed("a sequence holds something other than items")
            if len(items) == _MAX_ITEMS:
                raise malformed(f"more than {_MAX_ITEMS} items in a sequence")
            if length == _UNDEFINED:
                item, position = self.dataset(position, end, depth + 1, delimited=True)
            else:
                if position + length > end:
                    raise truncated()
                item, _ = self.dataset(position, position + length, depth + 1, delimited=False)
                position += length
            items.append(item)
        if delimited:
            raise truncated()
        return items, position


def open_dataset(content: bytes, tags: Collection[int], sequences: Collection[int]) -> Dataset:
    """The wanted tags of a DICOM part-10 file, in whatever encoding its transfer syntax names."""
    if has_header(content):
        syntax, position = _transfer_syntax(content)
    else:  # a dataset alone says by its first element whether value representations are written
        syntax, position = "1.2.840.10008.1.2.1" if content[4:6].isalpha() else "1.2.840.10008.1.2", 0
    encoding = Encoding(explicit=True, order="<")
    if syntax == "1.2.840.10008.1.2":
        encoding = Encoding(explicit=False, order="<")
    elif syntax == "1.2.840.10008.1.2.2":
        encoding = Encoding(explicit=True, order=">")
    elif syntax == "1.2.840.10008.1.2.1.99":
        content, position = _inflate(content[position:]), 0
    elif syntax != "1.2.840.10008.1.2.1":
        raise InvalidRequest.field(FIELD, "this DICOM transfer syntax carries no waveforms", "NOT_AN_ECG")
    walker = _Walker(content, encoding, tags, sequences)
    return walker.dataset(position, len(content), 0, delimited=False)[0]


def has_header(content: bytes) -> bool:
    """Whether it has the part-10 header: 128 bytes that may be anything, and ``DICM``."""
    return content[128:132] == b"DICM"


def is_bare_dataset(content: bytes) -> bool:
    """Whether it begins as a little-endian dataset does: group 0008, character set or class, a plausible length."""
    if content[:4] not in _FIRST_ELEMENTS:
        return False
    explicit = content[4:6] in (b"CS", b"UI", b"UL")
    length = int.from_bytes(content[6:8] if explicit else content[4:8], "little")
    return 0 < length <= 128 and len(content) > 8 + length and content[8 + length : 10 + length] == b"\x08\0"


def _transfer_syntax(content: bytes) -> tuple[str, int]:
    """The transfer syntax UID of the file meta group, and where that group ends."""
    syntax, position = "", 132
    while position + 8 <= len(content):
        group, element, vr, length = struct.unpack_from("<HH2sH", content, position)
        if group != 0x0002:
            return syntax, position
        position += 8
        if vr in _LONG_VRS:
            if position + 4 > len(content):
                break
            (length,) = struct.unpack_from("<L", content, position)
            position += 4
        if group << 16 | element == _TRANSFER_SYNTAX:
            syntax = content[position : position + length].decode("latin-1").strip(" \0")
        position += length
    raise truncated()


def _inflate(deflated: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, _MAX_INFLATED)
    except zlib.error:
        raise malformed("the deflated data are damaged") from None
    if inflater.unconsumed_tail:
        raise InvalidRequest.field(FIELD, "it unpacks to more than 64 MiB", "TOO_LARGE")
    return data
