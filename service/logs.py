"""The log of the process: lines for people, or lines of JSON for whatever collects them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from service.request_id import current_request_id
from service.traces import current_trace

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_NAMES: Final[Mapping[str, str]] = {"levelname": "level", "name": "logger", "exc_info": "exception"}
# Uvicorn says some lines twice, once with codes of colour.
_LEFT_OUT: Final = (*RESERVED_ATTRS, "color_message", "taskName")


def configure_logs(log_format: LogFormat, level: LogLevel) -> None:
    """Send the whole process' log to standard error in one form, uvicorn's lines and Python's warnings too.

    What logged before is put aside. Uvicorn has no handlers of its own (`log_config=None`), so its lines come here.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(json_lines() if log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


def json_lines() -> logging.Formatter:
    """A line of JSON for each record: `time` (RFC 3339, UTC), `level`, `logger`, `message`, what the record has beside.

    Also `request_id` where the record was made for a request, `trace_id` and `span_id` where that is traced, and the
    traceback of an error as `exception`.
    """
    return _JsonLines(
        ["levelname", "name", "message"], rename_fields=dict(_NAMES), timestamp="time", reserved_attrs=_LEFT_OUT
    )


class _JsonLines(JsonFormatter):
    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        request_id = current_request_id.get()
        if request_id is not None:
            log_data["request_id"] = request_id
        trace = current_trace.get()
        if trace is not None:
            log_data |= {"trace_id": trace.trace_id, "span_id": trace.span_id}

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {"time": log_data.pop("time"), **log_data}
