"""The decision, off the wire."""

from __future__ import annotations

import pytest

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.client import SETTINGS
from cardiomesh.client._decision import setting_value
from cardiomesh.client._results import analysis_of
from cardiomesh.errors import InvalidRequest


def answer() -> gateway_pb2.AnalyzeResponse:
    return gateway_pb2.AnalyzeResponse(
        findings=[
            types_pb2.Finding(code="MI", probability=0.4, threshold=0.3, present=True),
            types_pb2.Finding(code="LVH", probability=0.9, threshold=0.3, present=True),
        ]
    )


def test_without_a_decision_the_most_probable_comes_first() -> None:
    found = analysis_of(answer())
    assert [f.code for f in found.present] == ["LVH", "MI"]
    assert (found.decision, found.near_duplicate) == (None, None)
    assert (found.findings[0].outcome, found.findings[0].base_threshold) == (None, None)


def test_a_decision_says_what_comes_first_and_all_of_it_is_plain_json() -> None:
    message = answer()
    message.findings[0].MergeFrom(
        types_pb2.Finding(
            base_threshold=0.5,
            outcome=types_pb2.OUTCOME_UNCERTAIN,
            shifts=[types_pb2.ThresholdShift(rule="emergency", log_odds=-0.4, text="sooner", text_pt="mais cedo")],
        )
    )
    message.decision.CopyFrom(
        gateway_pb2.Decision(
            over_read=True,
            reasons=[gateway_pb2.OverReadReason(code="UNCERTAIN_FINDING", subject="MI", text="u", text_pt="i")],
            critical=[gateway_pb2.CriticalFinding(code="st_elevation", urgency=types_pb2.URGENCY_CRITICAL)],
            order=["MI", "LVH"],
            setting=types_pb2.SETTING_EMERGENCY,
        )
    )
    message.near_duplicate_of.CopyFrom(gateway_pb2.NearDuplicate(looked_up=True, result_id="r1", similarity=0.9))
    found = analysis_of(message)
    assert [f.code for f in found.present] == ["MI", "LVH"]
    plain = found.to_dict()
    assert plain["findings"][0]["outcome"] == "uncertain"
    assert plain["findings"][0]["shifts"] == (
        {"rule": "emergency", "log_odds": -0.4, "text": {"en": "sooner", "pt": "mais cedo"}},
    )
    assert plain["decision"]["setting"] == "emergency"
    assert plain["decision"]["critical"][0]["urgency"] == "critical"
    assert plain["near_duplicate"]["result_id"] == "r1"


def test_every_setting_has_its_number_and_no_other_is_sent() -> None:
    assert sorted(map(setting_value, SETTINGS)) == sorted(types_pb2.Setting.values())
    with pytest.raises(InvalidRequest, match="emergency"):
        setting_value("moon")
