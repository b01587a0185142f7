"""Each window is what Prepare says of its ten seconds alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
import pytest

from cardiomesh.errors import InvalidRequest, UnfitRecording
from preprocessor.long.open import open_source
from preprocessor.long.source import Block, Source
from preprocessor.long.windows import describe, heart_rate, plan, windows
from preprocessor.prepare import prepare
from tests.unit.preprocessor.long.tapes import RATE, as_wfdb, tape
from tests.unit.preprocessor.recordings import as_signal


def source_of(millivolts: Block, blocks: int = 7, leads: tuple[str, ...] | None = None) -> Source:
    from cardiomesh.ecg.leads import STANDARD_LEADS

    def pieces() -> Iterator[Block]:
        yield from np.array_split(millivolts, blocks, axis=1)

    labels = leads or STANDARD_LEADS
    return Source("test", labels, (True,) * len(labels), float(RATE), millivolts.shape[1], pieces)


@pytest.mark.parametrize("stride", [10.0, 25.0])
def test_a_window_is_what_prepare_says_of_the_same_ten_seconds(stride: float) -> None:
    counts = tape(63.5)
    with tempfile.TemporaryFile() as file:
        file.write(as_wfdb(counts))
        file.flush()
        source = open_source(file)  # type: ignore[arg-type]
        layout = plan(source, stride)
        found = list(windows(source, layout, 0.7))
    assert [w.index for w in found] == list(range(layout.count))
    assert found[-1].start == pytest.approx(53.5)
    for window in found:
        first = round(window.start * RATE)
        alone = prepare(as_signal(counts[:, first : first + 10 * RATE], RATE))
        assert window.prepared is not None
        assert window.prepared.tensor == alone.tensor
        assert window.quality == alone.quality
        assert window.heart_rate == pytest.approx(75.0, abs=1.0)


@pytest.mark.parametrize(("seconds", "starts"), [(9.9, [0.0]), (10.0, [0.0]), (10.5, [0.0, 0.5]), (30.0, [0, 10, 20])])
def test_windows_cover_all_of_it(seconds: float, starts: list[float]) -> None:
    source = source_of(tape(seconds) * 1e-3)
    assert [s / RATE for s in plan(source, 10.0)] == starts
    assert all(w.prepared for w in windows(source, plan(source, 10.0), 0.7))


def test_an_unfit_window_is_refused_alone() -> None:
    x = tape(50.0) * 1e-3
    x[7, 12 * RATE : 18 * RATE] = 0.1
    x[3, 31 * RATE] = np.nan
    found = list(windows(source_of(x), plan(source_of(x), 10.0), 0.7))
    assert [w.refusal is None for w in found] == [True, False, True, False, True]
    loose, missing = found[1], found[3]
    assert isinstance(loose.refusal, UnfitRecording)
    assert loose.refusal.violations[0].field == "recording.leads[V2]"
    assert loose.quality is not None
    assert missing.refusal is not None
    assert missing.refusal.violations[0].reason == "MISSING_SAMPLES"
    assert missing.heart_rate is None


def test_what_no_window_could_answer_is_refused_at_once() -> None:
    with pytest.raises(UnfitRecording, match="missing V6"):
        describe(source_of(tape(20.0)[:11] * 1e-3, leads=tuple(source_of(tape(10.0) * 1e-3).labels[:11])))
    for stride in (0.5, float("nan"), 1e9):
        with pytest.raises(InvalidRequest, match="stride"):
            plan(source_of(tape(20.0) * 1e-3), stride)


def test_a_file_that_ends_early_is_an_error_of_its_own() -> None:
    x = tape(30.0) * 1e-3
    short = source_of(x)
    longer = Source("test", short.labels, short.voltage, short.rate, short.samples + 1000, short.blocks)
    with pytest.raises(InvalidRequest, match="send it whole"):
        list(windows(longer, plan(longer, 10.0), 0.7))


def test_too_few_beats_give_no_rate() -> None:
    assert heart_rate(np.zeros((12, 1000), np.float32)) is None
