"""What a method raises when it has nothing honest to say; it becomes a part of the answer, never a failed call."""

from __future__ import annotations

from cardiomesh._proto.explainer.v1 import explainer_pb2

__all__ = ["Withheld"]


class Withheld(Exception):
    """No explanation by this method, and why, in the languages of the reports."""

    def __init__(self, reason: explainer_pb2.MissingReason.ValueType, en: str, pt: str) -> None:
        super().__init__(en)
        self.reason = reason
        self.en = en
        self.pt = pt
