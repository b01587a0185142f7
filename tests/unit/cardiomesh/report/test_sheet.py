"""The sheet as drawn: to scale, complete, tidy and the same every time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from cardiomesh.cards import Urgency
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from cardiomesh.report import (
    Attribution,
    Grade,
    Heading,
    LeadQuality,
    ModelLabel,
    Sheet,
    SheetDecision,
    SheetFinding,
    SheetQuality,
    draw_sheet,
    save_sheet,
    sheet_bytes,
)

PNG = b"\x89PNG\r\n\x1a\n"


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def _said(figure: Figure) -> str:
    return "\n".join(_texts(figure))


def _artist(figure: Figure, gid: str) -> Any:
    (found,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return found


def _millimetres(figure: Figure, points: Any) -> Any:
    """Data coordinates to millimetres on the paper, by way of the pixels they are drawn at."""
    return figure.axes[0].transData.transform(points) / figure.dpi * 25.4


def test_one_second_is_25_mm_and_one_millivolt_10_mm_on_paper(ecg: Callable[..., Any]) -> None:
    sheet = Sheet(ecg(), 500.0)
    figure = draw_sheet(sheet)
    line = _artist(figure, "trace-3")
    paper = _millimetres(figure, line.get_xydata()[:5000])
    lead = sheet.lead("II")
    assert lead is not None
    np.testing.assert_allclose(np.diff(paper[:, 0]), 25.0 / 500.0, rtol=1e-6)
    np.testing.assert_allclose(paper[:, 1] - paper[0, 1], 10.0 * (lead - lead[0]), atol=1e-6)
    assert np.ptp(paper[:, 1]) == pytest.approx(10.0 * np.ptp(lead), rel=1e-9)
    assert figure.get_size_inches() * 25.4 == pytest.approx([297.0, 210.0])


def test_the_reduced_gain_is_to_scale_too(ecg: Callable[..., Any]) -> None:
    sheet = Sheet(ecg(peak=3.0), 500.0)
    figure = draw_sheet(sheet)
    y = _millimetres(figure, _artist(figure, "trace-3").get_xydata()[:5000])[:, 1]
    lead = sheet.lead("II")
    assert lead is not None
    assert np.ptp(y) == pytest.approx(5.0 * np.ptp(lead), rel=1e-9)


@pytest.mark.parametrize(("peak", "gain"), [(1.0, 10.0), (3.0, 5.0)])
def test_every_row_has_a_calibration_pulse_of_1_mv_and_5_mm(ecg: Callable[..., Any], peak: float, gain: float) -> None:
    figure = draw_sheet(Sheet(ecg(peak=peak), 500.0))
    pulses = _artist(figure, "calibration").get_segments()
    assert len(pulses) == 4
    for pulse in pulses:
        paper = _millimetres(figure, pulse)
        assert np.ptp(paper[:, 1]) == pytest.approx(gain)
        top = paper[paper[:, 1] > paper[:, 1].mean()]
        assert np.ptp(top[:, 0]) == pytest.approx(5.0)


def test_grid_lines_stand_every_millimetre_and_every_five(ecg: Callable[..., Any]) -> None:
    figure = draw_sheet(Sheet(ecg(), 500.0))
    xs = {}
    for step in (1, 5):
        segments = _artist(figure, f"grid-{step}mm").get_segments()
        xs[step] = sorted(_millimetres(figure, s)[0, 0] for s in segments if s[0, 0] == s[1, 0])
    np.testing.assert_allclose(np.diff(xs[5]), 5.0)
    np.testing.assert_allclose(np.diff(sorted(xs[1] + xs[5])), 1.0)


def test_the_overlay_is_drawn_only_when_given(ecg: Callable[..., Any], attribution: Attribution) -> None:
    plain, overlaid = (draw_sheet(Sheet(ecg(), 500.0, attribution=a)) for a in (None, attribution))
    assert not plain.findobj(lambda artist: artist.get_gid() == "attribution")
    picture = _artist(overlaid, "attribution")
    assert picture.get_array()[..., 3].max() > 100
    assert picture.get_zorder() < _artist(overlaid, "trace-0").get_zorder()
    assert attribution.label in _said(overlaid)
    assert "Where the model looked" in _said(overlaid)
    assert "V2 >99%" in _said(overlaid)
    assert "Where the model looked" not in _said(plain)


def test_absent_leads_are_said_to_be_so(ecg: Callable[..., Any]) -> None:
    leads = tuple(lead for lead in STANDARD_LEADS if lead not in ("aVL", "V6"))
    signal = ecg()[:10]
    signal[4] = np.nan  # aVF: present by name, empty in fact
    figure = draw_sheet(Sheet(signal, 500.0, leads=leads))
    assert _texts(figure).count("not recorded") == 3
    assert all(lead in _texts(figure) for lead in STANDARD_LEADS)


def test_a_sheet_with_nothing_recorded_is_still_a_sheet() -> None:
    figure = draw_sheet(Sheet(np.full((12, 5000), np.nan), 500.0))
    assert _texts(figure).count("not recorded") == 13


def test_a_flat_lead_is_drawn_flat_with_its_reason(ecg: Callable[..., Any]) -> None:
    signal = ecg()
    signal[8] = 0.7
    quality = SheetQuality(Grade.C, 0.5, (LeadQuality("V3", Grade.REJECT, ("flat line",)),))
    figure = draw_sheet(Sheet(signal, 500.0, quality=quality))
    row = _artist(figure, "trace-2").get_ydata()[2502:3752]  # III, aVF, V3: a gap after each
    assert np.ptp(row) == 0.0
    assert "flat line" in _texts(figure)
    assert "V3\N{NO-BREAK SPACE}(unfit) flat line" in _said(figure)


def test_reduced_gain_is_said(ecg: Callable[..., Any]) -> None:
    normal, large = (_said(draw_sheet(Sheet(ecg(peak=p), 500.0))) for p in (1.0, 3.0))
    assert "25 mm/s · 10 mm/mV" in normal
    assert "GAIN REDUCED" not in normal
    assert "25 mm/s · 5 mm/mV" in large
    assert "GAIN REDUCED" in large


def test_clipping_is_said(ecg: Callable[..., Any]) -> None:
    signal = ecg()
    signal[9] *= 60.0
    assert "clipped: V4" in _said(draw_sheet(Sheet(signal, 500.0)))


@pytest.mark.parametrize(
    ("seconds", "said", "unsaid"),
    [
        (8.0, "4 columns of 2 s", "shown"),
        (10.0, "4 columns of 2.5 s", "shown"),
        (15.0, "first 10 s of 15 s shown", "columns of 3"),
    ],
)
def test_what_part_is_shown_is_said(ecg: Callable[..., Any], seconds: float, said: str, unsaid: str) -> None:
    words = _said(draw_sheet(Sheet(ecg(seconds), 500.0)))
    assert said in words
    assert unsaid not in words


def test_findings_are_ordered_by_urgency_and_the_rest_is_summed_up(ecg: Callable[..., Any]) -> None:
    findings = [SheetFinding(f"R{i}", "routine", 0.9 - i / 100, 0.5, True) for i in range(8)]
    findings += [
        SheetFinding("CRIT", "critical", 0.6, 0.5, True, Urgency.CRITICAL),
        SheetFinding("NEAR", "near", 0.49, 0.5, False),
        SheetFinding("FAR", "far", 0.001, 0.5, False),
    ]
    texts = _texts(draw_sheet(Sheet(ecg(), 500.0, findings=tuple(findings))))
    assert [t for t in texts if t in {f.code for f in findings}] == ["CRIT", *(f"R{i}" for i in range(7))]
    assert "CRITICAL" in texts
    assert "Also present: R7 83%" in texts
    assert "2 below threshold; nearest: NEAR 49% (threshold 50%), FAR <1% (threshold 50%)" in texts


def test_nothing_present_is_not_called_normal(ecg: Callable[..., Any]) -> None:
    findings = (SheetFinding("MI", "Myocardial infarction", 0.1, 0.5, False),)
    words = _said(draw_sheet(Sheet(ecg(), 500.0, findings=findings)))
    assert "No finding reached its threshold." in words
    assert "ormal" not in words


def test_the_heading_says_what_is_known(ecg: Callable[..., Any]) -> None:
    sheet = Sheet(
        ecg(),
        500.0,
        heading=Heading("a.dcm", "Mortara el250", None, 93, "female"),
        model=ModelLabel("hybrid_mobile", 3, "cm1"),
        from_cache=True,
    )
    texts = _texts(draw_sheet(sheet))
    assert "12-lead ECG · a.dcm" in texts
    assert "female · 89 years or older · 500 Hz · 10 s · Mortara el250" in texts
    assert "Model hybrid_mobile, version 3" in texts
    assert "preprocessing cm1 · answer from cache" in texts


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Research use only. Not cleared as a medical device", "Findings of the model", "Signal quality")),
        ("pt", ("Somente para pesquisa", "Achados do modelo", "Qualidade do sinal", "escore 0,61")),
    ],
)
def test_both_languages(full: Callable[..., Sheet], language: str, words: tuple[str, ...]) -> None:
    said = _said(draw_sheet(full(language=language)))
    assert all(word in said for word in words)


@pytest.mark.parametrize("phase", np.linspace(0.0, 1.0, 8, endpoint=False))
@pytest.mark.parametrize("peak", [1.0, 3.0])
def test_no_trace_runs_through_a_lead_label(ecg: Callable[..., Any], phase: float, peak: float) -> None:
    figure = draw_sheet(Sheet(np.roll(ecg(peak=peak), round(500 * phase), axis=1), 500.0))
    curves = [figure.axes[0].transData.transform(_artist(figure, f"trace-{row}").get_xydata()) for row in range(4)]
    labels = [(text, box) for text, box in _boxes(figure) if text in STANDARD_LEADS]
    assert len(labels) == 13
    for text, box in labels:
        core = box.padded(-0.2 * box.height)
        for curve in curves:
            here = curve[(curve[:, 0] >= core.x0) & (curve[:, 0] <= core.x1)]
            assert not ((here[:, 1] >= core.y0) & (here[:, 1] <= core.y1)).any(), text


def _boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts if text.get_text()]


@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize("meaning", ["magnitude", "support"])
@pytest.mark.parametrize("dpi", [150, 300])
def test_no_text_leaves_the_page_or_meets_another(
    full: Callable[..., Sheet], attribution: Attribution, language: str, meaning: Any, dpi: int
) -> None:
    overlay = Attribution(attribution.values, 100.0, attribution.label + " and more" * 20, meaning=meaning)
    figure = draw_sheet(full(language=language, attribution=overlay), dpi)
    page = Bbox.from_extents(0, 0, *figure.bbox.max)
    margin = 5.0 / 25.4 * dpi
    boxes = _boxes(figure)
    for text, box in boxes:
        assert page.x0 + margin <= box.x0, text
        assert box.x1 <= page.x1 - margin, text
        assert page.y0 + margin <= box.y0, text
        assert box.y1 <= page.y1 - margin, text
    tight = [(text, box.padded(-0.15 * box.height)) for text, box in boxes]  # the line's own leading may touch
    met = [(a, b) for (a, box), (b, other) in combinations(tight, 2) if box.overlaps(other)]
    assert met == []


@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize("meaning", ["magnitude", "support"])
def test_the_key_of_the_overlay_is_never_cut_short(
    full: Callable[..., Sheet], attribution: Attribution, language: str, meaning: Any
) -> None:
    overlay = Attribution(attribution.values, 100.0, "MI", meaning=meaning)
    texts = _texts(draw_sheet(full(language=language, attribution=overlay)))
    start = next(i for i, text in enumerate(texts) if text.startswith(("Colour:", "Cor:")))
    assert texts[start + 1].endswith(".")


@pytest.mark.parametrize("letters", range(20, 60, 3))
def test_finding_names_keep_clear_of_their_bars(full: Callable[..., Sheet], letters: int) -> None:
    name = "First degree atrioventricular block of any kind at all, whatever"[:letters]
    figure = draw_sheet(full(findings=tuple(SheetFinding(f"C{i}", name, 0.9, 0.5, True) for i in range(8))))
    bars = [p.get_extents() for c in figure.axes[0].collections for p in c.get_paths() if p.vertices.shape == (5, 2)]
    bars = [box for box in bars if box.height == pytest.approx(2.0)]
    assert len(bars) == 16
    to_mm = figure.axes[0].transData.inverted()
    for text, box in _boxes(figure):
        assert not any(box.transformed(to_mm).overlaps(bar) for bar in bars), text


def test_text_is_never_read_as_mathematics_and_never_lacks_a_glyph(ecg: Callable[..., Any]) -> None:
    sheet = Sheet(ecg(), 500.0, heading=Heading("$\\frac{1}{0}$ 心電図 \x07.dcm"))
    assert sheet_bytes(sheet, dpi=50).startswith(PNG)  # a missing glyph would warn, and warnings are errors


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_sheet_gives_the_same_bytes(full: Callable[..., Sheet], kind: Any) -> None:
    first, second = (sheet_bytes(full(), kind, dpi=72) for _ in range(2))
    assert first == second
    assert sheet_bytes(full(language="pt"), kind, dpi=72) != first


def test_png_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from cardiomesh.report import Sheet, save_sheet\n"
        "save_sheet(Sheet(np.sin(np.arange(12000.0)).reshape(12, 1000), 100.0), sys.argv[1], dpi=72)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    pictures = []
    for name in ("a.png", "b.png"):
        subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path / name)], check=True)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]


def test_files_by_extension(ecg: Callable[..., Any], tmp_path: Path) -> None:
    sheet = Sheet(ecg(), 500.0)
    starts = {"a.png": PNG, "b.SVG": b"<?xml", "c.pdf": b"%PDF"}
    for name, start in starts.items():
        assert save_sheet(sheet, tmp_path / "new" / name).read_bytes().startswith(start)
    with pytest.raises(InvalidRequest) as caught:
        save_sheet(sheet, tmp_path / "d.jpg")
    assert caught.value.violations[0].field == "path"
    assert not (tmp_path / "d.jpg").exists()
    with pytest.raises(InvalidRequest):
        sheet_bytes(sheet, "jpg")  # type: ignore[arg-type]


def test_the_real_ecg_of_the_pydicom_wheel_at_full_gain() -> None:
    path = Path(pydicom.__file__).parent / "data" / "test_files" / "waveform_ecg.dcm"
    dataset = pydicom.dcmread(path)
    rate = float(dataset.WaveformSequence[0].SamplingFrequency)
    figure = draw_sheet(Sheet(dataset.waveform_array(0).T / 1000.0, rate))
    assert "25 mm/s · 10 mm/mV" in _texts(figure)
    assert np.isfinite(_artist(figure, "trace-3").get_ydata()[:-1]).all()


def test_an_over_read_is_said_first_and_critical_findings_whole(full: Callable[..., Sheet]) -> None:
    critical, doubt = "may be critical: Ventricular rate of 150 per minute or more", "uncertain: Atrial fibrillation"
    for language, tag in (("en", "HUMAN OVER-READ"), ("pt", "REVISÃO HUMANA")):
        decision = SheetDecision((critical,), (doubt,))
        said = [t.get_text() for t in draw_sheet(full(decision=decision, language=language)).axes[0].texts]
        assert tag in said
        assert any(critical in text for text in said)
    none = [t.get_text() for t in draw_sheet(full(decision=SheetDecision())).axes[0].texts]
    assert "HUMAN OVER-READ" not in none


def test_present_findings_stand_in_the_decisions_order(full: Callable[..., Sheet]) -> None:
    findings = tuple(SheetFinding(code, code, p, 0.1, True) for code, p in (("A", 0.9), ("B", 0.8), ("C", 0.7)))
    figure = draw_sheet(full(findings=findings, decision=SheetDecision(order=("C", "A", "B"))))
    rows = {t.get_text(): t.get_position()[1] for t in figure.axes[0].texts if t.get_text() in {"A", "B", "C"}}
    assert sorted(rows, key=lambda code: -rows[code]) == ["C", "A", "B"]


def test_an_uncertain_finding_is_marked(full: Callable[..., Sheet]) -> None:
    def marks(uncertain: bool) -> int:
        finding = SheetFinding("MI", "Myocardial infarction", 0.6, 0.5, True, uncertain=uncertain)
        return [t.get_text() for t in draw_sheet(full(findings=(finding,))).axes[0].texts].count("?")

    assert (marks(True), marks(False)) == (1, 0)
