"""Widgets of a run without a browser: their state goes into the notebook's metadata, as Jupyter saves it.

Output widgets catch what is printed inside `with output:`. nbclient has a double of them; it is imported when a
notebook makes the first one.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

STATE = "application/vnd.jupyter.widget-state+json"


class Widgets:
    """All widgets of one kernel. nbclient's double of an Output widget takes this for its notebook client."""

    def __init__(self, session: Any, shell: Any) -> None:
        self.widget_state: dict[str, dict[str, Any]] = {}
        self._buffers: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {}
        self._doubles: dict[str, Any] = {}
        self._catching: defaultdict[str, list[Any]] = defaultdict(list)
        channel = SimpleNamespace(send=lambda message: session.send(shell, message))
        self._client = SimpleNamespace(session=session, shell_channel=channel)

    def hear(self, message: Mapping[str, Any]) -> None:
        """A `comm_…` message."""
        content = message["content"]
        comm, data = content["comm_id"], content["data"]
        if "state" in data:
            self.widget_state.setdefault(comm, {}).update(data["state"])
            self._keep_buffers(comm, data.get("buffer_paths") or (), message["buffers"])
        if message["msg_type"] == "comm_open":
            self._open(comm, content.get("target_name"), data)
        elif message["msg_type"] == "comm_msg" and comm in self._doubles:
            self._doubles[comm].handle_msg(message)

    def _open(self, comm: str, target: Any, data: Mapping[str, Any]) -> None:
        state = data.get("state", {})
        of_output = (state.get("_model_module"), state.get("_model_name")) == ("@jupyter-widgets/output", "OutputModel")
        if target == "jupyter.widget" and of_output:
            from nbclient.output_widget import OutputWidget

            self._doubles[comm] = OutputWidget(comm, state, self._client, self)

    def _keep_buffers(self, comm: str, paths: Any, buffers: Any) -> None:
        for path, buffer in zip(paths, buffers, strict=False):
            text = base64.b64encode(buffer).decode()
            self._buffers.setdefault(comm, {})[tuple(path)] = {"data": text, "encoding": "base64", "path": path}

    def take(self, message: Mapping[str, Any]) -> bool:
        """Whether an Output widget shows this message, in the place of its cell."""
        catching = self._catching.get(message["parent_header"].get("msg_id", ""))
        if not catching or message["msg_type"] not in ("stream", "display_data", "execute_result", "error", CLEAR):
            return False
        if message["msg_type"] == CLEAR:
            catching[-1].clear_output([], message, 0)
        else:
            catching[-1].output([], message, None, 0)
        return True

    def register_output_hook(self, message: str, double: Any) -> None:
        self._catching[message].append(double)

    def remove_output_hook(self, message: str, double: Any) -> None:
        self._catching[message].remove(double)

    def metadata(self) -> dict[str, Any]:
        """What the notebook's metadata says of them; empty when there are none."""
        known = {comm: state for comm, state in self.widget_state.items() if "_model_name" in state}
        if not known:
            return {}
        states = {comm: self._saved(comm, state) for comm, state in known.items()}
        return {"widgets": {STATE: {"state": states, "version_major": 2, "version_minor": 0}}}

    def _saved(self, comm: str, state: Mapping[str, Any]) -> dict[str, Any]:
        named = {name: state.get(f"_{name}") for name in ("model_name", "model_module", "model_module_version")}
        buffers = list(self._buffers.get(comm, {}).values())
        return {**named, "state": dict(state), **({"buffers": buffers} if buffers else {})}


CLEAR = "clear_output"
