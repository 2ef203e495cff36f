"""Do exported projects hold in empty environments, and do they come to what their notebooks come to?

python benchmarks/exported_projects.py [NAME…]        of all: writes benchmarks/results/exported_projects.json

Each notebook is run once, by papermill's engine, and exported with that run. Then, for each project:

    make check test run      by its own Makefile, which makes an environment of its own from the project's lock
    the Dockerfile           its COPY and RUN lines one by one, in an empty folder with a new environment in the place
                             of the base image (lines about users are passed over), then its entry point
    the CI workflow          against the schema of GitHub workflows that check-jsonschema has

Its metrics must equal the notebook's, to twelve digits. Which are not the same to the last bit is kept too.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
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
SCHEMA = ("--builtin-schema", "vendor.github-workflows")
NOTEBOOKS = (
    "notebooks/mortgage.ipynb",
    "notebooks/flight_delays.ipynb",
    "notebooks/route_delay.ipynb",
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


def called(words: list[str], where: Path, more: dict[str, str] | None = None) -> dict[str, Any]:
    """What a command came to, without anything of this environment but the path of the system."""
    system = {"PATH": os.defpath + ":/usr/local/bin", "HOME": str(Path.home()), "LANG": "C.UTF-8"}
    system |= {name: os.environ[name] for name in ("PIP_CACHE_DIR",) if name in os.environ}
    began = time.perf_counter()
    done = subprocess.run(words, cwd=where, env={**system, **(more or {})}, capture_output=True, text=True, check=False)
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    told = {"passed": done.returncode == 0, "said": said[-1].strip("= ") if said else ""}
    if done.returncode:
        told["all"] = [line for line in (done.stdout + done.stderr).splitlines() if "WARNING" not in line][-40:]
    return {**told, "seconds": round(time.perf_counter() - began, 1)}


def container(project: Path, root: Path) -> dict[str, Any]:
    """The Dockerfile's lines, one by one, in an empty folder."""
    work = root / "app"
    work.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
    binaries = {"PATH": f"{root / 'venv' / 'bin'}:{os.defpath}"}
    steps: dict[str, Any] = {}
    for line in (project / "Dockerfile").read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copied(project / source, work, target)
        elif word == "RUN" and not rest.startswith(("useradd", "chown")):
            steps[rest] = called(["sh", "-c", rest], work, binaries)
        elif word == "ENTRYPOINT":
            steps[rest] = called(json.loads(rest), work, binaries)
    made = work / "output" / "metrics.json"
    wrong = [step for step in steps.values() if not step["passed"]]
    return {
        "passed": not wrong and made.exists(),
        "said": wrong[0]["said"] if wrong else "the entry point wrote its results",
        "seconds": round(sum(step["seconds"] for step in steps.values()), 1),
        **({"all": wrong[0]["all"]} if wrong else {}),
    }


def copied(source: Path, work: Path, target: str) -> None:
    place = work / target if target not in (".", "./") else work / source.name
    if source.is_dir():
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copyfile(source, place)


def judged(project: Path, metrics: dict[str, float], folder: Path) -> dict[str, Any]:
    found = {
        "make check": called(["make", "check"], project),
        "make test": called(["make", "test"], project),
        "make run": called(["make", "run"], project),
        "Dockerfile": container(project, folder / "container"),
        "workflow": called([sys.executable, "-m", "check_jsonschema", *SCHEMA, ".github/workflows/ci.yml"], project),
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
    ours = [*(project / "src").rglob("*.py"), *(project / "tests").rglob("*.py"), *project.glob("[!.]*")]
    foreign = any("nb2prod" in path.read_text(encoding="utf-8") for path in ours if path.is_file())
    return {
        **found,
        "metrics equal": same,
        "metrics apart": apart,
        "metrics": own,
        "lines": lines,
        "mentions nb2prod": foreign,
    }


def _keep(results: dict[str, Any]) -> None:
    """Write the outcome of one run, and what it has not come to yet."""
    path = HERE / "results" / "exported_projects.json"
    names = ("nb2prod", "ruff", "mypy", "pytest", "pandas", "scikit-learn")
    document = {
        "question": "do exported projects hold in empty environments, with the metrics of their notebooks?",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in names},
        "projects": results,
        "not reached": [name for name in NOTEBOOKS if name not in results],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    chosen = [name for name in NOTEBOOKS if len(sys.argv) < 2 or any(word in name for word in sys.argv[1:])]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            place = Path(folder) / Path(name).stem
            made = exported(name, place)
            results[name] = {**judged(place / "project", made.pop("metrics"), place), **made}
            told(name, results[name])
            shutil.rmtree(place)
            if chosen == list(NOTEBOOKS):
                _keep(results)
    return 0 if all(_held(found) for found in results.values()) else 1


def _held(found: dict[str, Any]) -> bool:
    steps = [value for value in found.values() if isinstance(value, dict) and "passed" in value]
    return bool(found["metrics equal"]) and all(step["passed"] for step in steps)


def told(name: str, found: dict[str, Any]) -> None:
    words = [key for key, value in found.items() if isinstance(value, dict) and value.get("passed") is False]
    equal = found["metrics equal"]
    print(f"{name:45} metrics equal: {equal}, failed: {', '.join(words) or 'nothing'}", flush=True)
    if not equal:
        print(found["metrics apart"])
    for key in words:
        print("\n".join(found[key]["all"]))


if __name__ == "__main__":
    sys.exit(main())
