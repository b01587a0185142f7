"""The form of what every model takes: for those who need to know it and compute nothing."""

from __future__ import annotations

from typing import Final

__all__ = ["MODEL_RATE_HZ", "WINDOW_SAMPLES", "WINDOW_SECONDS"]

MODEL_RATE_HZ: Final = 100
WINDOW_SECONDS: Final = 10.0
WINDOW_SAMPLES: Final = 1000
