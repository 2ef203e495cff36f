"""How long `nb2prod inspect` takes of a large notebook, beside `nbformat.read` of the same file.

python benchmarks/inspect_speed.py [PAIRS]        writes benchmarks/results/inspect_speed.json

The notebook is made up: as many cells as asked for, and per cell the outputs of real ones (printed lines, a frame as
text and HTML, every third a picture), 20 MB for 300 cells. Every pair gets a notebook whose cells nobody has parsed
before. In process both are imported already; as a command both start from nothing.
"""

from __future__ import annotations

import base64
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat

from nb2prod import api

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
CELLS = (100, 300, 900)
ASKED = 300  # the size that the target speaks of
PICTURE = 110_000  # bytes of every third cell's picture
ROWS = 60  # of the frame that every cell shows
FACTOR, EXTRA = 1.5, 0.5  # the target: at most FACTOR times nbformat.read and EXTRA seconds
KINDS = (
    "df{n} = df{m}.copy()\ndf{n}['ratio'] = df{n}['debt'] / df{n}['income'].clip(lower=1)\ndf{n}.head({rows})",
    "kept = df{n}.query('ratio < @limit')\nfor name in kept.columns:\n    print(name, kept[name].isna().sum())",
    "fig, ax = plt.subplots(figsize=(8, 4))\nax.hist(df{n}['ratio'], bins=40)\n"
    "ax.set(title='cell {n}', xlabel='ratio')",
    "mean{n} = {{name: float(df{n}[name].mean()) for name in ('debt', 'income', 'ratio')}}\nprint(mean{n})",
    "total = sum(mean{n}.values())\nif total > limit:\n    total = limit\nelse:\n    total = scaled(total)",
    "pairs = [(a, b) for a in df{n}.columns for b in df{n}.columns if a < b]\nprint(len(pairs), pairs[:3])",
)


def notebook(path: Path, cells: int, seed: int) -> Path:
    draw = random.Random(seed)
    first = [
        _cell("limit: float = 0.5  # what is too much\nrows: int = 5", "parameters"),
        _cell("import matplotlib.pyplot as plt\nimport numpy as np\nimport pandas as pd", "imports"),
        _cell("def scaled(x, by=2.0):\n    return min(x, limit) / by", "functions"),
        _cell("df0 = pd.DataFrame({'debt': np.arange(100.0), 'income': np.ones(100)})", "step:load"),
    ]
    sources = [
        f"# {seed}\n" + KINDS[n % len(KINDS)].format(n=n - n % len(KINDS) + 1, m=_before(n), rows=n % 9 + 1)
        for n in range(cells - len(first))
    ]
    more = [_cell(source, _tag(n), _outputs(n, draw)) for n, source in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": [*first, *more]}
    for number, cell in enumerate(document["cells"]):
        cell |= {"id": f"cell-{number}", "execution_count": number + 1}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def _before(n: int) -> int:
    """The number of the frame that the one of cell `n` is made of."""
    return max(n - n % len(KINDS) + 1 - len(KINDS), 0)


def _tag(n: int) -> str:
    """Steps of six cells; one cell in four of the pictures is exploration."""
    return "" if n % 12 == 2 else f"step:part-{n // len(KINDS)}"


def _cell(source: str, tag: str, outputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    metadata = {"tags": [tag] if tag else []}
    lines = source.splitlines(keepends=True)
    return {"cell_type": "code", "metadata": metadata, "source": lines, "outputs": outputs or []}


def _outputs(n: int, draw: random.Random) -> list[dict[str, Any]]:
    numbers = [[f"{draw.random():.6f}" for _ in range(8)] for _ in range(ROWS)]
    text = [" ".join(row) + "\n" for row in numbers]
    html = ["<table border='1' class='dataframe'>\n", "<tbody>\n"]
    html += [f"<tr>{''.join(f'<td>{number}</td>' for number in row)}</tr>\n" for row in numbers]
    shown = {"data": {"text/plain": text, "text/html": html}, "metadata": {}}
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": "stdout", "text": text},
        {"output_type": "execute_result", "execution_count": n, **shown},
    ]
    if n % 3 == 2:
        data = {"image/png": base64.b64encode(draw.randbytes(PICTURE)).decode() + "\n", "text/plain": ["<Figure>"]}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    return outputs


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def command(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def in_process(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: api.inspect(path, format="json"), lambda: nbformat.read(path, 4)


def as_command(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    reading = "import sys, nbformat; nbformat.read(sys.argv[1], 4)"
    ours = command(str(BIN / "nb2prod"), "inspect", str(path), "--json")
    return ours, command(sys.executable, "-c", reading, str(path))


def measure(
    cells: int, pairs: int, calls: Callable[[Path], tuple[Callable[[], object], Callable[[], object]]]
) -> dict[str, Any]:
    """Pairs of runs, one after the other; the first one, which warms the file cache, does not count."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(pairs + 1):
            path = notebook(Path(folder) / "nb.ipynb", cells, pair)
            mine, his = calls(path)
            ours.append(seconds(mine))
            theirs.append(seconds(his))
        size = path.stat().st_size
    over = [mine - FACTOR * his for mine, his in zip(ours[1:], theirs[1:], strict=True)]
    return {
        "cells": cells,
        "megabytes": round(size / 1e6, 1),
        "nb2prod inspect": _spread(ours[1:]),
        "nbformat.read": _spread(theirs[1:]),
        f"seconds over {FACTOR} times nbformat.read": _spread(over),
    }


def _spread(taken: list[float]) -> dict[str, float]:
    return {"median": statistics.median(taken), "least": min(taken), "most": max(taken)}


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    inside = [measure(cells, pairs, in_process) for cells in CELLS]
    outside = measure(ASKED, pairs, as_command)
    per_cell = [found["nb2prod inspect"]["median"] / found["cells"] for found in inside]
    result = {
        "question": "how long does inspecting a large notebook take, beside nbformat.read of the same file?",
        "pairs": pairs,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("nb2prod", "nbformat")},
        "in process": inside,
        "as a command": outside,
        "milliseconds a cell": [round(1000 * taken, 3) for taken in per_cell],
        "target": f"{ASKED} cells: at most {FACTOR} times nbformat.read and {EXTRA} s; linear in cells",
    }
    path = HERE / "results" / "inspect_speed.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for way, found in (*(("in process", found) for found in inside), ("as a command", outside)):
        mine, his = found["nb2prod inspect"]["median"], found["nbformat.read"]["median"]
        print(f"{way:12} {found['cells']:4} cells {found['megabytes']:6} MB   {mine:6.2f} s   nbformat {his:6.2f} s")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
