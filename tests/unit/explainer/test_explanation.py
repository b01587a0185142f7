"""What an explanation is bound to, in what order its parts come, and what it says of those that are missing."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import VERDICT_FILE, CardStore, ModelCard
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, InvalidRequest, NotFound, Overloaded, ResultMismatch
from explainer.admission import Admission
from explainer.explanation import Explanation
from explainer.verdict import Gate, MethodVerdict, Verdict, Verdicts
from tests.cards import card_of
from tests.unit.explainer.linear import LinearModel

RNG = np.random.default_rng(7)
WEIGHTS = RNG.standard_normal((2, 12, 1000)).astype(np.float32) * 10
#: Microvolts of noise: no lead carries a signal, so nothing is spent on looking for beats.
ECG = RNG.standard_normal((3, 12, 1000)).astype(np.float32) / 1000
GRADIENT = [explainer_pb2.METHOD_GRADIENT_X_INPUT]


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
        "methods": GRADIENT,
    }
    return explainer_pb2.ExplainRequest(**{**facts, **changes})


async def explained(
    repository: Path, *, served: Any = None, seconds: float = 60.0, admission: Admission | None = None, **changes: Any
) -> list[explainer_pb2.ExplainResponse]:
    telemetry = Telemetry("test")
    try:
        explanation = Explanation(
            CardStore(repository),
            served or LinearModel(WEIGHTS),
            telemetry,
            Verdicts(repository),
            admission or Admission(1, 0),
        )
        return [part async for part in explanation.parts(request(repository, **changes), seconds)]
    finally:
        telemetry.close()


async def test_a_part_names_the_model_and_tensor_it_is_of(repository: Path) -> None:
    (part,) = await explained(repository)
    asked = request(repository)
    assert (part.model, part.tensor_hash, part.finding_code) == (asked.model, asked.tensor_hash, "MI")
    values = np.frombuffer(part.attribution.values, "<f4").reshape(3, 12, 1000)
    assert np.allclose(values, WEIGHTS[1] * ECG / 3)
    assert sum(part.attribution.lead_shares) == pytest.approx(1.0)


async def test_a_finding_named_twice_is_explained_once(repository: Path) -> None:
    parts = await explained(repository, finding_codes=["MI", "MI", "NORM"])
    assert [part.finding_code for part in parts] == ["MI", "NORM"]


async def test_parts_come_in_the_order_of_the_methods_however_they_are_named(repository: Path) -> None:
    methods = [explainer_pb2.METHOD_GRAD_CAM, explainer_pb2.METHOD_GRADIENT_X_INPUT]
    parts = await explained(repository, finding_codes=["MI", "NORM"], methods=methods)
    order = [(part.method, part.finding_code) for part in parts]
    assert order == [(method, code) for method in sorted(methods) for code in ("MI", "NORM")]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"tensor_hash": "0" * 64}, ResultMismatch),
        ({"model": types_pb2.ModelRef(name="linear", version=1, card_digest="0" * 64)}, ResultMismatch),
        ({"model": types_pb2.ModelRef(name="linear", version=2)}, NotFound),
        ({"model": types_pb2.ModelRef(name="../linear", version=1)}, NotFound),
        ({"finding_codes": []}, InvalidRequest),
        ({"finding_codes": ["XYZ"]}, InvalidRequest),
        ({"methods": [explainer_pb2.METHOD_UNSPECIFIED]}, InvalidRequest),
        ({"methods": [99]}, InvalidRequest),
        ({"budget_seconds": -1.0}, InvalidRequest),
        ({"tensor": b"\0" * 7}, InvalidRequest),
        ({"tensor": b""}, InvalidRequest),
        ({"window_starts": []}, InvalidRequest),
    ],
)
async def test_what_does_not_fit_is_refused(repository: Path, changes: Any, error: type[CardioMeshError]) -> None:
    with pytest.raises(error):
        await explained(repository, **changes)


async def test_noise_without_a_beat_has_no_segments_to_flatten_or_change(repository: Path) -> None:
    methods = [explainer_pb2.METHOD_LIME, explainer_pb2.METHOD_COUNTERFACTUAL]
    silent = np.zeros_like(ECG)
    tensor = {"tensor": silent.tobytes(), "tensor_hash": hashlib.sha256(silent.tobytes()).hexdigest()}
    parts = await explained(repository, methods=methods, **tensor)
    assert [part.missing.reason for part in parts] == [explainer_pb2.MISSING_REASON_NOT_EVALUABLE] * 2


async def test_a_triton_lost_half_way_leaves_the_rest_missing(repository: Path) -> None:
    methods = [explainer_pb2.METHOD_GRADIENT_X_INPUT, explainer_pb2.METHOD_INTEGRATED_GRADIENTS]
    parts = await explained(repository, served=LinearModel(WEIGHTS, fails_after=2), methods=methods)
    assert parts[0].HasField("attribution")
    assert parts[1].missing.reason == explainer_pb2.MISSING_REASON_UNAVAILABLE
    assert "Triton" in parts[1].missing.text.en


class Slow(LinearModel):
    """Predicts, and then takes for ever."""

    async def attribute(self, card: ModelCard, ecg: np.ndarray, target: np.ndarray) -> Any:
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("limit", [{"seconds": 0.2}, {"budget_seconds": 0.15}])
async def test_what_does_not_fit_into_the_time_says_so(repository: Path, limit: Any) -> None:
    methods = [explainer_pb2.METHOD_GRADIENT_X_INPUT, explainer_pb2.METHOD_LIME]
    parts = await explained(repository, served=Slow(WEIGHTS), methods=methods, **limit)
    assert [part.missing.reason for part in parts] == [explainer_pb2.MISSING_REASON_DEADLINE] * 2


async def test_one_method_that_breaks_takes_no_other_with_it(repository: Path) -> None:
    parts = await explained(repository, served=LinearModel(WEIGHTS, drift=0.5))
    assert parts[0].missing.reason == explainer_pb2.MISSING_REASON_FAILED
    assert "does not predict" in parts[0].missing.text.en


async def test_a_model_without_an_attribution_graph_says_so(repository: Path) -> None:
    (repository / "linear" / "1" / "card.json").write_text(card_of("linear").model_dump_json())
    (part,) = await explained(repository)
    assert part.missing.reason == explainer_pb2.MISSING_REASON_UNSUPPORTED


def write_verdict(repository: Path, value: float, digest: str | None = None) -> None:
    card = CardStore(repository).get("linear", 1)
    assert card is not None
    gate = Gate(name="randomisation", value=value, relation="<=", limit=0.1, n=3)
    verdict = Verdict(
        model="linear",
        version=1,
        card_digest=digest or card.digest,
        command="",
        data="",
        methods={"gradient_x_input": MethodVerdict(gates=(gate,))},
    )
    (repository / "linear" / "1" / VERDICT_FILE).write_text(verdict.model_dump_json())


async def test_a_method_that_failed_its_gate_is_off_unless_it_is_named(repository: Path) -> None:
    write_verdict(repository, 0.4)
    off = next(p for p in await explained(repository, methods=[]) if p.method == explainer_pb2.METHOD_GRADIENT_X_INPUT)
    assert off.missing.reason == explainer_pb2.MISSING_REASON_SWITCHED_OFF
    assert "randomisation 0.4 (limit ≤ 0.1)" in off.missing.text.en
    assert "randomisation 0,4 (limite ≤ 0,1)" in off.missing.text.pt
    (named,) = await explained(repository)
    assert named.HasField("attribution")
    assert [(f.name, f.passed, f.scope) for f in named.fidelity] == [("randomisation", False, "model")]


async def test_a_method_that_passed_is_on_and_says_what_it_passed(repository: Path) -> None:
    write_verdict(repository, 0.05)
    on = next(p for p in await explained(repository, methods=[]) if p.method == explainer_pb2.METHOD_GRADIENT_X_INPUT)
    assert on.HasField("attribution")
    assert on.fidelity[0].passed


async def test_a_verdict_on_another_card_says_nothing_of_this_one(repository: Path) -> None:
    write_verdict(repository, 0.4, digest="0" * 64)
    assert [p.HasField("attribution") for p in await explained(repository)] == [True]
    assert not (await explained(repository))[0].fidelity


async def test_more_than_may_wait_are_told_to_come_back(repository: Path) -> None:
    admission = Admission(1, 0)
    async with admission.place():
        with pytest.raises(Overloaded):
            await explained(repository, admission=admission)
    assert await explained(repository, admission=admission)
