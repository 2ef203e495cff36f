"""A real kernel that is sent cells as a front end sends them: with the id of each cell."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_client.manager import start_new_kernel


@dataclass
class Said:
    """What one cell brought: display_data and execute_result as (kind, data), streams, and the error if any."""

    shown: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    streams: list[tuple[str, str]] = field(default_factory=list)
    error: str = ""
    traceback: str = ""

    @property
    def texts(self) -> list[str]:
        return [data["text/plain"] for _, data in self.shown]


class LiveKernel:
    def __init__(self, folder: Path, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
        self.manager, self.client = start_new_kernel(
            kernel_name="python3", cwd=str(folder), env={**inherited, **environment}
        )

    def __enter__(self) -> LiveKernel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, code: str, id: str = "", **metadata: Any) -> Said:
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": id or None, **metadata})
        self.client.shell_channel.send(message)
        said = Said()
        while True:
            answer = self.client.get_iopub_msg(timeout=120)
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            kind, content = answer["msg_type"], answer["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return said
            if kind in ("display_data", "execute_result"):
                said.shown.append((kind, content["data"]))
            elif kind == "stream":
                said.streams.append((content["name"], content["text"]))
            elif kind == "error":
                said.error = f"{content['ename']}: {content['evalue']}"
                said.traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"]))
