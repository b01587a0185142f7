"""Leads analysed while they are recorded: windows as samples come, answers as windows are complete."""

from gateway.live.desk import LiveLimits, LiveStreams
from gateway.live.tokens import TokenMint

__all__ = ["LiveLimits", "LiveStreams", "TokenMint"]
