"""The demonstration: real Triton, real services, one real ECG, one picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from cardiomesh.cli.main import analyze_and_show
from cardiomesh.client import Client
from cardiomesh.errors import InvalidRequest
from cardiomesh.local import Mesh, progress_table

__all__ = ["run_demo", "sample_ecg"]


def sample_ecg() -> Path:
    """The real 12-lead DICOM ECG inside the pydicom wheel."""
    spec = find_spec("pydicom")
    path = Path(spec.origin).parent / "data" / "test_files" / "waveform_ecg.dcm" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InvalidRequest.field("demo", "needs pydicom 3 with its test files: pip install 'cardiomesh[demo]'")
    return path


def run_demo(model_repository: Path, folder: Path, out: Console, err: Console) -> None:
    """Start the mesh, analyse, explain the most probable finding, draw, stop."""
    file = sample_ecg()
    with progress_table(err) as progress:
        mesh = Mesh(model_repository, progress=progress)
        mesh.start()
    try:
        with Client(mesh.addresses.gateway) as client:
            first = client.analyze(file=file)
            strongest = max(first.findings, key=lambda finding: (finding.present, finding.probability))
            for language in ("en", "pt"):
                analyze_and_show(
                    client,
                    file,
                    "",
                    explain=strongest.code,
                    plot=folder / f"ecg-{language}.png",
                    language="pt" if language == "pt" else "en",
                    as_json=False,
                )
                out.print()
    finally:
        mesh.stop()
