"""Settings of the preprocessor, beside those every service has."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from cardiomesh.chassis.settings import ServiceSettings
from cardiomesh.ecg.quality import REJECT_BELOW

__all__ = ["PreprocessorSettings"]


class PreprocessorSettings(ServiceSettings):
    """The preprocessor."""

    quality_threshold: float = Field(
        REJECT_BELOW, ge=0, le=1, description="Recordings whose quality score is lower are refused."
    )
    preprocessor_threads: int = Field(
        max(1, os.cpu_count() or 1),
        ge=1,
        description="Threads that decode and condition, beside the event loop.",
    )
    decode_workers: int = Field(1, ge=1, description="Processes that decode vendor formats in isolation.")
    decode_seconds: float = Field(10.0, gt=0, description="Longest time one vendor file may take, in seconds.")
    decode_memory_mib: int = Field(
        512, ge=64, description="Memory one vendor file may take on top of the reader's own, in MiB."
    )
    long_file_mib: int = Field(
        1024, ge=1, description="Largest file that PrepareLong takes, in MiB: a day of 12 leads at 500 Hz has 989."
    )
    long_recordings: int = Field(2, ge=1, description="Long recordings taken in or worked on at once.")
    long_chunk_seconds: float = Field(30.0, gt=0, description="Longest wait for a long recording's next chunk.")
    spool_folder: Path | None = Field(
        None, description="Folder where long recordings lie, unnamed, while they are worked on; none: the system's."
    )
    decode_warm: bool = Field(True, description="Start a decoding process at once, not with the first vendor file.")
