"""How content is recognised: by its marks, once, whatever it was made to look like."""

from __future__ import annotations

import pytest

from preprocessor.decoding.registry import recognise
from preprocessor.decoding.sniff import xml_root
from tests.unit.preprocessor.decoding.writers import WRITERS
from tests.unit.preprocessor.recordings import heart

ROOTS = {
    "<a/>": "a",
    "  \n<A b='1'>": "a",
    '<?xml version="1.0"?><RestingECG>': "restingecg",
    "<!-- <b> --><a>": "a",
    "<?xml?>\n<!-- x --><!DOCTYPE RestingECG SYSTEM 'restecg.dtd'>\n<RestingECG>": "restingecg",
    '<!DOCTYPE a [<!ENTITY b "<c>">]><a>': "a",
    "<hl7:AnnotatedECG xmlns:hl7='urn'>": "annotatedecg",
    "<!-- never closed": "",
    "<!DOCTYPE never closed": "",
    "<!DOCTYPE a [ never closed": "",
    "<?never closed": "",
    "a<b>": "",
    "": "",
    "<": "",
    "<!---->" * 1000 + "<a>": "",
}


@pytest.mark.parametrize("text", ROOTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_root_of_xml(text: str, encoding: str) -> None:
    assert xml_root(text.encode(encoding)) == ROOTS[text]


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_recognised_by_its_content(name: str) -> None:
    known = recognise(WRITERS[name](heart(1.0)))
    assert known is not None
    assert known.name == name


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"<html><body>",
        b"<svg>",
        b"MZ\x90\0",
        b"{}",
        b"\0" * 600,
    ],
)
def test_what_is_no_ecg_is_nothing(content: bytes) -> None:
    assert recognise(content) is None
