"""The command line as a person meets it: a mistake is one clear line and exit code 2."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from cardiomesh.cards import Artifact
from export.cli import main
from tests.cards import card_of


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--model", "hybrid_huge"), "there are edge_optimized, hybrid_full, hybrid_mobile"),
        (("train", "--model", "edge_optimized", "--data", "{tmp}"), "holds no ptbxl_database.csv"),
        (("train", "--model", "pruned", "--initial", "{tmp}/none.pt"), "none.pt does not exist"),
        (("onnx", "--checkpoint", "{tmp}/none.pt", "--out", "{tmp}"), "none.pt does not exist"),
        (("checkpoint", "--model", "m", "--out", "{tmp}/c.pt", "--repository", "{tmp}"), "holds no such version of m"),
        (("prune", "--checkpoint", "{tmp}/none.pt", "--out", "{tmp}/p.pt"), "none.pt does not exist"),
        (("quantise", "--model", "edge_optimized"), "either --out FOLDER or --publish"),
        (("quantise", "--model", "m", "--out", "{tmp}/q", "--repository", "{tmp}"), "holds no such version of m"),
        (("quantise", "--model", "edge_optimized", "--out", "{tmp}/q", "--ranges", "{tmp}/r"), "cannot be read"),
        (("parity", "--model", "edge_optimized", "--variant", "{tmp}/v.onnx"), "v.onnx does not exist"),
        (("tensorrt", "--model", "m", "--repository", "{tmp}"), "holds no such version of m"),
        (("tensorrt", "--model", "edge_optimized", "--timing-cache", "{tmp}/c"), "no NVIDIA GPU"),
        (("litert", "--model", "m", "--out", "{tmp}/m.tflite", "--repository", "{tmp}"), "holds no such version of m"),
        (("prune", "--checkpoint", "x", "--out", "y", "--heads", "0"), "kept_heads 0.0"),
        (("evaluate", "--model", "m", "--repository", "{tmp}"), "holds no such version of m"),
        (("evaluate", "--repository", "{tmp}"), "holds no published model"),
        (("evaluate", "--model", "edge_optimized", "--data", "{tmp}"), "holds no ptbxl_database.csv"),
        (("evaluate", "--model", "edge_optimized", "--data", "{tmp}/none"), "holds no ptbxl_database.csv"),
        (("evaluate", "--model", "edge_optimized", "--version", "99"), "holds no such version of edge_optimized"),
        (("evaluate", "--model", "edge_optimized", "--ludb", "--data", "{tmp}"), "holds no ludb_superclass.csv"),
        (("recalibrate", "--model", "m", "--data", "{tmp}"), "holds no ptbxl_database.csv"),
        (("ensemble", "--model", "m", "--data", "{tmp}"), "holds no ptbxl_database.csv"),
        (("verify", "--repository", "{tmp}/none"), "is not a folder"),
        (("rollback", "--model", "m", "--repository", "{tmp}"), "there is none to go back to"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = _run(monkeypatch, *(a.format(tmp=tmp_path) for a in arguments))
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_verify_fails_where_a_file_is_not_its_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_text("weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    artifacts = {"m/1/model.onnx": Artifact(sha256=digest, bytes=7, precision="FP32")}
    (folder / "card.json").write_text(card_of("m", artifacts=artifacts).model_dump_json())
    assert _run(monkeypatch, "verify", "--repository", str(tmp_path)) == 0
    assert "as recorded  m/1/model.onnx" in capsys.readouterr().out
    (folder / "model.onnx").write_text("wEights")
    assert _run(monkeypatch, "verify", "--repository", str(tmp_path)) == 1
    assert "is not the file that the card of m 1 describes" in capsys.readouterr().err


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    for command in [
        "train",
        "onnx",
        "publish",
        "recalibrate",
        "ensemble",
        "rollback",
        "verify",
        "evaluate",
        "prune",
        "checkpoint",
        "quantise",
        "parity",
    ]:
        assert command in text
