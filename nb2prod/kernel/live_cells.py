"""The cells of a notebook while a person works in it: what ran, and whether the saved file still says the same.

A kernel is sent code, never the notebook. What it can know is the code that it ran, with the id of each cell where the
front end sends one; the tags and the order of cells are in the file alone, and the file may be older than what ran.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.language import tags

# lines that are about the notebook and no part of it
OURS = re.compile(r"\s*(#.*|%(load_ext|reload_ext)\s+nb2prod\b.*|%pipeline\b.*|%{1,2}\w+\?{1,2})?$")
AGAIN = ("step", "test", "parameters")  # roles whose cell is replaced when it is typed again, where cells have no id


@dataclass(frozen=True, slots=True)
class RanCell:
    """One run of a cell. `id` is empty where the front end sends none; `at` is in seconds since the epoch.

    `refused`: it was no Python, or not in our grammar, so that nothing of it ran.
    """

    source: str
    count: int
    at: float
    id: str = ""
    failed: bool = False
    refused: bool = False

    @property
    def about_the_notebook(self) -> bool:
        return all(OURS.match(line) for line in self.source.splitlines())


@dataclass(frozen=True, slots=True)
class Differences:
    """Cells that ran with other code than the file has: `unsaved` since the file was saved, `edited` before it."""

    unsaved: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()


def latest(ran: Iterable[RanCell], deleted: Iterable[str] = ()) -> list[RanCell]:
    """The last run of each cell, in the order of first runs. A cell without id is told by its text."""
    found: dict[tuple[str, str], RanCell] = {}
    for cell in ran:
        if not cell.about_the_notebook:
            found[cell.id, "" if cell.id else cell.source] = cell
    return [cell for cell in found.values() if cell.id not in set(deleted) or not cell.id]


def differences(ran: Sequence[RanCell], notebook: Notebook, saved_at: float) -> Differences:
    """Compare what ran (see `latest`) with a file that was saved at `saved_at`."""
    by_id = {cell.id: cell for cell in notebook.cells if cell.id}
    sources = {_plain(cell.source) for cell in notebook.cells}
    unsaved, edited = [], []
    for cell in ran:
        saved = by_id.get(cell.id) if cell.id else None
        if _plain(cell.source) == _plain(saved.source) if saved else _plain(cell.source) in sources:
            continue
        name = f"cell {saved.index}, In[{cell.count}]" if saved else f"In[{cell.count}]"
        if saved_at < cell.at:
            unsaved.append(name)
        elif saved is not None:
            edited.append(name)
    return Differences(tuple(unsaved), tuple(edited))


def _plain(source: str) -> str:
    return source.replace("\r\n", "\n").rstrip()


def of_this_session(ran: Sequence[RanCell], folder: Path) -> Notebook:
    """The cells that ran (see `latest`), as a notebook that no file holds.

    Without ids a step, a test or the parameters that ran again replace what they were before, and a cell that was
    refused is one that its author has typed anew. Exploration that failed is left out.
    """
    kept: dict[tuple[str, ...], RanCell] = {}
    for cell in ran:
        role = tags.role_of(cell.source, ()).role
        if (cell.refused and not cell.id) or (cell.failed and role.kind == "exploration"):
            continue
        again = role.kind in AGAIN and not cell.id
        kept[(role.kind, role.name) if again else (cell.id, cell.source)] = cell
    cells = tuple(Cell(index, "code", _plain(cell.source), id=cell.id) for index, cell in enumerate(kept.values()))
    return Notebook(path=folder / "session.ipynb", cells=cells, kernel="python3")


def as_document(notebook: Notebook) -> dict[str, Any]:
    """A notebook value in the form of a file, for those who read files."""
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": re.sub(r"[^\w-]", "-", cell.id)[:64] or f"cell-{cell.index}",
            "metadata": {},
            "source": cell.source,
            "outputs": [],
            "execution_count": None,
        }
        for cell in notebook.cells
    ]
    kernel = {"name": notebook.kernel or "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def file_of(namespace: Mapping[str, Any], environment: Mapping[str, str]) -> Path | None:
    """The notebook's file, as far as VS Code (a name in the namespace) or Jupyter (a variable) tells it."""
    for told in (namespace.get("__vsc_ipynb_file__"), environment.get("JPY_SESSION_NAME")):
        if isinstance(told, str) and told.endswith(".ipynb"):
            path = Path(told)
            path = path if path.is_absolute() else Path.cwd() / path.name
            if path.is_file():
                return path
    return None
