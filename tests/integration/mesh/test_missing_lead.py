"""A recording that lacks a lead: answered, poor and said, by a model whose card allows it; refused by any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardiomesh.client import Client
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import UnfitRecording
from cardiomesh.local import Mesh
from tests.unit.preprocessor.recordings import heart

pytestmark = [pytest.mark.mesh, pytest.mark.heavy]

ROOT = Path(__file__).resolve().parents[3]
MODEL = "edge_optimized"


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A mesh with one model whose card lets V4 be missing."""
    repository = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "model_repository" / MODEL, repository / MODEL)
    for path in (repository / MODEL).glob("*/card.json"):
        card = json.loads(path.read_text())
        card["input"]["may_miss"] = ["V4"]
        path.write_text(json.dumps(card))
    with (
        Mesh(repository, directory=tmp_path_factory.mktemp("mesh")) as mesh,
        Client(mesh.addresses.gateway, credential=mesh.api_key) as connected,
    ):
        yield connected


def test_the_card_decides(lenient: Client) -> None:
    for gone in ("V4", "V5"):
        leads = [lead for lead in STANDARD_LEADS if lead != gone]
        counts = heart()[[STANDARD_LEADS.index(lead) for lead in leads]]
        recording = {"signal": counts, "leads": leads, "sampling_rate": 500, "unit": "uV", "model": MODEL}
        if gone == "V5":
            with pytest.raises(UnfitRecording, match="missing V5"):
                lenient.analyze(**recording)
            continue
        answer = lenient.analyze(**recording)
        assert answer.recording.missing_leads == ("V4",)
        assert answer.quality.grade == "C"
        assert "MISSING_LEAD" in [reason.code for reason in answer.quality.reasons]
        assert lenient.analyze(**recording).from_cache
