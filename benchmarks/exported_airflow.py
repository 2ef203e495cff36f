"""Do DAGs exported for Airflow give the notebook's numbers? Each one is parsed and run by `airflow dags test`.

python benchmarks/exported_airflow.py AIRFLOW_PYTHON [NOTEBOOK …]      writes benchmarks/results/exported_airflow.json

AIRFLOW_PYTHON is the interpreter of an environment that has apache-airflow 3; steps run with the interpreter that runs
this script. Each notebook is run once (`nb2prod run`), exported and tested; metrics are compared number by number.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exported_kfp import NOTEBOOKS, verdict

HERE = Path(__file__).parent


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    airflow = [str(Path(sys.argv[1]).absolute()), "-m", "airflow"]
    chosen = [Path(word).resolve() for word in sys.argv[2:]] or list(NOTEBOOKS)
    with tempfile.TemporaryDirectory(prefix="exported-airflow-") as folder:
        place = Path(folder)
        environment = {
            **os.environ,
            "AIRFLOW_HOME": str(place / "home"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__DAGS_FOLDER": str(place / "dags"),
        }
        subprocess.run([*airflow, "db", "migrate"], env=environment, check=True, capture_output=True)
        version = subprocess.run([*airflow, "version"], env=environment, check=True, capture_output=True, text=True)
        told: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            "airflow": version.stdout.strip().splitlines()[-1],
            "notebooks": {},
        }
        for notebook in chosen:
            told["notebooks"][notebook.name] = found = _one(notebook, place, airflow, environment)
            print(notebook.name, found["verdict"], f"{found.get('seconds', 0):.0f} s", flush=True)
    if not sys.argv[2:]:
        (HERE / "results" / "exported_airflow.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    sys.exit(any(found["verdict"] not in ("equal", "tolerant") for found in told["notebooks"].values()))


def _one(notebook: Path, place: Path, airflow: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    from nb2prod import api
    from nb2prod.core.errors import Nb2prodError

    exported = place / "dags" / notebook.stem
    try:
        api.export(notebook, "airflow", exported)
    except Nb2prodError as error:
        return {"verdict": "refused", "why": str(error)}
    package = next((exported / "code").glob("*/one_step.py")).parent.name
    runs = place / "runs" / notebook.stem
    expected = dict(api.run(notebook, trackers=(), runs=runs / "nb2prod", output=runs / "out.ipynb").metrics)
    name = package.encode("ascii", "ignore").decode().strip("_")
    began = time.monotonic()
    done = subprocess.run(
        [*airflow, "dags", "test", name, "-f", str(exported / "dag.py"), "-c", json.dumps({"folder": str(runs)})],
        env={**environment, f"{package.upper()}_PYTHON": sys.executable}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = round(time.monotonic() - began, 1)
    metrics: dict[str, float] = {}
    for path in runs.glob("*/*.json"):
        metrics |= json.loads(path.read_text(encoding="utf-8")) if path.parent.name != "nb2prod" else {}
    if done.returncode or (not metrics and expected):
        return {"verdict": "failed", "why": (done.stdout + done.stderr)[-3000:], "seconds": seconds}
    return {"verdict": verdict(expected, metrics), "notebook": expected, "airflow": metrics, "seconds": seconds}


if __name__ == "__main__":
    main()
