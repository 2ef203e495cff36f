"""The other side of the proof: a process that has nothing of the notebook loads a package and answers.

Started by `proof.Prover` as `python -I -B _prove.py MODULE…` in an empty folder. It imports the modules first, while
the package is still being written; then it reads lines of JSON from stdin, does what each says, and answers each with
one line of JSON. The package's code may print as it likes: its stdout is stderr.

    answer   the model, loaded by MLflow, is asked about the whole example and about the probe set
    onnx     its translation is asked about the probe set, in the rows of the service
    serve    the service that the package carries (else ours) answers over HTTP, until `stop`
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

KNOWN = {
    "mlflow": "mlflow-skinny",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "skops": "skops",
    "xgboost": "xgboost-cpu",
    "lightgbm": "lightgbm",
    "statsmodels": "statsmodels",
}
ONNX = {"numpy": "numpy", "onnxruntime": "onnxruntime"}
Reply = dict[str, Any]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        answers.write(json.dumps(_reply(json.loads(line))) + "\n")
        answers.flush()


def _reply(request: dict[str, Any]) -> Reply:
    try:
        return DO[request["do"]](request)
    except ModuleNotFoundError as error:
        return {"missing": error.name or str(error)}
    except Exception as error:  # noqa: BLE001 - whatever the package's code raises is the answer
        return {"error": f"{type(error).__name__}: {error}"}


# -- the model -------------------------------------------------------------------------------------------------------


def _answer(request: Reply) -> Reply:
    """`rows` are asked about in `groups` of (start, stop) where they are given, else as the notebook's object was."""
    from nb2prod.storage import artifacts

    model = _model(request["package"])
    reply: Reply = {}
    if "example" in request:
        predicted = model.predict(artifacts.read(Path(request["example"]), request["digest"]))
        stored = artifacts.write(predicted, Path(request["answer"]))
        reply |= {"path": str(stored.path), "digest": stored.digest}
    if "rows" in request:
        table = artifacts.read(Path(request["rows"]), request["rows_digest"])
        reply["outcomes"] = _outcomes(lambda a, b: _asked(model.predict, table, a, b), request)
    return {**reply, "environment": _environment(KNOWN)}


@cache
def _model(package: str) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(package)


def _asked(predict: Callable[[Any], Any], table: Any, start: int, stop: int) -> list[Any]:
    from nb2prod.storage import row_answers

    return row_answers.asked(predict, row_answers.part(table, start, stop), stop - start)


def _outcomes(ask: Callable[[int, int], list[Any]], request: Reply) -> list[Any]:
    from nb2prod.core.outcome import as_json
    from nb2prod.storage.row_answers import asked_apart

    if "groups" in request:
        return [as_json(one) for start, stop in request["groups"] for one in ask(start, stop)]
    real, count = request["real"], request["count"]
    return [as_json(one) for one in (*ask(0, real), *asked_apart(ask, real, count))] if real else []


# -- its translation -------------------------------------------------------------------------------------------------


def _onnx(request: Reply) -> Reply:
    """The scorer of the service with its validation, without HTTP: a row that the service refuses is refused here."""
    from nb2prod.core.outcome import Outcome
    from nb2prod.serving.errors import Refusal
    from nb2prod.storage import artifacts

    scorer, validator = _translation(request["package"])
    spelled, reply = request["rows"], {}
    if "example" in request:
        reply = _on_example(scorer, artifacts.read(Path(request["example"]), request["digest"]), request)

    def ask(start: int, stop: int) -> list[Any]:
        rows = [row for row in spelled[start:stop] if row is not None]
        if len(rows) < stop - start:
            return [Outcome("refused", reason="JSON has no word for it")] * (stop - start)
        try:
            checked = validator.rows(rows)
            return _asked_list(lambda rows: scorer.predict(rows, fill=True), checked)
        except Refusal as refusal:
            return [Outcome("refused", reason=_told(refusal))] * (stop - start)

    return {**reply, "outcomes": _outcomes(ask, request), "environment": _environment(ONNX)}


def _on_example(scorer: Any, example: Any, request: Reply) -> Reply:
    """The answers to the whole example, and the rows of it that the translation leaves to the model."""
    from nb2prod.serving.onnx_scorer import Outside
    from nb2prod.storage import artifacts

    outside: list[int] = []
    try:
        answer = scorer.predict_table(example)
    except Outside as refusal:
        answer = refusal.answer
        outside = [row for row, is_inside in enumerate(refusal.inside.tolist()) if not is_inside]
    stored = artifacts.write(answer, Path(request["answer"]))
    return {"path": str(stored.path), "digest": stored.digest, "outside": outside}


@cache
def _translation(package: str) -> tuple[Any, Any]:
    """The scorer of the translation, and what checks rows for it."""
    from nb2prod.serving.onnx_scorer import OnnxScorer
    from nb2prod.serving.package_folder import open_folder
    from nb2prod.serving.rows import Validator

    known = open_folder(Path(package))
    assert known.signature is not None  # a package has one
    return OnnxScorer(Path(package), known), Validator(known.signature, known.contract)


def _asked_list(predict: Callable[[Any], Any], rows: list[Any]) -> list[Any]:
    from nb2prod.serving.errors import Refusal
    from nb2prod.storage import row_answers

    refused: list[Refusal] = []

    def asking(rows: list[Any]) -> Any:
        try:
            return predict(rows)
        except Refusal as refusal:
            refused.append(refusal)
            raise

    found = row_answers.asked(asking, rows, len(rows))
    if refused and refused[0].status < 500:
        raise refused[0]
    return found


def _told(refusal: Any) -> str:
    return "; ".join(f"{one.field}: {one.reason}" for one in refusal.fields[:1]) or str(refusal.reason)


# -- the service -----------------------------------------------------------------------------------------------------

_SERVERS: list[tuple[Any, threading.Thread]] = []


def _serve(request: Reply) -> Reply:
    """The port on which the package's own service listens, once its model is loaded."""
    import uvicorn

    folder = Path(request["package"])
    name = "service" if (folder / "service" / "app.py").is_file() else "nb2prod.serving"
    if name == "service":
        _load_carried(folder / "service")
    app_module, server_module = (importlib.import_module(f"{name}.{part}") for part in ("app", "server"))
    app = app_module.create_app(folder, loader=_loader(name, request["runtime"]))
    listening = server_module._listening("127.0.0.1", 0)
    # an earlier service called it otherwise
    protocol = getattr(server_module, "protocol", None) or server_module._protocol
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none", http=protocol())
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    _SERVERS.append((server, thread))
    app.service.settled.wait()
    if app.service.failure is not None:
        return {"error": str(app.service.failure)}
    libraries = ONNX if request["runtime"] == "onnx" else KNOWN
    environment = {**_environment(libraries), "service": name.rpartition(".")[2]}
    return {"port": listening.getsockname()[1], "model": app.service.folder.name, "environment": environment}


def _load_carried(folder: Path) -> None:
    """The package's `service`, by its place: on the search path its other files could stand for libraries."""
    place = importlib.util.spec_from_file_location(
        "service", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert place is not None
    assert place.loader is not None
    sys.modules["service"] = module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)


def _loader(name: str, runtime: str) -> Callable[[Path, Any], Any]:
    """The translation is asked even before the proof of it is written: this is what the proof is made with."""
    if runtime != "onnx":
        return importlib.import_module(f"{name}.loading").LOADERS["mlflow"]  # type: ignore[no-any-return]
    return importlib.import_module(f"{name}.onnx_scorer").OnnxScorer  # type: ignore[no-any-return]


def _stop(request: Reply) -> Reply:
    for server, thread in _SERVERS:
        server.should_exit = True
        thread.join(10)
    _SERVERS.clear()
    return {}


def _environment(known: dict[str, str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    loaded = {}
    for package, distribution in known.items():
        if package in sys.modules:
            try:
                loaded[distribution] = version(distribution)
            except PackageNotFoundError:
                loaded[distribution] = str(getattr(sys.modules[package], "__version__", "unknown"))
    return {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}", **loaded}


DO: dict[str, Callable[[Reply], Reply]] = {"answer": _answer, "onnx": _onnx, "serve": _serve, "stop": _stop}

if __name__ == "__main__":
    main()
