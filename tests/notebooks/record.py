"""Records what the notebooks of six people print: plain papermill runs each of them, nothing of nb2prod does.

    python -m tests.notebooks.record              write `printed.json`

`printed.json` says for each notebook what each of its cells writes to stdout, by the cell's index over all cells; a
cell that prints nothing, that is exploration (it may print times), or that is skipped, is left out. Whatever way
nb2prod runs a notebook, its steps must print this.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import papermill

HERE = Path(__file__).parent
PRINTED = HERE / "printed.json"
KEPT = ("step", "block", "parameters", "pipeline-parameters", "imports", "functions", "setup", "pipeline-metrics")
MAGICS = tuple(f"%%{word}" for word in ("step", "parameters", "imports", "functions", "setup"))
# what the notebooks are; the first needs the fewest seconds
NAMES = (
    "kale_titanic_style.ipynb",
    "custom_transformer.ipynb",
    "time_series.ipynb",
    "loan_kaggle.ipynb",
    "text_model.ipynb",
    "vorhersage_windenergie.py",
)


def as_notebook(path: Path) -> Any:
    """The notebook of a file, which may be a percent script."""
    if path.suffix == ".ipynb":
        return nbformat.read(path, as_version=4)
    import jupytext

    return jupytext.read(path)


def printed(path: Path) -> dict[str, str]:
    """What the cells print that are more than exploration, by index; untagged cells of a Kale notebook are more."""
    with tempfile.TemporaryDirectory() as folder:
        given, executed = Path(folder) / "in.ipynb", Path(folder) / "out.ipynb"
        nbformat.write(as_notebook(path), given)
        papermill.execute_notebook(
            str(given), str(executed), cwd=str(path.parent), kernel_name="python3", progress_bar=False
        )
        notebook = nbformat.read(executed, as_version=4)
    kale = "kubeflow_notebook" in notebook.metadata
    texts = {str(index): stdout(cell) for index, cell in enumerate(notebook.cells) if counts(cell, kale=kale)}
    return {index: text for index, text in texts.items() if text}


def counts(cell: Any, *, kale: bool) -> bool:
    """Whether a cell is code of a step, or of all steps."""
    tags = cell.metadata.get("tags", [])
    if cell.cell_type != "code" or "skip" in tags or any(tag.startswith("test") for tag in tags):
        return False
    return kale or cell.source.startswith(MAGICS) or any(tag.partition(":")[0] in KEPT for tag in tags)


def stdout(cell: Any) -> str:
    return "".join(o["text"] for o in cell.outputs if o["output_type"] == "stream" and o["name"] == "stdout")


def main() -> int:
    found = {name: printed(HERE / name) for name in NAMES}
    PRINTED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write("".join(f"{name}: {len(cells)} cells print\n" for name, cells in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
