"""The hand-written vector-Jacobian product against torch's autograd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from export.architectures import Hybrid, HybridConfig
from export.architectures.attribution import Attribution
from export.architectures.served import served_network


def _by_autograd(network: Hybrid, ecg: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    ecg = ecg.clone().requires_grad_(True)
    features = network.features(ecg)
    x = network.tokens(features)
    for layer in (*network.recurrent, *network.encoder):
        x = layer(x)
    summary = network.norm(x).mean(1)
    score = (torch.cat([head(summary) for head in network.heads.values()], 1) * target).sum()
    by_feature, by_ecg = torch.autograd.grad(score, [features, ecg])
    cam = torch.relu((by_feature.mean(2, keepdim=True) * features).sum(1))
    return cam.detach(), by_ecg


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-12))


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_agrees_with_autograd(tiny_network: Hybrid, dtype: torch.dtype, limit: float) -> None:
    network = served_network(tiny_network).to(dtype)
    random = torch.Generator().manual_seed(11)
    ecg = (0.3 * torch.randn(5, 12, 1000, generator=random)).to(dtype)
    target = torch.randn(5, 9, generator=random).to(dtype)
    *logits, cam, gradient = Attribution(network)(ecg, target)
    expected_cam, expected_gradient = _by_autograd(network, ecg, target)
    assert _relative(cam, expected_cam) < limit
    assert _relative(gradient, expected_gradient) < limit
    with torch.no_grad():
        for mine, theirs in zip(logits, network(ecg), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", [{"token_pool": 1}, {"token_pool": 5}, {"gru_layers": 1}, {"stem_kernel": 9}])
def test_agrees_for_other_shapes(tiny_config: HybridConfig, change: dict[str, int]) -> None:
    torch.manual_seed(13)
    network = served_network(Hybrid(replace(tiny_config, **change))).double()
    ecg, target = torch.randn(2, 12, 1000).double(), torch.randn(2, 9).double()
    *_, cam, gradient = Attribution(network)(ecg, target)
    expected_cam, expected_gradient = _by_autograd(network, ecg, target)
    assert _relative(cam, expected_cam) < 1e-11
    assert _relative(gradient, expected_gradient) < 1e-11


def test_no_target_no_attribution(tiny_network: Hybrid) -> None:
    network = served_network(tiny_network)
    *_, cam, gradient = Attribution(network)(torch.randn(2, 12, 1000), torch.zeros(2, 9))
    assert float(cam.abs().max()) == 0
    assert float(gradient.abs().max()) == 0


def test_rows_are_explained_independently(tiny_network: Hybrid) -> None:
    module = Attribution(served_network(tiny_network))
    ecg, target = 0.3 * torch.randn(4, 12, 1000), torch.eye(9)[:4]
    together, alone = module(ecg, target)[-1], module(ecg[2:3], target[2:3])[-1]
    assert _relative(together[2:3], alone) < 1e-5


def test_needs_a_served_network(tiny_network: Hybrid) -> None:
    with pytest.raises(TypeError, match="served"):
        Attribution(tiny_network)
