from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from export.architectures import Hybrid, HybridConfig
from export.architectures.hybrid import EncoderLayer


def test_logits_per_head(tiny_network: Hybrid) -> None:
    statements, rhythm = tiny_network(torch.randn(3, 12, 1000))
    assert statements.shape == (3, 7)
    assert rhythm.shape == (3, 2)


def test_an_answer_does_not_depend_on_its_neighbours(tiny_network: Hybrid) -> None:
    x = 0.3 * torch.randn(32, 12, 1000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together = tiny_network(x)
        for k in (0, 13, 31):
            alone = tiny_network(x[k : k + 1])
            for a, b in zip(together, alone, strict=True):
                torch.testing.assert_close(a[k : k + 1], b, rtol=1e-5, atol=1e-5)


def test_lead_order_and_amplitude_matter(tiny_network: Hybrid) -> None:
    x = 0.3 * torch.randn(1, 12, 1000, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        base = tiny_network(x)[0]
        assert not torch.allclose(base, tiny_network(x.flip(1))[0], atol=1e-3)
        assert not torch.allclose(base, tiny_network(x * 3)[0], atol=1e-3)


def test_hand_written_attention_is_scaled_dot_product_attention() -> None:
    torch.manual_seed(3)
    layer = EncoderLayer(16, heads=4, kept=4, hidden=32, dropout=0.0).eval()
    x = torch.randn(2, 9, 16)
    q, k, v = (layer.split_heads(t) for t in layer.query_key_value(layer.attention_norm(x)).chunk(3, -1))
    middle = x + layer.project(layer.merge_heads(functional.scaled_dot_product_attention(q, k, v)))
    expected = middle + layer.contract(torch.relu(layer.expand(layer.feed_norm(middle))))
    torch.testing.assert_close(layer(x), expected)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        EncoderLayer(16, heads=3, kept=3, hidden=32, dropout=0.0)


def test_auxiliary_heads_exist_only_while_training(tiny_network: Hybrid, tiny_config: HybridConfig) -> None:
    outputs = tiny_network.training_outputs(torch.randn(2, 12, 1000))
    assert set(outputs) == {*tiny_config.heads, *tiny_config.auxiliary}
    assert len(tiny_network(torch.randn(2, 12, 1000))) == len(tiny_config.heads)
