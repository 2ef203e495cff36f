"""Do random edits of exported projects find their way back to the notebook, and out of it again?

python benchmarks/sync_round_trips.py [COUNT]        writes benchmarks/results/sync_round_trips.json

Each of eight notebooks is exported. COUNT times, one to three random edits are made in step functions of its project (a
local renamed, a number changed, a line or a comment added, a print taken out), and `sync` brings them back. The changed
notebook is exported again: its step functions must be the edited ones, character by character. What `sync` refuses is
counted with its reason: then the project keeps the edit, and the person is told where it stands.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from nb2prod import api  # noqa: E402
from tests.stages.engineer import KINDS, edited, formatted  # noqa: E402

NOTEBOOKS = (
    *("notebooks/mortgage.ipynb", "notebooks/flight_delays.ipynb", "tests/notebooks/custom_transformer.ipynb"),
    *("tests/notebooks/kale_titanic_style.ipynb", "tests/notebooks/loan_kaggle.ipynb"),
    *("tests/notebooks/text_model.ipynb", "tests/notebooks/time_series.ipynb"),
    "tests/notebooks/vorhersage_windenergie.py",
)


def placed(notebook: Path, folder: Path) -> Path:
    """The notebook with its data in a folder of its own, so that a changed copy can take its place."""
    shutil.copytree(notebook.parent / "data", folder / "data")
    return Path(shutil.copyfile(notebook, folder / notebook.name))


def round_trip(made: Path, folder: Path, random: Random) -> tuple[str, list[str]]:
    """(equal, different or refused, what was done and what was said)."""
    project, package = folder / "project", made.name
    shutil.copytree(made / "project", project)
    steps = project / "src" / package / "steps.py"
    done: list[str] = []
    for _ in range(random.choice((1, 1, 2, 3))):
        kind = random.choice(list(KINDS))
        found = edited(steps.read_text(encoding="utf-8"), random, kind)
        if found is not None:
            steps.write_text(found[0], encoding="utf-8")
            done.append(f"{kind} in {found[1]}")
    formatted(steps)
    notebook = next(path for path in made.iterdir() if path.suffix in (".ipynb", ".py"))
    copy = made / "copy.ipynb"
    try:
        returned = api.sync(project, notebook, copy)
        if returned.refused:
            return "refused", [*done, *(one.what for one in returned.refused)]
        merge = api.sync_update(project, copy)
        again = folder / "again"
        api.export(copy, "project", again)
        other = next((again / "src").iterdir()) / "steps.py"
        text = other.read_text(encoding="utf-8").replace(other.parent.name, package)
        same = text == steps.read_text(encoding="utf-8") and not merge.conflicts
        return "equal" if same else "different", done
    finally:
        copy.unlink(missing_ok=True)


def tried(notebook: Path, folder: Path, count: int) -> dict[str, Any]:
    made = folder / notebook.stem
    made.mkdir()
    api.export(placed(notebook, made), "project", made / "project")
    outcomes: Counter[str] = Counter()
    told: list[list[str]] = []
    began = time.process_time()
    for number in range(count):
        with tempfile.TemporaryDirectory() as place:
            outcome, words = round_trip(made, Path(place), Random(f"{notebook.stem} {number}"))
        outcomes[outcome] += 1
        told += [[outcome, *words]] if outcome != "equal" else []
    seconds = round((time.process_time() - began) / max(count, 1), 2)
    return {"trips": count, **dict(outcomes), "not equal": told, "processor seconds a trip": seconds}


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NOTEBOOKS:
            results[name] = tried(ROOT / name, Path(folder), count)
            print(name, {key: value for key, value in results[name].items() if key != "not equal"}, flush=True)
    document = {
        "question": "do random edits of exported projects come back to the notebook and out of it again, unchanged?",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("nb2prod", "ruff")},
        "notebooks": results,
    }
    path = Path(__file__).parent / "results" / "sync_round_trips.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if any(found.get("different") for found in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
