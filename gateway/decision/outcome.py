"""What threshold and prediction set say together.

=================  ==================  ==========================
prediction set     called present      not called present
=================  ==================  ==========================
{present}          PRESENT             UNCERTAIN: absence is ruled out, and yet it is not called
{absent}           UNCERTAIN: the      ABSENT
                   reverse
{present, absent}  UNCERTAIN           UNCERTAIN; UNSPECIFIED where presence can never be ruled out
{}                 UNCERTAIN: neither  UNCERTAIN: neither is typical
                   is typical
not stated         UNSPECIFIED         UNSPECIFIED
=================  ==================  ==========================

Shifts move the threshold and never the set: its guarantee is that of the card's own limits. "Never ruled out": with
fewer than nine positives in the calibration fold the card's limit for presence is 0, so that every set holds "present"
and only the threshold speaks. That is said, and not passed off as ABSENT.
"""

from __future__ import annotations

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import Statement

__all__ = ["outcome"]


def outcome(
    statement: Statement, prediction_set: types_pb2.PredictionSet.ValueType, present: bool
) -> types_pb2.Outcome.ValueType:
    """The outcome of one finding."""
    if prediction_set == types_pb2.PREDICTION_SET_UNSPECIFIED:
        return types_pb2.OUTCOME_UNSPECIFIED
    if present:
        certain = prediction_set == types_pb2.PREDICTION_SET_PRESENT
        return types_pb2.OUTCOME_PRESENT if certain else types_pb2.OUTCOME_UNCERTAIN
    if prediction_set == types_pb2.PREDICTION_SET_ABSENT:
        return types_pb2.OUTCOME_ABSENT
    if prediction_set == types_pb2.PREDICTION_SET_BOTH and not statement.present_from:
        return types_pb2.OUTCOME_UNSPECIFIED
    return types_pb2.OUTCOME_UNCERTAIN
