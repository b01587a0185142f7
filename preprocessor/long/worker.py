"""The child's side: ``python -m preprocessor.long.worker FD STRIDE REJECT_BELOW MEMORY_MIB``.

Reads the spooled file behind the descriptor and writes frames (``preprocessor/frames.py``) to standard output. It lives
for one recording, so a crash, a hang or a hunger for memory costs that one.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh.ecg.conditioning import PREPROCESSING_VERSION
from cardiomesh.errors import CardioMeshError, InvalidRequest
from cardiomesh.rpc.status import item_error
from preprocessor.decoding.worker import mapped_bytes
from preprocessor.frames import ERROR, write
from preprocessor.long.open import open_source
from preprocessor.long.source import FIELD, Source
from preprocessor.long.windows import Plan, Window, describe, plan, windows
from preprocessor.messages import to_info, to_quality

__all__ = ["PART", "WINDOWS_AT_ONCE"]

PART: Final = b"p"
#: Windows in one message: they are one inference too, and others wait for no longer than that.
WINDOWS_AT_ONCE: Final = 8
#: Below everything that somebody waits for.
_NICENESS: Final = 10


def parts(source: Source, stride: float, reject_below: float) -> Iterator[preprocessor_pb2.PrepareLongResponse]:
    """The recording, then its windows, some at once."""
    layout = plan(source, stride)
    yield preprocessor_pb2.PrepareLongResponse(recording=_overview(source, layout, stride))
    waiting: list[preprocessor_pb2.PreparedWindow] = []
    for window in windows(source, layout, reject_below):
        waiting.append(_message(window))
        if len(waiting) == WINDOWS_AT_ONCE:
            yield _some(waiting)
            waiting = []
    if waiting:
        yield _some(waiting)


def _some(waiting: Iterable[preprocessor_pb2.PreparedWindow]) -> preprocessor_pb2.PrepareLongResponse:
    return preprocessor_pb2.PrepareLongResponse(windows=preprocessor_pb2.PreparedWindows(windows=waiting))


def _overview(source: Source, layout: Plan, stride: float) -> preprocessor_pb2.LongRecording:
    info = to_info(describe(source))
    info.duration = source.samples / source.rate
    return preprocessor_pb2.LongRecording(
        recording=info, windows=layout.count, stride=stride, preprocessing_version=PREPROCESSING_VERSION
    )


def _message(window: Window) -> preprocessor_pb2.PreparedWindow:
    return preprocessor_pb2.PreparedWindow(
        index=window.index,
        start=window.start,
        tensor=window.prepared.tensor if window.prepared else b"",
        tensor_hash=window.prepared.tensor_hash if window.prepared else "",
        quality=to_quality(window.quality) if window.quality else None,
        heart_rate=window.heart_rate,
        refusal=item_error(window.refusal) if window.refusal else None,
    )


def main(arguments: Sequence[str]) -> None:
    """Prepare one recording and end."""
    descriptor, stride, reject_below, memory_mib = arguments
    os.nice(_NICENESS)
    sink = sys.stdout.buffer
    with os.fdopen(int(descriptor), "rb") as file:
        # On top of what is mapped already, and of the file: mapped is not read.
        limit = mapped_bytes() + int(memory_mib) * 2**20 + os.fstat(file.fileno()).st_size
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            for part in parts(open_source(file), float(stride), float(reject_below)):
                write(sink, PART, part)
        except CardioMeshError as error:
            write(sink, ERROR, item_error(error))
        except (MemoryError, RecursionError):
            write(
                sink,
                ERROR,
                item_error(InvalidRequest.field(FIELD, "decoding it takes more memory than allowed", "TOO_LARGE")),
            )


if __name__ == "__main__":
    main(sys.argv[1:])
