"""The executed notebook while it is made: streams, displays and their updates, and floods of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nb2prod.engines import _executed
from nb2prod.engines._executed import Executed
from nb2prod.storage.notebook_node import from_dict


def opened(path: Path, cells: int = 1) -> Executed:
    made = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": "", "outputs": [], "execution_count": None}
        for n in range(cells)
    ]
    return Executed(from_dict({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), path, ())


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def display(text: str, display: str | None = None, kind: str = "display_data") -> dict[str, Any]:
    return {"output_type": kind, "data": {"text/plain": text}, "metadata": {}, "display_id": display}


def test_lines_that_go_back_to_their_beginning_are_overwritten_however_they_arrive(tmp_path: Path) -> None:
    executed = opened(tmp_path / "nb.ipynb")
    for text in ("start\n10%\r", "20%\r", "30", "%\nend", "\r", "END\n"):
        executed.add(0, stream(text))
    assert executed.cell(0).outputs == [stream("start\n30%\nEND\n")]


def test_an_update_reaches_the_displays_of_earlier_cells_and_their_saved_text(tmp_path: Path) -> None:
    executed = opened(tmp_path / "nb.ipynb", cells=2)
    executed.add(0, display("old", "z"))
    executed.save()
    executed.add(1, display("new", "z", "update_display_data"))
    executed.save()
    kept = json.loads((tmp_path / "nb.ipynb").read_text())["cells"]
    assert [[o["data"]["text/plain"] for o in cell["outputs"]] for cell in kept] == [[["new"]], []]


def test_outputs_without_end_are_counted_and_left_out_but_errors_stay(tmp_path: Path) -> None:
    executed = opened(tmp_path / "nb.ipynb")
    for n in range(_executed.MOST_OUTPUTS + 500):
        executed.add(0, display(str(n)))
    executed.add(0, {"output_type": "error", "ename": "E", "evalue": "", "traceback": []})
    outputs = executed.cell(0).outputs
    assert len(outputs) == _executed.MOST_OUTPUTS + 2
    assert outputs[-2]["data"]["text/plain"].startswith("… 500 left out by nb2prod")
    assert outputs[-1]["ename"] == "E"
    executed.add(0, {"output_type": "clear_output", "wait": False})
    executed.add(0, display("again"))
    assert [output["data"]["text/plain"] for output in executed.cell(0).outputs] == ["again"]


def test_half_a_character_does_not_stop_the_notebook_from_being_saved(tmp_path: Path) -> None:
    executed = opened(tmp_path / "nb.ipynb")
    executed.add(0, stream("\ud83d"))
    executed.save()
    assert json.loads((tmp_path / "nb.ipynb").read_text())["cells"][0]["outputs"][0]["text"] == ["?"]
