from __future__ import annotations

import pytest

from cardiomesh._proto.gateway.v1 import routing_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cli.show_routing import routing_words
from cardiomesh.client._routing import mode_value, routing_of
from cardiomesh.errors import InvalidRequest
from cardiomesh.language import Language


def said(reason: str, language: Language, intended: int = 2) -> str:
    return routing_words(
        routing_of(
            routing_pb2.Routing(
                asked_mode=routing_pb2.INFERENCE_MODE_ACCURATE,
                intended=types_pb2.ModelRef(name="ensemble", version=intended),
                answered_by=types_pb2.ModelRef(name="hybrid_full", version=1),
                reason=routing_pb2.RoutingReason.Value(f"ROUTING_REASON_{reason}"),
            )
        ),
        language,
    )


def test_every_reason_has_words_in_both_languages() -> None:
    assert said("FALLBACK", "en") == "FALLBACK: ensemble v2 could not answer, hybrid_full v1 did instead"
    assert said("FALLBACK", "pt", 0) == "SUBSTITUIÇÃO: ensemble não pôde responder; hybrid_full v1 respondeu no lugar"
    assert said("MODE", "en") == "chosen by the mode accurate"
    assert said("MODE", "pt") == "escolhido pelo modo preciso"
    assert "on trial" in said("CANARY", "en")
    assert "em teste" in said("CANARY", "pt")


def test_a_mode_that_is_none_is_refused_before_anything_is_sent() -> None:
    assert mode_value("auto") == routing_pb2.INFERENCE_MODE_UNSPECIFIED
    with pytest.raises(InvalidRequest, match="accurate"):
        mode_value("slow")  # type: ignore[arg-type]
