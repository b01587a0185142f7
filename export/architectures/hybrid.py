"""DenseNet-1D → bidirectional GRU → Transformer, written from plain operators.

Attention is written by hand and every activation is a ReLU after its convolution (post-activation), so that
batch normalisation folds into the convolutions, the ONNX graph holds standard operators only, and the
vector-Jacobian product of ``export.architectures.attribution`` can be written layer by layer.

No operation in evaluation mode mixes the batch: an ECG's answer cannot depend on its neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.architectures.config import HybridConfig

__all__ = ["BiGRU", "ConvUnit", "DenseLayer", "EncoderLayer", "Hybrid", "trainable_parameters"]


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, ReLU: [B, c, T] → [B, n, T / stride]."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return torch.relu(y)


class DenseLayer(nn.Module):
    """Adds ``growth`` channels computed from all earlier ones through ``bottleneck`` channels."""

    def __init__(self, inputs: int, growth: int, bottleneck: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.reduce = ConvUnit(inputs, bottleneck, 1)
        self.grow = ConvUnit(bottleneck, growth, kernel)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.dropout(self.grow(self.reduce(x)))], dim=1)


class BiGRU(nn.Module):
    """One bidirectional GRU layer with a residual path: [B, T, 2H] → [B, T, 2H]."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(2 * hidden, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.gru(x)
        z: Tensor = x + self.dropout(y)
        return z


class EncoderLayer(nn.Module):
    """Pre-norm Transformer encoder layer with the attention spelled out: [B, T, D] → [B, T, D].

    ``kept`` of the ``heads`` into which the width divides exist, and ``hidden`` feed-forward units.
    """

    def __init__(self, width: int, heads: int, kept: int, hidden: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{width} values per token do not divide into {heads} heads")
        self.heads, self.head_width = kept, width // heads
        inner = self.heads * self.head_width
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * inner)
        self.project = nn.Linear(inner, width)
        self.feed_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def split_heads(self, x: Tensor) -> Tensor:
        """[B, T, heads · w] → [B, heads, T, w]; the batch is the only size left open."""
        return x.reshape(-1, x.shape[1], self.heads, self.head_width).transpose(1, 2)

    def merge_heads(self, x: Tensor) -> Tensor:
        """The inverse of ``split_heads``."""
        return x.transpose(1, 2).reshape(-1, x.shape[2], self.heads * self.head_width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.split_heads(t) for t in self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1))
        weights = torch.softmax(torch.matmul(q * self.head_width**-0.5, k.transpose(-1, -2)), dim=-1)
        x = x + self.dropout(self.project(self.merge_heads(torch.matmul(weights, v))))
        hidden = self.dropout(torch.relu(self.expand(self.feed_norm(x))))
        y: Tensor = x + self.dropout(self.contract(hidden))
        return y


class Hybrid(nn.Module):
    """Float32 ``ecg`` [B, 12, 1000] in millivolts → one logit tensor [B, classes] per head."""

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = [ConvUnit(config.leads, config.stem_channels, config.stem_kernel, config.stem_stride)]
        channels, bottlenecks = config.stem_channels, iter(config.bottlenecks)
        for index, count in enumerate(config.dense_layers):
            if index:
                narrowed = int(channels * config.compression)
                layers += [ConvUnit(channels, narrowed, 1), nn.AvgPool1d(2)]
                channels = narrowed
            for _ in range(count):
                layers.append(
                    DenseLayer(channels, config.growth, next(bottlenecks), config.dense_kernel, config.dropout)
                )
                channels += config.growth
        self.features = nn.Sequential(*layers)
        self.channels = channels
        self.embed = nn.Linear(channels, config.width)
        self.recurrent = nn.ModuleList(BiGRU(config.gru_hidden, config.dropout) for _ in range(config.gru_layers))
        self.encoder = nn.ModuleList(
            EncoderLayer(config.width, config.encoder_heads, kept, hidden, config.dropout)
            for kept, hidden in zip(config.heads_per_layer, config.hidden_units, strict=True)
        )
        self.norm = nn.LayerNorm(config.width)
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, n) for name, n in config.heads.items()})
        self.auxiliary = nn.ModuleDict({name: nn.Linear(config.width, n) for name, n in config.auxiliary.items()})

    def tokens(self, features: Tensor) -> Tensor:
        """[B, channels, frames] → [B, tokens, width]."""
        pool = self.config.token_pool
        if pool > 1:
            features = features.reshape(-1, self.channels, features.shape[2] // pool, pool).mean(-1)
        tokens: Tensor = self.embed(features.transpose(1, 2))
        return tokens

    def summary(self, ecg: Tensor) -> Tensor:
        """The vector that every head reads: [B, width]."""
        x = self.tokens(self.features(ecg))
        for layer in self.recurrent:
            x = layer(x)
        for layer in self.encoder:
            x = layer(x)
        pooled: Tensor = self.norm(x).mean(1)
        return pooled

    def forward(self, ecg: Tensor) -> tuple[Tensor, ...]:
        """Logits of the served heads, in the order of ``config.heads``."""
        summary = self.summary(ecg)
        return tuple(head(summary) for head in self.heads.values())

    def training_outputs(self, ecg: Tensor) -> dict[str, Tensor]:
        """Logits of the served and the auxiliary heads by name, with head dropout."""
        summary = self.head_dropout(self.summary(ecg))
        return {name: head(summary) for part in (self.heads, self.auxiliary) for name, head in part.items()}


def trainable_parameters(model: Hybrid) -> int:
    """Parameters of the served network: auxiliary heads are dropped before export and do not count."""
    return sum(
        p.numel() for name, p in model.named_parameters() if not name.startswith("auxiliary.") and p.requires_grad
    )
