"""How long it takes to log and register a model with its signature and lock, beside MLflow's own `log_model`.

python benchmarks/package_speed.py [ROUNDS]        writes benchmarks/results/package_speed.json

Two models: the mortgage notebook's (a function of the notebook, an encoder, a forest of 200 trees), and a logistic
regression of a made-up table. Ours is what `nb2prod package --lock hashed --register` does besides the proof: model,
signature, example, the hashed lock (its hashes in the user's cache, as from the second package on), the service that
travels with it, licences, list of components, checksums, and the version in the registry. MLflow's is
`mlflow.sklearn.log_model(model, name=…, registered_model_name=…)` and nothing else: no signature, no example, no lock.
It refuses the mortgage model in its default format, so of that one it gets the format that it takes.

Both log to one SQLite store, in turns, in one process that has everything imported. The whole of `package`, with the
proof in a fresh process and the service, is measured for itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
WORK = "MLFLOW_DISABLE_TELEMETRY"
LOGISTIC = (
    (
        "imports",
        "import numpy as np\nimport pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler",
    ),
    (
        "step:train model:model example:X",
        "rng = np.random.default_rng(0)\n"
        "X = pd.DataFrame(rng.normal(size=(500, 8)), columns=[f'x{i}' for i in range(8)])\n"
        "y = (X.sum(axis=1) > 0).astype('int64')\n"
        "model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)",
    ),
)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        os.environ[WORK] = "true"
        store = f"sqlite:///{scratch}/mlflow.db"
        measured = {
            name: measure(notebook, Path(scratch) / name, store, rounds) for name, notebook in notebooks(scratch)
        }
    result = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("mlflow", "scikit-learn", "skops")},
        "rounds": rounds,
        "models": measured,
    }
    (HERE / "results" / "package_speed.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=2))


def notebooks(scratch: str) -> Iterator[tuple[str, Path]]:
    from tests.notebook_maker import write_notebook

    yield "logistic", write_notebook(Path(scratch) / "logistic.ipynb", LOGISTIC)
    yield "mortgage", HERE.parent / "notebooks" / "mortgage.ipynb"


def measure(notebook: Path, folder: Path, store: str, rounds: int) -> dict[str, Any]:
    from nb2prod import api
    from nb2prod.core.pipeline import Plan
    from nb2prod.stages import kept as kept_run
    from nb2prod.stages import package as packaging
    from nb2prod.storage import codec

    result = api.run(notebook, engine="inprocess", trackers=())
    plan = json.loads((Path(result.directory) / "plan.json").read_text(encoding="utf-8"))
    pipeline = codec.build(Plan, plan).pipeline
    whole, made = timed(lambda: packaging.package(pipeline, result, folder / "whole", lock="hashed"))
    artifact = kept_run.artifact_of(pipeline, result, "model")
    with kept_run.loaded(pipeline, result, artifact) as kept:
        ways = {
            "nb2prod": lambda number: log_ours(pipeline, result, kept, made, folder / str(number), store),
            "mlflow": lambda number: log_theirs(kept, store),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, way in ways.items():
                seconds, _ = timed(lambda way=way, number=number: way(number))
                if number:  # the first go imports, and makes the store
                    times[name].append(seconds)
        alone = parts_of_ours(kept, rounds)
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {
        "seconds": {name: round(seconds, 4) for name, seconds in middle.items()},
        "all": {name: [round(one, 4) for one in seconds] for name, seconds in times.items()},
        "ratio": round(middle["nb2prod"] / middle["mlflow"], 4),
        "of_log_model": {name: round(seconds / middle["mlflow"], 4) for name, seconds in alone.items()},
        "package_with_proof_first_time": round(whole, 3),
    }


def parts_of_ours(kept: Any, rounds: int) -> dict[str, float]:
    """What ours cannot do without, each by itself; and the dump of skops' own that it does without."""
    import skops.io

    from nb2prod.storage import skops_file

    raw = skops_file.dumps(kept.model)
    parts: dict[str, Callable[[], Any]] = {
        "skops.io.dumps, public": lambda: skops.io.dumps(kept.model),
        "skops file written": lambda: skops_file.dumps(kept.model),
        "skops file read again": lambda: skops_file.opened(raw).make(),
        "example predicted": lambda: kept.asked.predict(kept.example),
    }
    return {name: statistics.median(timed(work)[0] for _ in range(rounds)) for name, work in parts.items()}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    done = work()
    return time.perf_counter() - begun, done


def log_ours(pipeline: Any, result: Any, kept: Any, made: Any, folder: Path, store: str) -> None:
    """The stages of `package` without the proof, in its order, and `register`."""
    from nb2prod.stages import contract, model_folder
    from nb2prod.stages import package as packaging
    from nb2prod.stages.provenance import papers, steady
    from nb2prod.storage import checksums

    folder.mkdir()
    written = model_folder.write(folder, kept, moment=packaging._moment(result), seed=result.run)
    steady.make_steady(folder)
    contract.write(folder, kept, written, pipeline.notebook)
    carried = papers.carry(folder, written.requirements, "hashed")
    manifest = json.loads((Path(made.directory) / packaging.MANIFEST).read_text(encoding="utf-8"))
    packaging.write_json(folder / packaging.MANIFEST, manifest)
    papers.write_papers(folder, manifest, carried, result.datasets)
    package = dataclasses.replace(made, directory=str(folder), digest=checksums.write(folder))
    packaging.register(package, store, f"ours-{made.name}")


def log_theirs(kept: Any, store: str) -> None:
    import logging

    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(store)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    options = {"name": "model", "registered_model_name": f"theirs-{kept.artifact.name}-{kept.artifact.details['type']}"}
    try:
        mlflow.sklearn.log_model(kept.model, **options)
    except MlflowException:
        mlflow.sklearn.log_model(kept.model, serialization_format="cloudpickle", **options)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
