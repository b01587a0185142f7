"""The whole command on a folder as PhysioNet lays it out, with a published model and synthetic recordings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS, derive_limb_leads
from export.cli import main
from tests.conftest import ROOT

RECORDS = 24


def _ecg(random: np.random.Generator) -> np.ndarray:
    """int16 [12, 5000] in microvolts; the limb leads obey Einthoven."""
    beat = np.mod(np.arange(5000) / 500 * random.uniform(0.9, 1.4) + random.random(), 1)
    shape = np.exp(-(((beat - 0.3) / 0.02) ** 2)) + 0.3 * np.exp(-(((beat - 0.6) / 0.07) ** 2))
    leads = {lead: 1000 * random.uniform(0.4, 1.2) * shape + random.normal(0, 8, 5000) for lead in INDEPENDENT_LEADS}
    leads |= derive_limb_leads(leads)
    return np.round(np.stack([leads[lead] for lead in STANDARD_LEADS])).astype(np.int16)


@pytest.fixture(scope="module")
def physionet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ptb-xl")
    random = np.random.default_rng(1)
    place = folder / "records500" / "00000"
    place.mkdir(parents=True)
    rows = []
    for number in range(1, RECORDS + 1):
        name = f"{number:05d}_hr"
        lines = [f"{name}.dat 16 1000.0(0)/mV 16 0 0 0 0 {lead.upper()}" for lead in STANDARD_LEADS]
        (place / f"{name}.hea").write_text("\n".join([f"{name} 12 500 5000", *lines, ""]))
        (place / f"{name}.dat").write_bytes(_ecg(random).T.astype("<i2").tobytes())
        code = ("NORM", "IMI", "LVH")[number % 3]
        rows.append(
            {
                "ecg_id": number,
                "patient_id": 100 + number // 2,
                "age": 40 + number,
                "sex": number % 2,
                "strat_fold": 10,
                "scp_codes": f"{{'{code}': 100.0, 'SR': 0.0}}",
                "filename_hr": f"records500/00000/{name}",
            }
        )
    pd.DataFrame(rows).to_csv(folder / "ptbxl_database.csv", index=False)
    pd.DataFrame(
        {
            "diagnostic": [1, 1, 1, None],
            "rhythm": [None, None, None, 1],
            "diagnostic_class": ["NORM", "MI", "HYP", None],
        },
        index=["NORM", "IMI", "LVH", "SR"],
    ).to_csv(folder / "scp_statements.csv")
    return folder


def _evaluate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    fixed = ("--model", "edge_optimized", "--offline", "--repository", str(ROOT / "model_repository"))
    monkeypatch.setattr(sys, "argv", ["export", "evaluate", *fixed, *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    seen = capsys.readouterr()
    return int(stop.value.code or 0), seen.out, seen.err


def test_a_fold_of_the_downloaded_archive(
    physionet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--data", str(physionet), "--fold", "10", "--runs", str(tmp_path))
    code, out, _ = _evaluate(monkeypatch, capsys, *where, "--json", "--plots", str(tmp_path / "plots"))
    assert code == 0
    answer: dict[str, Any] = json.loads(out)["edge_optimized"]
    assert answer["records"] == RECORDS
    assert not answer["cross_fitted"]
    assert answer["classes"]["IMI"]["positives"] == RECORDS // 3
    assert answer["classes"]["AFIB"]["auc"] == {"value": None, "low": None, "high": None}
    assert {row["by"] for row in answer["subgroups"]} == {"sex", "age"}
    assert Path(answer["reliability_plot"]).is_file()
    code, out, _ = _evaluate(monkeypatch, capsys, *where)
    assert code == 0
    for part in ("superclass_macro_auc:", "IMI*", "sex: male", "through ONNX Runtime"):
        assert part in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fold", "9"), "fold 9 has no records in PTB-XL (24 records); it has folds 10"),
        (("--ludb", "--robustness"), "holds no ludb_superclass.csv"),
    ],
)
def test_what_the_folder_lacks_is_one_line(
    physionet: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    code, _, error = _evaluate(monkeypatch, capsys, "--data", str(physionet), "--runs", str(tmp_path), *arguments)
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
