"""One small exported network for all tests of this folder: exporting takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export.architectures import Hybrid, HybridConfig
from export.architectures.served import served_network
from export.formats.onnx import export_network


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.onnx`` and ``weights.bin`` of a network with every kind of layer and weights that are not all alike."""
    torch.manual_seed(7)
    config = HybridConfig(
        stem_channels=8,
        growth=4,
        dense_layers=(1, 1),
        token_pool=20,
        gru_hidden=8,
        encoder_layers=1,
        encoder_heads=2,
        heads={"statements": 7, "rhythm": 2},
    )
    network = Hybrid(config)
    random = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_network(served_network(network), path)
    return path
