"""The other side of the proof: a process that has nothing of the notebook loads a package and predicts.

Started by `proof.Prover` as `python -I -B _prove.py MODULE…` in an empty folder. It imports the modules first, while
the package is still being written, then reads one line of JSON from stdin, does what it says, and answers with one
line of JSON. The package's code may print as it likes: its stdout is stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for module in sys.argv[1:]:
        importlib.import_module(module)
    request = sys.stdin.readline()
    if request:
        answers.write(json.dumps(_answer(json.loads(request))) + "\n")
        answers.flush()


def _answer(request: dict[str, str]) -> dict[str, Any]:
    try:
        return _predict(Path(request["package"]), Path(request["example"]), request["digest"], Path(request["answer"]))
    except Exception as error:  # noqa: BLE001 - whatever the package's code raises is the answer
        return {"error": f"{type(error).__name__}: {error}"}


def _predict(package: Path, example: Path, digest: str, answer: Path) -> dict[str, Any]:
    import mlflow.pyfunc

    from nb2prod.storage import artifacts

    data = artifacts.read(example, digest)
    predicted = mlflow.pyfunc.load_model(str(package)).predict(data)
    stored = artifacts.write(predicted, answer)
    return {"path": str(stored.path), "digest": stored.digest, "environment": _environment()}


def _environment() -> dict[str, str]:
    from importlib.metadata import version

    known = {"mlflow": "mlflow", "numpy": "numpy", "pandas": "pandas", "sklearn": "scikit-learn", "skops": "skops"}
    loaded = {name: version(name) for package, name in known.items() if package in sys.modules}
    return {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}", **loaded}


if __name__ == "__main__":
    main()
