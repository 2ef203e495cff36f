"""The executed notebook while it is made: outputs arrive from several processes, and the file is always whole."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from nb2prod.engines._outputs import masked_message, overwritten
from nb2prod.kernel.step_work import CellWork
from nb2prod.storage import files

LONGEST_STREAM = 10_000_000
SAVE_EVERY = 2.0  # seconds: what a killed run loses of its outputs at most
SHOWN = ("display_data", "execute_result")


class Executed:
    """`node` is the notebook to run, as nbformat has it; it is saved to `path` every two seconds, and when asked."""

    def __init__(self, node: Any, path: Path, secrets: tuple[str, ...]) -> None:
        self.node = node
        self._path = path
        self._secrets = secrets
        self._lock = threading.Lock()
        self._saved = time.monotonic()
        self._clear: set[int] = set()
        self._shown: dict[str, list[Any]] = {}

    def cell(self, position: int) -> Any:
        return self.node.cells[position]

    def of_author(self, index: int) -> Any:
        """The cell that has this number in the input; None when it is not there."""
        return next((cell for cell in self.node.cells if cell.metadata.get("nb2prod", {}).get("cell") == index), None)

    def begin(self, work: CellWork) -> None:
        with self._lock:
            self.cell(work.position).execution_count = work.count

    def add(self, position: int, said: Mapping[str, Any]) -> None:
        """One output, as nbformat has it."""
        if position < 0:
            return
        with self._lock:
            self._add(position, masked_message(said, self._secrets))
            if time.monotonic() - self._saved > SAVE_EVERY:
                self._save()

    def _add(self, position: int, said: dict[str, Any]) -> None:
        outputs = self.cell(position).outputs
        kind = said["output_type"]
        if kind == "clear_output":
            if said["wait"]:
                self._clear.add(position)
            else:
                outputs.clear()
            return
        if position in self._clear:
            self._clear.discard(position)
            outputs.clear()
        display = said.pop("display_id", None)
        if kind == "update_display_data":
            for shown in self._shown.get(display, ()):
                shown["data"], shown["metadata"] = said["data"], said["metadata"]
        elif kind == "stream":
            self._stream(outputs, said["name"], said["text"])
        else:
            output = nbformat.from_dict(said)
            outputs.append(output)
            if display is not None:
                self._shown.setdefault(display, []).append(output)

    def _stream(self, outputs: list[Any], name: str, text: str) -> None:
        """Streams of one name are one output; what goes beyond the limit is left out, and that is said."""
        stream = next((o for o in outputs if o["output_type"] == "stream" and o["name"] == name), None)
        if stream is None:
            stream = nbformat.from_dict({"output_type": "stream", "name": name, "text": ""})
            outputs.append(stream)
        room = LONGEST_STREAM - len(stream["text"])
        if room <= 0:
            return
        if len(text) > room:
            text = f"{text[:room]}\n… cut by nb2prod: the cell prints more than {LONGEST_STREAM:,} characters\n"
        stream["text"] = overwritten(stream["text"] + text) if "\r" in text else stream["text"] + text

    def save(self) -> None:
        with self._lock:
            self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbformat's, about what the author's notebook lacks
            files.write_text(self._path, nbformat.writes(self.node))
        self._saved = time.monotonic()
