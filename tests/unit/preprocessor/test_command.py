"""``cardiomesh inspect`` and ``convert`` as an integrator types them: no mesh, real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from tests.unit.preprocessor.decoding.writers import cardiosoft
from tests.unit.preprocessor.recordings import heart, wfdb

COMMAND = Path(sys.executable).parent / "cardiomesh"


def cardiomesh(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "40"},
        timeout=120,
        check=False,
    )


def test_inspect_says_all_in_lines_that_can_be_searched(tmp_path: Path) -> None:
    file = tmp_path / "strange.file"
    file.write_bytes(cardiosoft(heart()))
    done = cardiomesh("inspect", file)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:6] == [
        "format    GE CardioSoft XML (cardiosoft)",
        "device    GE CardioSoft",
        "patient   88 years, female",
        "recorded  2020-03-04 09:10:11",
        "signal    12 of the 12 leads, 500 Hz, 10 s (5000 samples), in mV",
        "median    the device's median beat, 12 leads, 600 samples at 500 Hz; not analysed",
    ]
    assert any(line.startswith("V6 ") for line in lines)
    assert any(line.split()[:3] == ["heart", "rate", "75"] for line in lines)


def test_json_has_the_same_and_more(tmp_path: Path) -> None:
    file = tmp_path / "strange.file"
    file.write_bytes(cardiosoft(heart()))
    done = cardiomesh("inspect", file, "--json")
    found = json.loads(done.stdout)
    assert (found["title"], found["sampling_rate"], found["unit"]) == ("GE CardioSoft XML", 500, "mV")
    assert found["median_beat"] == {"leads": found["leads"], "samples": 600, "sampling_rate": 500}
    assert {m["key"] for m in found["measurements"]} > {"rhythm.heart_rate", "intervals.qtc_fridericia"}


def test_what_a_missing_lead_leaves_is_measured_and_what_needs_it_is_not_evaluable(tmp_path: Path) -> None:
    file, leads = tmp_path / "eleven.csv", [lead for lead in STANDARD_LEADS if lead != "V5"]
    rows = [STANDARD_LEADS.index(lead) for lead in leads]
    table = ["time [s]," + ",".join(f"{lead} [uV]" for lead in leads)]
    table += [f"{k / 500:.3f}," + ",".join(map(str, row)) for k, row in enumerate(heart()[rows].T)]
    file.write_text("\n".join(table))
    found = json.loads(cardiomesh("inspect", file, "--json").stdout)
    assert [problem["reason"] for problem in found["problems"]] == ["MISSING_LEADS"]
    assert not found["analysable"]
    measured = {(m["key"], m["lead"]): m for m in found["measurements"]}
    assert measured["rhythm.heart_rate", ""]["value"] == pytest.approx(75, abs=1)
    assert measured["voltages.r_v5", ""]["status"] == "not_evaluable"
    assert "V5" in measured["voltages.r_v5", ""]["reason"]


@pytest.mark.parametrize(
    ("command", "content", "reason"),
    [("inspect", b"%PDF-1.7 not an ECG", "not an ECG file"), ("convert", b"<CardiologyXML/>", "no rhythm")],
)
def test_what_is_no_ecg_is_one_typed_line_and_status_2(
    tmp_path: Path, command: str, content: bytes, reason: str
) -> None:
    file = tmp_path / "letter.pdf"
    file.write_bytes(content)
    done = cardiomesh(command, file, *(["--json"] if command == "inspect" else [tmp_path / "out.edf"]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("INVALID_REQUEST recording.file.content: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.edf").exists()


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb 4.3 on pandas 3.1
def test_the_signal_file_of_a_wfdb_record_stands_for_both(tmp_path: Path) -> None:
    wfdb.wrsamp(
        "r", fs=500, units=["uV"], sig_name=["I"], d_signal=heart()[:1].T.astype("int64"), fmt=["16"], adc_gain=[1.0],
        baseline=[0], write_dir=str(tmp_path),
    )  # fmt: skip
    found = json.loads(cardiomesh("inspect", tmp_path / "r.dat", "--json").stdout)
    assert (found["format"], found["leads"], found["samples"]) == ("wfdb", ["I"], 5000)


def test_convert_says_what_it_wrote_and_what_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "in.xml"
    file.write_bytes(cardiosoft(heart()))
    done = cardiomesh("convert", file, tmp_path / "out.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "out.csv: 12 leads, 5000 samples, the same signal hash",
        "left out: the device's median beat, the device, age and sex, the time of recording",
    ]
