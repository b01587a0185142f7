"""One dataclass describes every size of the network; three of them have names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

from export.errors import WorkshopError

__all__ = ["CONFIGS", "TARGET_PARAMETERS", "HybridConfig", "named_config"]


_TUPLES: Final = ("dense_layers", "bottleneck_channels", "kept_heads", "feed_forward_units")


@dataclass(frozen=True, slots=True)
class HybridConfig:
    """Shape of one hybrid network. Time runs 1000 → 1000/stem_stride → /2 → /2 → /token_pool."""

    leads: int = 12
    samples: int = 1000
    stem_channels: int = 48
    stem_kernel: int = 15
    #: 5 divides 1000 so that every later halving is exact: no edge frame is ever dropped.
    stem_stride: int = 5
    growth: int = 24
    bottleneck: int = 2
    dense_layers: tuple[int, ...] = (4, 6, 6)
    dense_kernel: int = 7
    compression: float = 0.5
    #: Frames averaged into one token.
    token_pool: int = 2
    #: Hidden units of each direction; a token has twice as many values.
    gru_hidden: int = 64
    gru_layers: int = 1
    encoder_layers: int = 2
    encoder_heads: int = 4
    feed_forward_ratio: int = 4
    #: Widths of a pruned network, one per layer; empty where every layer is as wide as the figures above say.
    #: Bottleneck channels per dense layer.
    bottleneck_channels: tuple[int, ...] = ()
    #: Attention heads kept per encoder layer, each ``width / encoder_heads`` wide.
    kept_heads: tuple[int, ...] = ()
    #: Hidden units of the feed-forward part per encoder layer.
    feed_forward_units: tuple[int, ...] = ()
    #: Served heads, in output order: name → number of classes.
    heads: Mapping[str, int] = field(default_factory=lambda: {"statements": 30, "rhythm": 6})
    #: Heads that exist only while training.
    auxiliary: Mapping[str, int] = field(default_factory=dict)
    dropout: float = 0.1
    head_dropout: float = 0.3

    def __post_init__(self) -> None:
        for name, layers in (
            ("bottleneck_channels", sum(self.dense_layers)),
            ("kept_heads", self.encoder_layers),
            ("feed_forward_units", self.encoder_layers),
        ):
            widths = getattr(self, name)
            if widths and (len(widths) != layers or min(widths) < 1):
                raise ValueError(f"{name} {widths} are not {layers} positive widths")

    @property
    def width(self) -> int:
        """Values in one token."""
        return 2 * self.gru_hidden

    @property
    def bottlenecks(self) -> tuple[int, ...]:
        """Bottleneck channels of each dense layer."""
        return self.bottleneck_channels or (self.bottleneck * self.growth,) * sum(self.dense_layers)

    @property
    def heads_per_layer(self) -> tuple[int, ...]:
        """Attention heads of each encoder layer."""
        return self.kept_heads or (self.encoder_heads,) * self.encoder_layers

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Feed-forward units of each encoder layer."""
        return self.feed_forward_units or (self.feed_forward_ratio * self.width,) * self.encoder_layers

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, for checkpoints and model cards."""
        values = asdict(self) | {"heads": dict(self.heads), "auxiliary": dict(self.auxiliary)}
        return values | {name: list(values[name]) for name in _TUPLES}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HybridConfig:
        """The inverse of ``as_dict``."""
        return cls(**{**values, **{name: tuple(values.get(name, ())) for name in _TUPLES}})


CONFIGS: Final[Mapping[str, HybridConfig]] = MappingProxyType(
    {
        "edge_optimized": HybridConfig(growth=24, dense_layers=(4, 6, 8), gru_hidden=64, gru_layers=2),
        "hybrid_mobile": HybridConfig(
            stem_channels=64,
            growth=32,
            dense_layers=(4, 8, 8),
            gru_hidden=128,
            gru_layers=2,
            encoder_layers=3,
            encoder_heads=8,
        ),
        "hybrid_full": HybridConfig(
            stem_channels=64,
            growth=32,
            # hybrid_mobile's convolutions: their cost, and the weights to start from.
            dense_layers=(4, 8, 8),
            # One token a second: the Transformer holds most weights, and its cost falls with the tokens.
            token_pool=5,
            gru_hidden=256,
            gru_layers=1,
            encoder_layers=4,
            encoder_heads=8,
        ),
    }
)

#: Sizes as the user's guide states them; each network must lie within 5 %.
TARGET_PARAMETERS: Final[Mapping[str, int]] = MappingProxyType(
    {"hybrid_full": 15_200_000, "hybrid_mobile": 3_800_000, "edge_optimized": 950_000}
)


def named_config(name: str) -> HybridConfig:
    """The configuration behind a model's name."""
    try:
        return CONFIGS[name]
    except KeyError:
        raise WorkshopError(f"no model is called {name!r}; there are {', '.join(sorted(CONFIGS))}") from None
