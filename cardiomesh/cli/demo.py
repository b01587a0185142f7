"""The demonstration: real Triton, real services, one real ECG, one picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from cardiomesh.cli import show
from cardiomesh.cli.picture import draw
from cardiomesh.client import Client
from cardiomesh.errors import InvalidRequest
from cardiomesh.language import LANGUAGES
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
    """Start the mesh, analyse, explain the most probable finding, draw it in both languages, stop."""
    file = sample_ecg()
    with progress_table(err) as progress:
        mesh = Mesh(model_repository, progress=progress)
        mesh.start()
    try:
        with Client(mesh.addresses.gateway, credential=mesh.api_key) as client:
            result = client.analyze(file=file, measure=True, include_signal=True)
            # A rhythm has no counterfactual beat; what every method can explain shows more.
            of_beats = [finding for finding in result.findings if finding.kind != "rhythm"]
            strongest = max(of_beats, key=lambda finding: (finding.present, finding.probability))
            why = client.explain(strongest.code, file=file, result_id=result.result_id)
        show.answer(out, result, why, "en")
        for language in LANGUAGES:
            picture = folder / f"ecg-{language}.png"
            draw(picture, file.name, result, why, language)
            out.print(f"{picture} ✓", style="dim", highlight=False)
    finally:
        mesh.stop()
