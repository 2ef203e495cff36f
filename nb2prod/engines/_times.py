"""When each cell ran, in the notebook's metadata, in papermill's words: its viewers read them.

When papermill itself leads (`papermill --engine nb2prod`), its own record takes this one's place.
"""

from __future__ import annotations

import datetime
from typing import Any, Protocol

NAME = "papermill"


class Record(Protocol):
    """papermill's notebook manager, as far as it is told of cells."""

    nb: Any

    def cell_start(self, cell: Any, cell_index: int) -> None: ...

    def cell_exception(self, cell: Any, cell_index: int) -> None: ...

    def cell_complete(self, cell: Any, cell_index: int) -> None: ...

    def autosave_cell(self) -> None: ...


class Times:
    """The record of a run that nb2prod leads."""

    def __init__(self, nb: Any) -> None:
        self.nb = nb
        self._began = _now()
        nb.metadata[NAME] = {**_blank(), "start_time": self._began.isoformat()}
        for cell in nb.cells:
            cell.metadata[NAME] = {**_blank(), "status": "pending"}
        self._of_cell = self._began

    def cell_start(self, cell: Any, cell_index: int) -> None:
        self._of_cell = _now()
        cell.metadata[NAME] |= {"start_time": self._of_cell.isoformat(), "status": "running", "exception": False}

    def cell_exception(self, cell: Any, cell_index: int) -> None:
        cell.metadata[NAME] |= {"exception": True, "status": "failed"}
        self.nb.metadata[NAME]["exception"] = True

    def cell_complete(self, cell: Any, cell_index: int) -> None:
        end = _now()
        cell.metadata[NAME] |= {"end_time": end.isoformat(), "duration": (end - self._of_cell).total_seconds()}
        if cell.metadata[NAME]["status"] != "failed":
            cell.metadata[NAME]["status"] = "completed"

    def autosave_cell(self) -> None:
        """Outputs save themselves."""

    def complete(self) -> None:
        end = _now()
        self.nb.metadata[NAME] |= {"end_time": end.isoformat(), "duration": (end - self._began).total_seconds()}


def _blank() -> dict[str, Any]:
    return {"duration": None, "end_time": None, "exception": None, "start_time": None}


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
