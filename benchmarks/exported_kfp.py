"""Do pipelines exported for Kubeflow give the notebook's numbers? Each one is run by kfp's own local runner.

python benchmarks/exported_kfp.py [NOTEBOOK …]          writes benchmarks/results/exported_kfp.json

Needs nb2prod[kfp]. Each notebook is run once (`nb2prod run`) and exported; kfp loads its `pipeline.yaml` and runs it
with `kfp.local` in processes of this environment. Metrics are compared number by number.

kfp's local runner cannot start a pipeline that has an input without a value (`Optional[int] = None`), which a cluster
can: such inputs are taken out of the definition before it runs here, so that the steps' own default None holds.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
NOTEBOOKS = (
    *(ROOT / "notebooks" / f"{name}.ipynb" for name in ("mortgage", "flight_delays", "route_delay")),
    *(
        ROOT / "tests" / "notebooks" / name
        for name in (
            "custom_transformer.ipynb", "kale_titanic_style.ipynb", "loan_kaggle.ipynb", "text_model.ipynb",
            "time_series.ipynb", "vorhersage_windenergie.py",
        )
    ),
)  # fmt: skip
RUN = """
import sys
import yaml
from kfp import components, local
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2], raise_on_error=True)
with open(sys.argv[1], encoding="utf-8") as file:
    documents = list(yaml.safe_load_all(file))
root = documents[0]["root"]
for part in (root, *documents[0]["components"].values()):
    inputs = part.get("inputDefinitions", {}).get("parameters", {})
    for name in [name for name, said in inputs.items() if "defaultValue" not in said and said.get("isOptional")]:
        del inputs[name]
for task in root["dag"]["tasks"].values():
    known = documents[0]["components"][task["componentRef"]["name"]].get("inputDefinitions", {}).get("parameters", {})
    given = task.get("inputs", {}).get("parameters", {})
    for name in given.keys() - known.keys():
        del given[name]
components.load_component_from_text(yaml.safe_dump(documents[0]))()
"""


def main() -> None:
    chosen = [Path(word).resolve() for word in sys.argv[1:]] or list(NOTEBOOKS)
    told: dict[str, Any] = {"date": datetime.date.today().isoformat(), "notebooks": {}}
    with tempfile.TemporaryDirectory(prefix="exported-kfp-") as folder:
        for notebook in chosen:
            told["notebooks"][notebook.name] = found = _one(notebook, Path(folder) / notebook.stem)
            print(notebook.name, found["verdict"], f"{found.get('seconds', 0):.0f} s", flush=True)
    if not sys.argv[1:]:
        (HERE / "results" / "exported_kfp.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    sys.exit(any(found["verdict"] not in ("equal", "tolerant") for found in told["notebooks"].values()))


def _one(notebook: Path, place: Path) -> dict[str, Any]:
    from nb2prod import api
    from nb2prod.core.errors import Nb2prodError

    place.mkdir()
    try:
        api.export(notebook, "kfp", place / "exported")
    except Nb2prodError as error:
        return {"verdict": "refused", "why": str(error)}
    expected = dict(api.run(notebook, trackers=(), runs=place / "runs", output=place / "out.ipynb").metrics)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(place / "exported" / "pipeline.yaml"), str(place / "root")],
        cwd=place, capture_output=True, text=True, check=False,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    seconds = time.monotonic() - began
    if done.returncode:
        return {"verdict": "failed", "why": (done.stdout + done.stderr)[-3000:], "seconds": seconds}
    metrics = _metrics(place / "root")
    return {
        "verdict": verdict(expected, metrics),
        "notebook": expected,
        "kfp": metrics,
        "seconds": round(seconds, 1),
    }


def _metrics(root: Path) -> dict[str, float]:
    """What the components logged: kfp's executor leaves it in `executor_output.json` of each task."""
    found: dict[str, float] = {}
    for path in root.rglob("executor_output.json"):
        artifacts = json.loads(path.read_text(encoding="utf-8")).get("artifacts", {})
        for listed in artifacts.values():
            for artifact in listed["artifacts"]:
                found |= {n: v for n, v in (artifact.get("metadata") or {}).items() if isinstance(v, int | float)}
    return found


def verdict(expected: dict[str, float], metrics: dict[str, float]) -> str:
    if expected.keys() != metrics.keys():
        return "different"
    if expected == metrics:
        return "equal"
    close = all(math.isclose(value, metrics[name], rel_tol=1e-9) for name, value in expected.items())
    return "tolerant" if close else "different"


if __name__ == "__main__":
    main()
