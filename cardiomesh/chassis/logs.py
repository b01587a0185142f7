"""Structured JSON logs. Only the fields in ``schema.LOG_FIELDS`` get through, and no exception's message does."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final, TextIO

from opentelemetry import trace

from cardiomesh.chassis.schema import LOG_FIELDS

__all__ = ["configure_logs"]

_FRAMES: Final = 6


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record, reduced to what the schema allows."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            # A template without its arguments: values belong into fields, where the allow-list sees them.
            "event": record.msg if isinstance(record.msg, str) else type(record.msg).__name__,
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
        line.update({key: value for key, value in record.__dict__.items() if key in LOG_FIELDS})
        if record.exc_info and record.exc_info[0] is not None:
            # An exception's text may quote the patient's file; its type and place cannot.
            line["error_type"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])[-_FRAMES:]
            line["frames"] = [f"{frame.name}:{frame.lineno}" for frame in frames]
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logs(service: str, level: str, stream: TextIO | None = None) -> None:
    """Make every logger of the process write JSON lines to ``stream`` (standard output)."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("aiohttp.access", "grpc._cython.cygrpc", "opentelemetry"):
        logging.getLogger(chatty).setLevel("ERROR")
