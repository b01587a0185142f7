"""The converters' environment, without building it, and what a caller sees when something is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from export.errors import WorkshopError
from export.formats.edge import PINS, edge_python, run_converter
from export.formats.litert import LiteRtModel


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that says it was built from the present pins, whose interpreter is this one."""
    folder = tmp_path / ".runtime" / "edge"
    (folder / "bin").mkdir(parents=True)
    (folder / "pins.txt").write_text("\n".join(PINS))
    script = folder / "bin" / "python"
    script.write_text(
        '#!/bin/sh\ncase "$2" in *litert) echo notes; echo 1.4e-06;; *) echo trace; echo "no" >&2; exit 1;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_built_environment_is_used_as_it_is(environment: Path) -> None:
    steps: list[str] = []
    assert edge_python(environment, steps.append) == environment / "bin" / "python"
    assert steps == []


def test_the_converters_last_line_is_its_answer(environment: Path) -> None:
    assert run_converter("litert", Path("version"), Path("out.tflite")) == "1.4e-06"


def test_a_failure_is_one_line(environment: Path) -> None:
    with pytest.raises(WorkshopError, match=r"^converting version failed: no$"):
        run_converter("coreml", Path("version"), Path("out.mlpackage"))


def test_other_pins_build_the_environment_anew(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (environment / "pins.txt").write_text("litert-torch==0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", os.devnull)
    with pytest.raises(WorkshopError, match="installing litert-torch"):
        edge_python(environment)
    assert not (environment / "pins.txt").exists()  # a half-built one is never taken for whole


def test_a_file_that_is_no_litert_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the LiteRT runtime")
    (tmp_path / "m.tflite").write_bytes(b"not a model")
    with pytest.raises(WorkshopError, match=r"m\.tflite cannot be run"):
        LiteRtModel.open(tmp_path / "m.tflite")
