"""Device files and plain numbers → Recording."""

from preprocessor.decoding.inputs import FileInput, RecordingInput, SignalInput
from preprocessor.decoding.registry import decode

__all__ = ["FileInput", "RecordingInput", "SignalInput", "decode"]
