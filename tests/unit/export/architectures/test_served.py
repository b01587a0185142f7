from __future__ import annotations

import pytest
import torch
from torch import nn

from export.architectures import Hybrid
from export.architectures.served import served_network
from export.errors import CheckpointError


def _ecg() -> torch.Tensor:
    return 0.3 * torch.randn(4, 12, 1000, generator=torch.Generator().manual_seed(5))


def test_folding_changes_nothing(tiny_network: Hybrid) -> None:
    served = served_network(tiny_network, half=False)
    assert not any(isinstance(m, nn.BatchNorm1d) for m in served.modules())
    with torch.no_grad():
        for a, b in zip(tiny_network(_ecg()), served(_ecg()), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_weights_are_exact_in_half_precision_and_logits_stay_close(tiny_network: Hybrid) -> None:
    served = served_network(tiny_network)
    for parameter in served.parameters():
        assert torch.equal(parameter, parameter.half().float())
    with torch.no_grad():
        for a, b in zip(tiny_network(_ecg()), served(_ecg()), strict=True):
            assert (a - b).abs().max() < 0.02


def test_the_trained_network_is_left_as_it_was(tiny_network: Hybrid) -> None:
    before = {name: value.clone() for name, value in tiny_network.state_dict().items()}
    served_network(tiny_network)
    assert all(torch.equal(value, before[name]) for name, value in tiny_network.state_dict().items())


def test_values_beyond_half_precision_are_refused(tiny_network: Hybrid) -> None:
    with torch.no_grad():
        tiny_network.embed.weight[0, 0] = 1e6
    with pytest.raises(CheckpointError, match=r"embed\.weight"):
        served_network(tiny_network)
