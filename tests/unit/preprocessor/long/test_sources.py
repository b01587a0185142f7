"""Block by block or as a whole: the same recording."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import decode
from preprocessor.long.open import open_source
from preprocessor.long.source import Source
from preprocessor.long.windows import describe
from tests.unit.preprocessor.long.tapes import MAKERS, RATE, as_edf, as_ishne, as_wfdb, tape
from tests.unit.preprocessor.recordings import as_file, as_signal


@contextmanager
def spooled(content: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file  # type: ignore[misc]


def whole(source: Source) -> np.ndarray:
    return np.concatenate(list(source.blocks()), axis=1)


@pytest.mark.parametrize("name", MAKERS)
def test_blocks_are_what_the_short_way_reads(name: str) -> None:
    counts = tape(47.0)
    content = MAKERS[name](counts)
    short = decode(as_file(content))
    with spooled(content) as file:
        source = open_source(file)
        assert len(list(source.blocks())) > 2
        x, described = whole(source), describe(source)
    assert source.format == short.format == name
    assert (source.samples, source.rate) == (short.samples, short.sampling_rate) == (counts.shape[1], RATE)
    assert described.leads == short.leads
    assert described.acquired_at == short.acquired_at
    assert described.patient == short.patient
    rows = [k for k, volts in enumerate(source.voltage) if volts]
    np.testing.assert_allclose(x[rows], short.millivolts, atol=1e-9)
    np.testing.assert_allclose(x[rows], counts * 1e-3, atol=1e-9)


def test_a_format_whose_reader_needs_it_whole_is_read_too() -> None:
    counts = tape(15.0)
    table = ["time [s]," + ",".join(f"{lead} [uV]" for lead in decode(as_signal(counts, RATE)).leads)]
    table += [f"{k / RATE:.3f}," + ",".join(map(str, row)) for k, row in enumerate(counts.T)]
    with spooled("\n".join(table).encode()) as file:
        source = open_source(file)
        np.testing.assert_allclose(whole(source), counts * 1e-3, atol=1e-9)
        assert describe(source).leads == decode(as_signal(counts, RATE)).leads


def test_real_files_are_read_alike(data_dir: Path) -> None:
    """Real ISHNE, EDF and DICOM files, where they are at hand."""
    folder = data_dir / "formats"
    compared = 0
    for path in sorted(folder.rglob("*")):
        if path.parent.name not in ("DICOM", "EDF") and "ishne" not in path.name:
            continue
        content = path.read_bytes()
        short = decode(as_file(content))
        with spooled(content) as file:
            source = open_source(file)
            second = describe(source) if len(short.leads) == 12 else None
            x = whole(source)
        assert source.rate == short.sampling_rate, path.name
        if second is not None and "PADDING_REMOVED" not in short.remarks and source.samples == short.samples:
            recorded = [lead for lead in short.leads if lead not in short.derived_leads]
            assert second.leads == short.leads
            assert x.shape[1] == short.samples
            assert recorded
            compared += 1
    assert compared


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (as_wfdb(tape(12.0))[:-400], "UNKNOWN_FORMAT"),
        (as_edf(tape(12.0))[:-400], "TRUNCATED"),
        (as_edf(tape(12.0)).replace(b"EDF+C", b"EDF+D"), "UNSUPPORTED"),
        (as_ishne(tape(12.0))[:300], "TRUNCATED"),
        (as_ishne(tape(12.0))[:545], "EMPTY"),
        (b"Dear colleague,\n" * 40, "UNKNOWN_FORMAT"),
    ],
)
def test_what_cannot_be_read_is_a_typed_error(content: bytes, reason: str) -> None:
    with spooled(content) as file, pytest.raises(InvalidRequest) as caught:
        whole(open_source(file))
    assert [violation.reason for violation in caught.value.violations] == [reason]


def test_a_lead_that_came_off_is_missing_not_a_number() -> None:
    counts = tape(12.0)
    counts[8, 500:900] = -32768
    for make in (as_wfdb, as_ishne):
        content = make(counts)
        if make is as_wfdb:
            continue  # its chest leads are 32 bit: the value is a sample there
        with spooled(content) as file:
            assert np.isnan(whole(open_source(file))[8, 500:900]).all()
