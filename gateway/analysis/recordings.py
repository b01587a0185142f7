"""What the gateway itself looks at of a recording, before anybody decodes it."""

from __future__ import annotations

import hashlib
from typing import Final

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import InvalidRequest

__all__ = ["checked", "digest_of", "without_subject"]

MAX_SUBJECT_REF: Final = 128


def checked(recording: types_pb2.Recording) -> types_pb2.Recording:
    """The recording; InvalidRequest where there is nothing in it."""
    if recording.WhichOneof("content") is None:
        raise InvalidRequest.field("recording", "send a signal or a file", "MISSING")
    if len(recording.subject_ref) > MAX_SUBJECT_REF:
        raise InvalidRequest.field("recording.subject_ref", f"is longer than {MAX_SUBJECT_REF} characters", "TOO_LONG")
    return recording


def without_subject(recording: types_pb2.Recording) -> types_pb2.Recording:
    """A copy that says nothing of whom it is."""
    seen = types_pb2.Recording()
    seen.CopyFrom(recording)
    seen.subject_ref = ""
    return seen


def digest_of(recording: types_pb2.Recording) -> str:
    """sha256 over all that the preprocessor sees: the same request again needs no second decoding."""
    return hashlib.sha256(without_subject(recording).SerializeToString(deterministic=True)).hexdigest()
