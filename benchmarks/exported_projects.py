"""Do exported projects hold in a clean environment, and do they come to what their notebooks come to?

python benchmarks/exported_projects.py [NAME…]        writes benchmarks/results/exported_projects.json

Each notebook is run once, by papermill's engine, and exported with that run. A new environment gets the projects'
libraries and tools and nothing of nb2prod; there each project is looked at by ruff and mypy, tested by its own tests,
and run; its metrics must equal the notebook's, to twelve digits. Which are not the same to the last bit is kept too.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nb2prod import api

HERE = Path(__file__).parent
ROOT = HERE.parent
NOTEBOOKS = (
    "notebooks/mortgage.ipynb",
    "notebooks/flight_delays.ipynb",
    "tests/notebooks/custom_transformer.ipynb",
    "tests/notebooks/kale_titanic_style.ipynb",
    "tests/notebooks/loan_kaggle.ipynb",
    "tests/notebooks/text_model.ipynb",
    "tests/notebooks/time_series.ipynb",
    "tests/notebooks/vorhersage_windenergie.py",
)


def exported(notebook: str, folder: Path) -> dict[str, Any]:
    """The project of a notebook, and the metrics of the run that it is compared with."""
    result = api.run(
        ROOT / notebook, trackers=(), runs=folder / "runs", output=folder / "executed.ipynb", only_steps=True
    )
    if result.failure is not None:
        raise SystemExit(f"{notebook}: {result.failure.place}: {result.failure.message}")
    began = time.perf_counter()
    api.export(ROOT / notebook, "project", folder / "project", run=result.directory)
    return {"metrics": result.metrics, "seconds to export": round(time.perf_counter() - began, 2)}


def environment(folder: Path, locks: list[Path]) -> Path:
    """A new environment with what the lock files say, and the tools."""
    given = os.environ.get("EXPORTED_PROJECTS_VENV")
    if given:
        return Path(given) / "bin"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wanted = [word for lock in locks for word in ("-r", str(lock))]
    tools = [f"{name}=={version(name)}" for name in ("mypy", "pytest", "ruff")]
    subprocess.run(
        [folder / "bin" / "pip", "install", "--quiet", *wanted, *tools, "hatchling", "editables"], check=True
    )
    return folder / "bin"


def judged(project: Path, binaries: Path, metrics: dict[str, float]) -> dict[str, Any]:
    package = next(path for path in (project / "src").iterdir() if path.is_dir()).name
    where = {"PYTHONPATH": str(project / "src"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def call(*words: str) -> dict[str, Any]:
        done = subprocess.run(
            [str(binaries / words[0]), *words[1:]], cwd=project, env=where, capture_output=True, text=True, check=False
        )
        last = (done.stdout + done.stderr).strip().splitlines()
        return {
            "passed": done.returncode == 0,
            "said": last[-1] if last else "",
            **({} if done.returncode == 0 else {"all": last[-40:]}),
        }

    found = {
        "ruff format": call("ruff", "format", "--check", "."),
        "ruff check": call("ruff", "check", "."),
        "mypy": call("mypy"),
        "pytest": call("pytest", "-q", "-p", "no:cacheprovider"),
        "run": call("python", "-m", package),
    }
    path = project / "output" / "metrics.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    # linear algebra on several threads may round its last digits otherwise from run to run
    same = own.keys() == metrics.keys() and all(
        math.isclose(own[name], value, rel_tol=1e-12) or (math.isnan(own[name]) and math.isnan(value))
        for name, value in metrics.items()
    )
    apart = {name: [metrics[name], own.get(name)] for name in metrics if own.get(name) != metrics[name]}
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (project / "src").rglob("*.py"))
    foreign = any("nb2prod" in path.read_text(encoding="utf-8") for path in project.rglob("*.py"))
    return {
        **found,
        "metrics equal": same,
        "metrics apart": apart,
        "metrics": own,
        "lines": lines,
        "mentions nb2prod": foreign,
    }


def _keep(results: dict[str, Any]) -> None:
    """Write the outcome; of notebooks that were not chosen the earlier one stays."""
    path = HERE / "results" / "exported_projects.json"
    before = json.loads(path.read_text(encoding="utf-8"))["projects"] if path.exists() else {}
    names = ("nb2prod", "ruff", "mypy", "pytest", "pandas", "scikit-learn")
    document = {
        "question": "do exported projects hold in a clean environment, with the metrics of their notebooks?",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in names},
        "projects": {**before, **results},
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    chosen = [name for name in NOTEBOOKS if len(sys.argv) < 2 or any(word in name for word in sys.argv[1:])]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        made = {name: exported(name, Path(folder) / Path(name).stem) for name in chosen}
        locks = [Path(folder) / Path(name).stem / "project" / "requirements.lock" for name in chosen]
        binaries = environment(Path(folder) / "venv", locks)
        for name in chosen:
            project = Path(folder) / Path(name).stem / "project"
            results[name] = {**judged(project, binaries, made[name].pop("metrics")), **made[name]}
            words = [
                key for key, value in results[name].items() if isinstance(value, dict) and value.get("passed") is False
            ]
            print(f"{name:45} metrics equal: {results[name]['metrics equal']}, failed: {', '.join(words) or 'nothing'}")
            if not results[name]["metrics equal"]:
                print(results[name]["metrics apart"])
            for key in words:
                print("\n".join(results[name][key]["all"]))
    _keep(results)
    held = all(
        found["metrics equal"]
        and all(value["passed"] for value in found.values() if isinstance(value, dict) and "passed" in value)
        for found in results.values()
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
