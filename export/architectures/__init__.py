"""The hybrid network (DenseNet-1D, bidirectional GRU, Transformer) and its named sizes."""

from export.architectures.config import CONFIGS, HybridConfig, named_config
from export.architectures.hybrid import Hybrid, trainable_parameters

__all__ = ["CONFIGS", "Hybrid", "HybridConfig", "named_config", "trainable_parameters"]
