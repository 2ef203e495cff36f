"""Records what the cases print: each runs from top to bottom in a real, fresh kernel, in an empty folder.

    python -m tests.cases.record                    cases whose prints are missing
    python -m tests.cases.record --all              every case again
    python -m tests.cases.record --compare [NAME…]  write nothing; say which cases print something else than is kept

A notebook that fails, or that prints on stderr what only its author should see, is no case: it is refused here. Cells
that are tagged `skip` are not run, as in a headless run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbclient
import nbformat

HERE = Path(__file__).parent
Case = dict[str, Any]


def prints(case: Case) -> list[str]:
    """What each cell of the case writes to stdout. Raises nbclient's CellExecutionError when one fails."""
    cells = [nbformat.v4.new_code_cell("" if "skip" in cell["tags"] else cell["source"]) for cell in case["cells"]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with tempfile.TemporaryDirectory() as folder:
        where = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", resources=where).execute()
    return [_stdout(cell.outputs) for cell in notebook.cells]


def _stdout(outputs: Sequence[Any]) -> str:
    return "".join(o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == "stdout")


def _recorded(case: Case) -> Case:
    cells = [{**cell, "prints": text} for cell, text in zip(case["cells"], prints(case), strict=True)]
    return {**case, "cells": cells}


def _missing(case: Case) -> bool:
    return any(cell.get("prints") is None for cell in case["cells"])


def _differences(case: Case) -> Iterator[str]:
    for index, (cell, now) in enumerate(zip(case["cells"], prints(case), strict=True)):
        if cell["prints"] != now:
            yield f"{case['name']}, cell {index}: {cell['prints']!r} is kept, {now!r} is printed"


def record(path: Path, *, all_of_them: bool) -> int:
    """Fill in the prints of one file, and give how many cases ran."""
    cases: list[Case] = json.loads(path.read_text(encoding="utf-8"))
    wanted = [all_of_them or _missing(case) for case in cases]
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda pair: _recorded(pair[0]) if pair[1] else pair[0], zip(cases, wanted, strict=True))
        path.write_text(json.dumps(list(runs), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return sum(wanted)


def compare(names: Sequence[str]) -> list[str]:
    """How the cases of these names (all, if none is given) differ from what is kept."""
    every = [case for path in _files() for case in json.loads(path.read_text(encoding="utf-8"))]
    cases = [case for case in every if not names or case["name"] in names]
    with ThreadPoolExecutor(2) as pool:
        return [line for lines in pool.map(lambda case: list(_differences(case)), cases) for line in lines]


def _files() -> list[Path]:
    # cells.json came with its prints; `%%time` in it never prints the same twice
    return sorted(path for path in HERE.glob("*.json") if path.name != "cells.json")


def main() -> int:
    arguments = argparse.ArgumentParser(description="Record what the cases print.")
    arguments.add_argument("--all", action="store_true", help="run every case again")
    arguments.add_argument("--compare", nargs="*", metavar="NAME", help="write nothing, show differences")
    said = arguments.parse_args()
    if said.compare is not None:
        lines = compare(said.compare)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return 1 if lines else 0
    for path in _files():
        sys.stdout.write(f"{path.name}: {record(path, all_of_them=said.all)} recorded\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
