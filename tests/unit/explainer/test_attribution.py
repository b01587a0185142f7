"""Gradient × input: exact on a linear model, and never of another model or tensor."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import CardStore, ModelCard
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, InvalidRequest, NotFound, ResultMismatch
from explainer.attribution import Attribution, attribute
from explainer.explanation import Explanation
from explainer.served import AttributionPass
from tests.cards import card_of

RNG = np.random.default_rng(7)
WEIGHTS = RNG.standard_normal((2, 12, 1000)).astype(np.float32) / 100
ECG = RNG.standard_normal((3, 12, 1000)).astype(np.float32)


class LinearModel:
    """Stands for the served graphs: logits are weighted sums, so each sample's contribution is known exactly."""

    def __init__(self, drift: float = 0.0) -> None:
        self.drift = drift

    async def predict(self, card: ModelCard, ecg: np.ndarray) -> np.ndarray:
        return np.einsum("wls,cls->wc", ecg, WEIGHTS) + np.float32(self.drift)

    async def attribute(self, card: ModelCard, ecg: np.ndarray, target: np.ndarray) -> AttributionPass:
        logits = np.einsum("wls,cls->wc", ecg, WEIGHTS)
        return AttributionPass(logits, np.einsum("wc,cls->wls", target, WEIGHTS))


async def explain(model: LinearModel, card: ModelCard, ecg: np.ndarray, code: str) -> Attribution:
    served: Any = model
    return await attribute(served, card, ecg, await model.predict(card, ecg), code)


async def test_contributions_add_up_to_the_logit_of_a_linear_model() -> None:
    found = await explain(LinearModel(), card_of("linear"), ECG, "MI")
    logit = np.einsum("wls,ls->w", ECG, WEIGHTS[1]).mean()
    assert found.values.sum() == pytest.approx(logit, rel=1e-4)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)
    assert found.prediction_gap == pytest.approx(0.0, abs=1e-12)
    assert sum(found.lead_shares) == pytest.approx(1.0)


async def test_findings_are_explained_by_their_own_weights() -> None:
    one = await explain(LinearModel(), card_of("linear"), ECG, "NORM")
    assert np.allclose(one.values, WEIGHTS[0] * ECG / 3)


async def test_a_graph_that_predicts_something_else_explains_nothing() -> None:
    with pytest.raises(CardioMeshError, match="does not predict"):
        await explain(LinearModel(drift=0.5), card_of("linear", attribution="g"), ECG, "MI")


async def test_no_positive_evidence_is_no_share() -> None:
    found = await explain(LinearModel(), card_of("linear"), np.zeros_like(ECG), "MI")
    assert found.lead_shares == (0.0,) * 12


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "linear" / "1"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(card_of("linear", attribution="linear_attribution").model_dump_json())
    return tmp_path


def request(repository: Path, **changes: Any) -> explainer_pb2.ExplainRequest:
    card = CardStore(repository).get("linear", 1)
    assert card is not None
    facts: dict[str, Any] = {
        "tensor": ECG.tobytes(),
        "tensor_hash": hashlib.sha256(ECG.tobytes()).hexdigest(),
        "window_starts": [0.0, 10.0, 20.0],
        "model": types_pb2.ModelRef(name="linear", version=1, card_digest=card.digest),
        "finding_codes": ["MI"],
    }
    return explainer_pb2.ExplainRequest(**{**facts, **changes})


async def explained(repository: Path, **changes: Any) -> list[explainer_pb2.ExplainResponse]:
    telemetry = Telemetry("test")
    served: Any = LinearModel()
    try:
        explanation = Explanation(CardStore(repository), served, telemetry)
        return [part async for part in explanation.parts(request(repository, **changes))]
    finally:
        telemetry.close()


async def test_a_part_names_the_model_and_tensor_it_is_of(repository: Path) -> None:
    (part,) = await explained(repository)
    asked = request(repository)
    assert (part.model, part.tensor_hash) == (asked.model, asked.tensor_hash)
    values = np.frombuffer(part.attribution.values, "<f4").reshape(3, 12, 1000)
    assert np.allclose(values, WEIGHTS[1] * ECG / 3)


async def test_a_finding_named_twice_is_explained_once(repository: Path) -> None:
    assert len(await explained(repository, finding_codes=["MI", "MI", "NORM"])) == 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"tensor_hash": "0" * 64}, ResultMismatch),
        ({"model": types_pb2.ModelRef(name="linear", version=1, card_digest="0" * 64)}, ResultMismatch),
        ({"model": types_pb2.ModelRef(name="linear", version=2)}, NotFound),
        ({"model": types_pb2.ModelRef(name="../linear", version=1)}, NotFound),
        ({"finding_codes": []}, InvalidRequest),
        ({"finding_codes": ["XYZ"]}, InvalidRequest),
        ({"tensor": b"\0" * 7}, InvalidRequest),
        ({"tensor": b""}, InvalidRequest),
        ({"window_starts": []}, InvalidRequest),
    ],
)
async def test_what_does_not_fit_is_refused(repository: Path, changes: Any, error: type[CardioMeshError]) -> None:
    with pytest.raises(error):
        await explained(repository, **changes)


async def test_a_tensor_that_is_not_finite_is_refused(repository: Path) -> None:
    broken = ECG.copy()
    broken[0, 0, 0] = np.nan
    raw = broken.tobytes()
    with pytest.raises(InvalidRequest, match="finite"):
        await explained(repository, tensor=raw, tensor_hash=hashlib.sha256(raw).hexdigest())
