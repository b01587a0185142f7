from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from export.architectures import Hybrid, HybridConfig, trainable_parameters
from export.architectures.attribution import Attribution
from export.architectures.hybrid import DenseLayer, EncoderLayer
from export.architectures.served import served_network
from export.compression.importance import Importance, measure_importance, prunable
from export.compression.pruning import Cut, bottleneck_costs, choose_units, prune_network
from export.errors import WorkshopError

KEPT = {
    "bottleneck_channels": ((0, 3, 5), (7,), (1, 2), (0, 4, 6)),
    "kept_heads": ((1,), (0, 1)),
    "feed_forward_units": (tuple(range(0, 32, 3)), (31,)),
}


def _ecg(count: int = 4) -> torch.Tensor:
    return 0.3 * torch.randn(count, 12, 1000, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def _silence(network: Hybrid) -> None:
    """Zero everything that reads the units that ``KEPT`` leaves out, in place."""
    dense = [layer for layer in network.features if isinstance(layer, DenseLayer)]
    for layer, kept in zip(dense, KEPT["bottleneck_channels"], strict=True):
        gone = [u for u in range(layer.grow.conv.in_channels) if u not in kept]
        layer.grow.conv.weight[:, gone] = 0
    for k, encoder in enumerate(network.encoder):
        assert isinstance(encoder, EncoderLayer)
        for head in range(encoder.heads):
            if head not in KEPT["kept_heads"][k]:
                encoder.project.weight[:, head * encoder.head_width : (head + 1) * encoder.head_width] = 0
        gone = [u for u in range(encoder.contract.in_features) if u not in KEPT["feed_forward_units"][k]]
        encoder.contract.weight[:, gone] = 0


def test_cutting_silent_units_changes_nothing(tiny_network: Hybrid) -> None:
    _silence(tiny_network)
    smaller = prune_network(tiny_network, KEPT)
    assert trainable_parameters(smaller) < trainable_parameters(tiny_network)
    with torch.no_grad():
        for a, b in zip(tiny_network(_ecg()), smaller(_ecg()), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_cutting_units_that_speak_changes_the_answer(tiny_network: Hybrid) -> None:
    with torch.no_grad():
        assert not torch.allclose(tiny_network(_ecg())[0], prune_network(tiny_network, KEPT)(_ecg())[0], atol=1e-3)


def test_a_pruned_network_is_described_by_its_configuration(tiny_network: Hybrid) -> None:
    smaller = prune_network(tiny_network, KEPT)
    again = Hybrid(HybridConfig.from_dict(smaller.config.as_dict()))
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in smaller.state_dict().items()}
    assert smaller.config.bottlenecks == (3, 1, 2, 3)
    assert smaller.config.heads_per_layer == (1, 2)
    assert smaller.config.hidden_units == (11, 1)


def test_a_pruned_network_has_its_attribution_graph(tiny_network: Hybrid) -> None:
    served = served_network(prune_network(tiny_network, KEPT)).double()
    ecg = _ecg().double().requires_grad_()
    target = torch.randn(4, 9, generator=torch.Generator().manual_seed(6)).double()
    *_, gradient = Attribution(served)(ecg.detach(), target)
    (expected,) = torch.autograd.grad((torch.cat(served(ecg), 1) * target).sum(), ecg)
    assert (gradient - expected).abs().max() < 1e-10 * expected.abs().max()


def test_widths_that_do_not_fit_the_layers_are_refused(tiny_config: HybridConfig) -> None:
    with pytest.raises(ValueError, match="not 4 positive widths"):
        replace(tiny_config, bottleneck_channels=(3, 3))


def test_importance_finds_the_silent_units_and_the_squared_slope(tiny_network: Hybrid) -> None:
    _silence(tiny_network)
    target = {"statements": torch.zeros(4, 7), "rhythm": torch.ones(4, 2)}
    importance = measure_importance(tiny_network, _ecg().numpy(), target, batch=3)
    for kind, layers in KEPT.items():
        for values, kept in zip(getattr(importance, kind), layers, strict=True):
            gone = [u for u in range(len(values)) if u not in kept]
            assert float(values[gone].max(initial=0.0)) == 0.0
    # One recording and one unit against a finite difference of the loss.
    one = measure_importance(tiny_network, _ecg(1).numpy(), {k: v[:1] for k, v in target.items()})
    reader = prunable(tiny_network)["feed_forward_units"][0][0]

    def loss(factor: float) -> float:
        scaled = reader.weight.detach().clone()  # type: ignore[union-attr]
        with torch.no_grad():
            reader.weight[:, 3] = scaled[:, 3] * factor  # type: ignore[index]
            statements, rhythm = (v.double() for v in tiny_network(_ecg(1)))
            reader.weight.copy_(scaled)  # type: ignore[union-attr, operator]
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        parts = (
            (statements[:, :5], torch.zeros(1, 5)),
            (statements[:, 5:], torch.zeros(1, 2)),
            (rhythm, torch.ones(1, 2)),
        )
        return sum(float(bce(a, b.double())) for a, b in parts)

    slope = (loss(1.05) - loss(0.95)) / 0.1
    assert float(one.feed_forward_units[0][3]) == pytest.approx(slope**2, rel=0.02)


def test_the_best_units_for_their_cost_stay_in_whole_blocks() -> None:
    random = np.random.default_rng(1)
    config = HybridConfig(dense_layers=(1, 1, 1), encoder_layers=2)
    importance = Importance(
        bottleneck_channels=tuple(random.uniform(1, 2, 64).astype(np.float32) * scale for scale in (2, 100, 0.01)),
        kept_heads=(np.array([5.0, 1, 2, 3], np.float32), np.array([1.0, 9, 8, 7], np.float32)),
        feed_forward_units=(random.random(128).astype(np.float32), random.random(128).astype(np.float32)),
    )
    chosen = choose_units(config, importance, Cut(0.5, 0.625, 0.5))
    first, second, third = (len(units) for units in chosen["bottleneck_channels"])
    assert second == 64  # it matters most
    assert min(first, third) >= 16  # no layer disappears
    assert set(chosen["bottleneck_channels"][0]) == set(np.argsort(-importance.bottleneck_channels[0])[:first])
    costs = bottleneck_costs(config)
    spent = sum(c * n for c, n in zip(costs, (first, second, third), strict=True))
    assert 0.5 * 64 * sum(costs) - 16 * max(costs) <= spent <= 0.5 * 64 * sum(costs) + 8 * min(costs)
    assert chosen["kept_heads"] == ((0, 3), (1, 2, 3))
    assert sum(map(len, chosen["feed_forward_units"])) == 128


def test_costs_are_the_multiplications_of_the_layers(tiny_network: Hybrid) -> None:
    """Counted from the shapes that the convolutions see."""
    seen: list[int] = []
    for layer in tiny_network.features:
        if isinstance(layer, DenseLayer):
            layer.reduce.register_forward_hook(
                lambda module, inputs, output, grow=layer.grow: seen.append(
                    output.shape[2] * (inputs[0].shape[1] + grow.conv.kernel_size[0] * grow.conv.out_channels)
                )
            )
    tiny_network(_ecg(1))
    assert bottleneck_costs(tiny_network.config) == seen


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_impossible_cuts_are_refused(share: float) -> None:
    with pytest.raises(WorkshopError, match="kept_heads"):
        Cut(kept_heads=share)
