"""The same recording re-sent in another container, trimmed or resampled: found, marked, and never silently reused."""

from gateway.duplicates.look import NearDuplicates

__all__ = ["NearDuplicates"]
