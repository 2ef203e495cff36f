"""The service's log: JSON, one object a line, where a machine reads it; plain lines in a terminal. Never a value."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from typing import Literal

Form = Literal["auto", "json", "text"]
FORMS: tuple[Form, ...] = ("auto", "json", "text")


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)  # made once: making it takes longer than a line


class JsonLines(logging.Formatter):
    """Time, level and message of a record, with the parts that the service's own records have."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "parts", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)


def write_log(form: Form = "auto") -> None:
    """Send the log to standard error. uvicorn's own lines only when something is wrong."""
    # no line has the thread or the process, which Python would look up for each
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    is_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonLines() if is_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[output], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
