"""The ``cardiomesh`` command as a person types it, against the running mesh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cardiomesh.local import Addresses

pytestmark = pytest.mark.mesh

COMMAND = Path(sys.executable).parent / "cardiomesh"
KEYS = {"probabilities", "findings", "quality", "model", "timing", "from_cache"}


def cardiomesh(*arguments: str | Path, gateway: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CARDIOMESH_GATEWAY": gateway, "COLUMNS": "120"}
    if cwd is not None:  # nothing of the checkout's own mesh
        environment["CARDIOMESH_RUNTIME_DIR"] = str(cwd / ".runtime")
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=120,
        check=False,
    )


def test_json_is_one_object_with_the_results_own_keys(addresses: Addresses, ecg_file: Path) -> None:
    done = cardiomesh("analyze", ecg_file, "--json", "--explain", "NORM", gateway=addresses.gateway)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer.keys() >= KEYS
    assert answer["probabilities"]["NORM"] > 0.5
    assert answer["explanation"]["attributions"][0]["finding_code"] == "NORM"
    assert answer["explanation"]["rules"]["agreements"][0]["finding_code"] == "NORM"


@pytest.mark.parametrize(("language", "word"), [("en", "Normal ECG"), ("pt", "ECG normal")])
def test_tables_in_both_languages(addresses: Addresses, ecg_file: Path, language: str, word: str) -> None:
    done = cardiomesh("analyze", ecg_file, "--language", language, gateway=addresses.gateway)
    assert done.returncode == 0, done.stderr
    assert word in done.stdout


def test_the_picture_is_a_png(addresses: Addresses, ecg_file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "new" / "ecg.png"
    done = cardiomesh("analyze", ecg_file, "--plot", picture, "--explain", "NORM", gateway=addresses.gateway)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_models_are_listed(addresses: Addresses) -> None:
    done = cardiomesh("models", "--json", gateway=addresses.gateway)
    assert done.returncode == 0, done.stderr
    assert {m["model"]["name"] for m in json.loads(done.stdout)["models"]} >= {"edge_optimized", "hybrid_mobile"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("analyze", "no-such-file.dcm"),
        ("analyze", __file__),
        ("analyze", "{ecg}", "--model", "nope"),
        ("analyze", "{ecg}", "--explain", "NOPE"),
        ("analyze", "{ecg}", "--plot", "out.bmp"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    addresses: Addresses, ecg_file: Path, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    filled = [str(ecg_file) if argument == "{ecg}" else argument for argument in arguments]
    done = cardiomesh(*filled, gateway=addresses.gateway, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_an_unreachable_gateway_is_exit_3(ecg_file: Path, unused_tcp_port: int) -> None:
    done = cardiomesh("analyze", ecg_file, gateway=f"127.0.0.1:{unused_tcp_port}")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_status_where_nothing_runs(tmp_path: Path) -> None:
    done = cardiomesh("status", "--json", cwd=tmp_path)
    assert done.returncode == 3
    assert json.loads(done.stdout)["state"] == "stopped"
    assert cardiomesh("down", cwd=tmp_path).returncode == 0


def test_inspect_needs_no_mesh(ecg_file: Path, tmp_path: Path) -> None:
    done = cardiomesh("inspect", ecg_file, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["format"], found["sampling_rate"], found["duration"]) == ("dicom", 1000, 10)
    assert found["analysable"]
    assert len(found["leads"]) == 12
    assert {m["key"] for m in found["measurements"]} >= {"rhythm.heart_rate", "intervals.qt"}


def test_inspect_of_what_is_no_ecg_is_one_line_and_exit_2(tmp_path: Path) -> None:
    done = cardiomesh("inspect", __file__, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_measure_prints_the_intervals(addresses: Addresses, ecg_file: Path) -> None:
    done = cardiomesh("analyze", ecg_file, "--measure", gateway=addresses.gateway)
    assert "QTc (Fridericia)" in done.stdout


@pytest.mark.parametrize("kind", ["dcm", "edf", "wfdb"])
def test_a_converted_file_holds_the_same_signal(ecg_file: Path, tmp_path: Path, kind: str) -> None:
    written = tmp_path / f"out.{kind}"
    assert cardiomesh("convert", ecg_file, written, cwd=tmp_path).returncode == 0
    hashes = {
        json.loads(cardiomesh("inspect", file, "--json", cwd=tmp_path).stdout)["signal_hash"]
        for file in (ecg_file, written)
    }
    assert len(hashes) == 1


def test_convert_says_what_it_can_write(ecg_file: Path, tmp_path: Path) -> None:
    done = cardiomesh("convert", ecg_file, tmp_path / "out.bmp", cwd=tmp_path)
    assert done.returncode == 2
    assert "dcm, edf, wfdb, csv" in done.stderr
