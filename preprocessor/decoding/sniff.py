"""How each vendor format is recognised: by its own marks near the start, never by a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = [
    "is_contec",
    "is_csv",
    "is_edf",
    "is_ishne",
    "is_kardia_json",
    "is_mfer",
    "is_mortara",
    "is_scp",
    "xml_root",
]

_START: Final = 16_384
_MOST_PROLOGUE: Final = 64
_ROOT: Final = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)")
#: Root element, in lower case → format.
XML_FORMATS: Final[Mapping[str, str]] = {
    "annotatedecg": "aecg",
    "restingecg": "muse",
    "restingecgdata": "sierra",
    "cardiologyxml": "cardiosoft",
    "com.xiriuz.sema.xml.schilleredi.schilleredi": "schiller",
}


def xml_root(content: bytes) -> str:
    """The name of the root element in lower case; empty where it is not XML. Nothing is parsed or expanded."""
    start = content[:_START]
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8")):
        if start.startswith(mark):
            text = start[len(mark) :].decode(encoding, "ignore")
            break
    else:
        text = start.decode("latin-1")
    return _root(text.lstrip())


def _root(text: str) -> str:
    """The first element's name, after declarations and comments; each is looked at once, however it was made."""
    for _ in range(_MOST_PROLOGUE):
        end = -1
        if text.startswith("<?"):
            end = text.find("?>") + 1
        elif text.startswith("<!--"):
            end = text.find("-->") + 2
        elif text.startswith("<!"):
            inside, end = text.find("["), text.find(">")
            if 0 <= inside < end:  # entities may be declared inside; they are neither read nor believed
                end = text.find(">", text.find("]", inside))
        else:
            match = _ROOT.match(text)
            return match.group(1).lower() if match else ""
        if end <= 1:
            return ""
        text = text[end + 1 :].lstrip()
    return ""


def is_mortara(content: bytes) -> bool:
    """Mortara ELI XML: a root called ECG, and words that only its exports have."""
    return xml_root(content) == "ecg" and any(
        mark in content[:_START].upper() for mark in (b"ACQUISITION_TIME", b"MORTARA", b"UNITS_PER_MV", b"ELI LINK")
    )


def is_scp(content: bytes) -> bool:
    """SCP-ECG: section 0 follows checksum and size, and names itself."""
    return content[16:22] == b"SCPECG" or (content[8:10] == b"\0\0" and content[14:16] in (b"\x14\x14", b"\x0d\x0d"))


def is_edf(content: bytes) -> bool:
    """EDF and EDF+: version 0 and a number of records and of signals in ASCII."""
    if content[:8] != b"0       " or len(content) < 256:
        return False
    # Not the header's size: writers get it wrong, and the number of signals says it.
    return content[236:244].strip().lstrip(b"-").isdigit() and content[252:256].strip().isdigit()


def is_ishne(content: bytes) -> bool:
    """ISHNE Holter standard format, version 1."""
    return content[:8] == b"ISHNE1.0"


def is_mfer(content: bytes) -> bool:
    """MFER: a preamble (tag 40h) that says so, or the byte order (tag 01h) first of all."""
    return (content[:1] == b"\x40" and content[2:5] == b"MFR") or content[:3] in (b"\x01\x01\x00", b"\x01\x01\x01")


def is_kardia_json(content: bytes) -> bool:
    """AliveCor Kardia: a JSON object with samples per lead."""
    start = content[:_START].lstrip(b"\xef\xbb\xbf \r\n\t")
    return start.startswith(b"{") and b'"samples"' in start


def is_contec(content: bytes) -> bool:
    """Contec ECG90A: a number, a local time at byte 10, and frames of eight samples to the end."""
    return re.match(rb"\d{1,7}\0", content[:8]) is not None and (
        re.match(rb"\d{4}-\d\d?-\d\d? \d\d?:\d\d:\d\d\0", content[10:34]) is not None
    )


def is_csv(content: bytes) -> bool:
    """Text in lines with at least one separator in the first that is no comment; no control characters."""
    start = content[:4096]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):  # as Excel's "Unicode text"
        start = start[: len(start) // 2 * 2].decode("utf-16", "ignore").encode()
    if not start or re.search(rb"[\0-\x08\x0e-\x1f]", start):
        return False
    lines = [line for line in start.splitlines() if line.strip() and not re.match(rb"\s*(?:#|sep=)", line)]
    return bool(lines) and any(mark in lines[0] for mark in (b",", b";", b"\t"))
