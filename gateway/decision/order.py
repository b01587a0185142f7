"""What a human looks at first. Also for those who have findings and no whole answer, such as a stream of windows."""

from __future__ import annotations

from collections.abc import Iterable

from cardiomesh._proto.types.v1 import types_pb2

__all__ = ["by_urgency"]


def by_urgency(findings: Iterable[types_pb2.Finding]) -> list[types_pb2.Finding]:
    """The findings that are called present, the most urgent first, then the certain ones, then the most probable.

    Before a decision was made no outcome is certain, and urgency and probability decide alone.
    """
    return sorted(
        (finding for finding in findings if finding.present),
        key=lambda f: (-f.urgency, f.outcome != types_pb2.OUTCOME_PRESENT, -f.probability),
    )
