"""Real models, saved by MLflow once for all tests here, and a real uvicorn in front of them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")

CUSTOMER = {"age": 30, "income (k$)": 10.5, "city": "Rome", "member": True, "score": 0.25}

OBEDIENT = '''
import os
import time

import mlflow
from mlflow.pyfunc import PythonModel


class Obedient(PythonModel):
    """Does what its rows say: the worst that a model can do, one word each."""

    def predict(self, context, model_input, params=None):
        return [self._one(word, params or {}) for word in model_input["do"]]

    def _one(self, word, params):
        if word == "raise":
            raise ValueError("the secret of the row is 4711")
        if word == "exit":
            raise SystemExit("4711")
        if word.startswith("wait for "):
            while not os.path.exists(word.removeprefix("wait for ")):
                time.sleep(0.01)
        numbers = {"nan": float("nan"), "inf": float("inf"), "third": 1 / 3}
        return numbers.get(word, word + params.get("suffix", ""))


mlflow.models.set_model(Obedient())
'''


def as_package(folder: Path, *, name: str = "customers", version: str = "3") -> str:
    """Make a package of an MLflow folder, as packaging does; its digest."""
    (folder / "package.json").write_text(json.dumps({"schema": 1, "name": name, "version": version}))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "checksums")
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(folder).as_posix()}\n" for f in files]
    (folder / "checksums").write_text("".join(lines))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.fixture(scope="session")
def customers() -> Any:
    """A table with an integer, floats (one with missing values), text and booleans."""
    import numpy
    import pandas

    random, n = numpy.random.default_rng(0), 200
    return pandas.DataFrame(
        {
            "age": random.integers(18, 90, n),
            "income (k$)": random.lognormal(4, 1, n),
            "city": random.choice(["Rome", "Köln", "NA"], n),
            "member": random.random(n) < 0.5,
            "score": numpy.where(random.random(n) < 0.2, numpy.nan, random.random(n)),
        }
    )


@pytest.fixture(scope="session")
def customer_model(customers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package: a pipeline of transformers and a logistic regression that answers probabilities, saved by skops."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city"]), (SimpleImputer(), ["score"]), remainder="passthrough"
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=5000))
    model.fit(customers, (customers["age"] + customers["income (k$)"] > 100).astype(int))
    folder = tmp_path_factory.mktemp("models") / "customers"
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(customers, model.predict_proba(customers)),
        input_example=customers.head(3),
        pip_requirements=["mlflow-skinny", "scikit-learn", "skops"],
        skops_trusted_types=["numpy.dtype", "sklearn.compose._column_transformer._RemainderColsList"],
        pyfunc_predict_fn="predict_proba",
    )
    as_package(folder)
    return folder


@pytest.fixture(scope="session")
def obedient_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain MLflow folder whose model does what its rows say; its code is a file of the folder."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

    folder = tmp_path_factory.mktemp("models")
    (folder / "code.py").write_text(OBEDIENT)
    mlflow.pyfunc.save_model(
        folder / "obedient",
        python_model=str(folder / "code.py"),
        signature=ModelSignature(
            inputs=Schema([ColSpec("string", "do")]), params=ParamSchema([ParamSpec("suffix", "string", "")])
        ),
        pip_requirements=["mlflow-skinny"],
    )
    return folder / "obedient"


@contextmanager
def listening(app: Any) -> Iterator[httpx.Client]:
    """A client of the app behind a real uvicorn on a free port, once its model is loaded."""
    import uvicorn

    from nb2prod.serving.connections import protocol

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", http=protocol())
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.start()
    try:
        assert app.service.settled.wait(60)
        with httpx.Client(base_url=url, timeout=60) as client:
            yield client
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def serving() -> Callable[[Any], Any]:
    return listening


@pytest.fixture(scope="session")
def client(customer_model: Path) -> Iterator[httpx.Client]:
    """The customers' package behind HTTP, with limits that a test can reach."""
    from nb2prod.serving.app import create_app
    from nb2prod.serving.limits import Limits

    with listening(create_app(customer_model, limits=Limits(body_bytes=1_000_000, rows=1000))) as found:
        yield found


@pytest.fixture(scope="session")
def obedient(obedient_model: Path) -> Iterator[httpx.Client]:
    from nb2prod.serving.app import create_app

    with listening(create_app(obedient_model)) as found:
        yield found


@pytest.fixture(scope="session")
def package_of() -> Callable[..., str]:
    return as_package


@pytest.fixture
def customer() -> dict[str, Any]:
    return dict(CUSTOMER)
