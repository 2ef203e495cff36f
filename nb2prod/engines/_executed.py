"""The executed notebook while it is made: outputs arrive, also from several processes, and the file is always whole.

A cell that prints, or shows, without end is cut, and says so. The file is saved while cells run and when a step ends,
but never so often that saving takes more than a twentieth of the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nb2prod.engines._outputs import masked_message, overwritten
from nb2prod.kernel.step_work import CellWork
from nb2prod.storage import files
from nb2prod.storage.notebook_node import NotebookText, from_dict
from nb2prod.storage.points import Story

LONGEST_STREAM = 10_000_000  # characters of one cell
MOST_OUTPUTS = 1_000  # of one cell
LARGEST_DISPLAYS = 100_000_000  # characters of all that one cell shows
SAVE_EVERY = 2.0  # seconds: what a killed run loses of its outputs at most
SAVE_SHARE = 20  # a save that took long is not repeated before twenty times as long has passed


class Executed:
    """`node` is the notebook to run, as nbformat has it.

    It is saved to `path` every two seconds, and when asked; never when `path` is None: somebody else saves it.
    """

    def __init__(self, node: Any, path: Path | None, secrets: tuple[str, ...]) -> None:
        self.node = node
        self._path = path
        self._secrets = secrets
        self._lock = threading.RLock()
        self._text = NotebookText(node)
        self._saved = time.monotonic()
        self._took = 0.0
        self._clear: set[int] = set()
        self._shown: dict[str, list[tuple[int, Any]]] = {}
        self._sizes: dict[int, int] = {}
        self._left_out: dict[int, tuple[int, Any]] = {}

    def cell(self, position: int) -> Any:
        return self.node.cells[position]

    def of_author(self, index: int) -> Any:
        """The cell that has this number in the input; None when it is not there."""
        return next((cell for cell in self.node.cells if cell.metadata.get("nb2prod", {}).get("cell") == index), None)

    def changed(self, position: int) -> None:
        """Somebody wrote into the cell."""
        with self._lock:
            self._text.changed([position])

    def begin(self, work: CellWork) -> None:
        self.count(work.position, work.count)

    def count(self, position: int, number: int) -> None:
        """The number that Jupyter shows beside the cell."""
        with self._lock:
            self.cell(position).execution_count = number
            self._text.changed([position])

    def empty(self, position: int) -> None:
        """The cell is tried again: what it said so far is not what it says."""
        with self._lock:
            self._cleared(position)
            self._text.changed([position])

    def put(self, work: CellWork, outputs: list[Any]) -> None:
        """All outputs of a cell that did not run again."""
        self.begin(work)
        with self._lock:
            self.cell(work.position).outputs[:] = [from_dict(output) for output in outputs]
            for output in self.cell(work.position).outputs:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = work.count

    def put_back(self, story: Story, cells: Mapping[int, int]) -> None:
        """The outputs of cells that ran before the run went on. `cells` says where each of them stands now."""
        for ran in story.cells:
            cell = self.cell(cells[ran.position])
            cell.outputs = [from_dict(output) for output in ran.outputs]
            cell.execution_count = ran.count
            if ran.metadata:
                cell.metadata["papermill"] = from_dict(dict(ran.metadata))
            self.changed(cells[ran.position])
        for name, places in story.displays.items():
            for place, numbers in places.items():
                outputs = self.cell(cells[int(place)]).outputs
                self._shown.setdefault(name, []).extend((cells[int(place)], outputs[number]) for number in numbers)

    def displays(self) -> dict[str, dict[str, list[int]]]:
        """Display name -> position -> which of the cell's outputs: by these names they may be updated later."""
        found: dict[str, dict[str, list[int]]] = {}
        for name, places in self._shown.items():
            for position, output in places:
                outputs = self.cell(position).outputs
                number = next((n for n, one in enumerate(outputs) if one is output), None)
                if number is not None:
                    found.setdefault(name, {}).setdefault(str(position), []).append(number)
        return found

    def add(self, position: int, said: Mapping[str, Any]) -> None:
        """One output, as nbformat has it; `clear_output` and `update_display_data` as the protocol has them."""
        if position < 0:
            return
        with self._lock:
            self._text.changed([position])
            self._add(position, masked_message(said, self._secrets))
            if time.monotonic() - self._saved > SAVE_EVERY:
                self._save_when_due()

    def _add(self, position: int, said: dict[str, Any]) -> None:
        outputs = self.cell(position).outputs
        kind = said["output_type"]
        if kind == "clear_output":
            if said["wait"]:
                self._clear.add(position)
            else:
                self._cleared(position)
            return
        display = said.pop("display_id", None)
        if kind != "stream" and display is not None:
            self._update(display, said)
        if kind == "update_display_data":
            return
        if position in self._clear:
            self._clear.discard(position)
            self._cleared(position)
        if kind == "stream":
            self._stream(position, said["name"], said["text"])
        elif self._fits(position, said):
            output = from_dict(said)
            outputs.append(output)
            if display is not None:
                self._shown.setdefault(display, []).append((position, output))

    def _cleared(self, position: int) -> None:
        self.cell(position).outputs.clear()
        self._sizes.pop(position, None)
        self._left_out.pop(position, None)
        for display, places in self._shown.items():
            self._shown[display] = [place for place in places if place[0] != position]

    def _update(self, display: str, said: Mapping[str, Any]) -> None:
        """Every place where this display stands shows the new one."""
        for position, shown in self._shown.get(display, ()):
            shown["data"], shown["metadata"] = from_dict(said["data"]), from_dict(said["metadata"])
            self._text.changed([position])

    def _fits(self, position: int, said: Mapping[str, Any]) -> bool:
        """Whether there is room for one more output; a line says how many there was none for. Errors always fit."""
        outputs = self.cell(position).outputs
        size = self._sizes.get(position, 0) + sum(len(str(value)) for value in said.get("data", {}).values())
        if said["output_type"] == "error" or (len(outputs) < MOST_OUTPUTS and size <= LARGEST_DISPLAYS):
            self._sizes[position] = size
            return True
        number, line = self._left_out.get(position, (0, None))
        if line is None:
            line = from_dict({"output_type": "display_data", "data": {}, "metadata": {}})
            outputs.append(line)
        limit = f"more than {MOST_OUTPUTS:,} outputs, or {LARGEST_DISPLAYS:,} characters"
        line["data"] = from_dict({"text/plain": f"… {number + 1:,} left out by nb2prod: the cell shows {limit}"})
        self._left_out[position] = (number + 1, line)
        return False

    def _stream(self, position: int, name: str, text: str) -> None:
        """Streams of one name are one output; what goes beyond the limit is left out, and that is said."""
        outputs = self.cell(position).outputs
        stream = next((o for o in outputs if o["output_type"] == "stream" and o["name"] == name), None)
        if stream is None:
            stream = from_dict({"output_type": "stream", "name": name, "text": ""})
            outputs.append(stream)
        room = LONGEST_STREAM - len(stream["text"])
        if room <= 0:
            return
        if len(text) > room:
            text = f"{text[:room]}\n… cut by nb2prod: the cell prints more than {LONGEST_STREAM:,} characters\n"
        if "\r" in text or stream["text"].endswith("\r"):
            lines, end, last = stream["text"].rpartition("\n")
            stream["text"] = lines + end + overwritten(last + text)
        else:
            stream["text"] += text

    def save(self) -> None:
        """Save it as it is, whatever that takes."""
        with self._lock:
            self._save()

    def save_soon(self) -> None:
        """A step has ended: save it, unless that was done so lately that it would slow the run down."""
        with self._lock:
            self._save_when_due()

    def _save_when_due(self) -> None:
        if time.monotonic() - self._saved >= SAVE_SHARE * self._took:
            self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        began = time.monotonic()
        # a text may hold half of a character, which no file can
        files.write_bytes(self._path, self._text.text().encode("utf-8", "replace"))
        self._saved = time.monotonic()
        self._took = self._saved - began
