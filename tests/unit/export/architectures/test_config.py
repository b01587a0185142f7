from __future__ import annotations

import pytest

from export.architectures import CONFIGS, Hybrid, HybridConfig, named_config, trainable_parameters
from export.architectures.config import TARGET_PARAMETERS
from export.errors import WorkshopError


@pytest.mark.parametrize("name", sorted(TARGET_PARAMETERS))
def test_named_sizes_are_within_five_percent(name: str) -> None:
    count = trainable_parameters(Hybrid(CONFIGS[name]))
    assert abs(count / TARGET_PARAMETERS[name] - 1) <= 0.05


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_no_frame_is_dropped_on_the_way_to_the_tokens(name: str) -> None:
    config = CONFIGS[name]
    frames = config.samples
    for factor in (config.stem_stride, *[2] * (len(config.dense_layers) - 1), config.token_pool):
        assert frames % factor == 0
        frames //= factor


def test_configuration_survives_json() -> None:
    config = CONFIGS["hybrid_mobile"]
    assert HybridConfig.from_dict(config.as_dict()).as_dict() == config.as_dict()


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WorkshopError, match="edge_optimized, hybrid_full, hybrid_mobile"):
        named_config("hybrid_huge")
