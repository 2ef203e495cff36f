"""How fast a package is served, beside a plainly written service and beside `mlflow models serve` with one worker.

python benchmarks/serving_speed.py [ROUNDS]        writes benchmarks/results/serving_speed.json

Two models of one made-up table (four numbers, one text): a logistic regression, and a forest of 100 trees, each behind
a one-hot encoder and a scaler. In every round each server is started, asked, and stopped, one after the other; the
clients are processes of their own. Ours is measured twice: the model itself, and its ONNX translation. The plain
service is what one writes in ten minutes: FastAPI, pydantic, a DataFrame, `predict_proba`; it is below, as PLAIN.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

HERE = Path(__file__).parent
ROW = {"age": 30.0, "income": 10.5, "debt": 3.25, "score": 0.25, "city": "Rome"}
CONNECTIONS = 16
ASKED = 300  # requests of the one client whose time is measured
SECONDS = 4.0  # of load
PATIENCE = 120.0
PLAIN = """
import sys

import joblib
import pandas
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Row(BaseModel):
    age: float
    income: float
    debt: float
    score: float
    city: str


class Rows(BaseModel):
    rows: list[Row]


app = FastAPI()
model = joblib.load(sys.argv[1])


@app.post("/predict")
def predict(body: Rows):
    table = pandas.DataFrame([row.model_dump() for row in body.rows])
    return {"predictions": model.predict_proba(table).tolist()}


uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""
LOAD = """
import asyncio, json, sys, time

host, port, path, body, connections, seconds = json.loads(sys.argv[1])
head = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(body)}", "", body]
request = "\\r\\n".join(head).encode()


class One(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.done, self.bad, self.rest = transport, 0, 0, b""
        transport.write(request)

    def data_received(self, data):
        self.rest += data
        end = self.rest.find(b"\\r\\n\\r\\n")
        if end < 0:
            return
        lines = self.rest[:end].lower().split(b"\\r\\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(self.rest) < end + 4 + length:
            return
        self.done += 1
        self.bad += not lines[0].endswith(b"200 ok")
        self.rest = b""
        self.transport.write(request)


async def main():
    loop = asyncio.get_running_loop()
    all = [(await loop.create_connection(One, host, port))[1] for _ in range(connections)]
    await asyncio.sleep(seconds / 4)
    before, began = sum(one.done for one in all), time.perf_counter()
    await asyncio.sleep(seconds)
    taken = time.perf_counter() - began
    print(json.dumps([(sum(one.done for one in all) - before) / taken, sum(one.bad for one in all)]))


try:
    import uvloop
except ImportError:
    asyncio.run(main())
else:
    uvloop.run(main())
"""


# ---- the models ------------------------------------------------------------------------------------------------------


def models() -> dict[str, Any]:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table, target = data()
    made = {}
    for name, last in (
        ("logistic", LogisticRegression()),
        ("forest", RandomForestClassifier(100, max_depth=8, random_state=0)),
    ):
        columns = make_column_transformer(
            (StandardScaler(), list(table.columns[:-1])), (OneHotEncoder(handle_unknown="ignore"), ["city"])
        )
        made[name] = make_pipeline(columns, last).fit(table, target)
    return made


def data() -> tuple[pd.DataFrame, Any]:
    draw, n = np.random.default_rng(0), 2000
    table = pd.DataFrame(
        {
            "age": draw.integers(18, 90, n).astype("float64"),
            "income": draw.lognormal(4, 1, n),
            "debt": draw.lognormal(2, 1, n),
            "score": draw.random(n),
            "city": draw.choice(["Rome", "Köln", "Lima"], n),
        }
    )
    numbers = table.columns[:-1]
    table[numbers] = table[numbers].astype("float32").astype("float64")  # so that the translation sees the same ones
    return table, (table["income"] * table["score"] > table["debt"]).astype(int)


def package(folder: Path, name: str, model: Any) -> dict[str, Path]:
    """The model as every server takes it: a joblib file, an MLflow folder, and the same with a translation."""
    import joblib
    import mlflow.sklearn
    from mlflow.models import infer_signature

    table, _ = data()
    found = {kind: folder / f"{name}-{kind}" for kind in ("mlflow", "onnx", "joblib")}
    joblib.dump(model, found["joblib"])
    for kind in ("mlflow", "onnx"):
        mlflow.sklearn.save_model(
            model,
            found[kind],
            signature=infer_signature(table, model.predict_proba(table)),
            input_example=table.head(3),
            pip_requirements=["mlflow", "scikit-learn"],
            serialization_format="cloudpickle",
            pyfunc_predict_fn="predict_proba",
        )
    translate(found["onnx"], name, model, table)
    return found


def translate(folder: Path, name: str, model: Any, table: pd.DataFrame) -> None:
    """Write the translation, its settings and its proof into the folder, and the marks of a package."""
    import onnxruntime
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    types = [(c, StringTensorType([None, 1]) if c == "city" else FloatTensorType([None, 1])) for c in table]
    translated = to_onnx(model, initial_types=types, options={"zipmap": False})
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(translated.SerializeToString())
    (folder / "onnx" / "serving.json").write_text('{"schema": "nb2prod/onnx/1", "output": "probabilities"}')
    feeds = {c: table[[c]].to_numpy("object" if c == "city" else "float32") for c in table}
    answer = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx").run(["probabilities"], feeds)[0]
    difference = float(np.abs(answer - model.predict_proba(table)).max())
    assert difference < 1e-4, difference
    path = {"path": "onnx", "rows": len(table), "difference": difference, "verdict": "tolerant"}
    (folder / "parity.json").write_text(json.dumps({"schema": "nb2prod/parity/1", "paths": [path]}))
    (folder / "package.json").write_text(json.dumps({"schema": "nb2prod/package/1", "name": name, "version": "1"}))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(folder).as_posix()}\n" for f in files]
    (folder / "checksums").write_text("".join(sums))


# ---- the servers -----------------------------------------------------------------------------------------------------


def servers(folder: Path, name: str, model: Any) -> dict[str, tuple[list[str], str, Any]]:
    """Command (without the port), path and body of each."""
    there = package(folder, name, model)
    plain = folder / "plain.py"
    plain.write_text(PLAIN)
    ours, rows = [sys.executable, "-m", "nb2prod.serving"], {"rows": [ROW]}
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1", "-m"]
    return {
        "nb2prod": ([*ours, str(there["mlflow"]), "--port"], "/predict", rows),
        "nb2prod, ONNX": ([*ours, str(there["onnx"]), "--runtime", "onnx", "--port"], "/predict", rows),
        "FastAPI, pandas, scikit-learn": ([sys.executable, str(plain), str(there["joblib"])], "/predict", rows),
        "mlflow models serve": ([*mlflow, str(there["mlflow"]), "-p"], "/invocations", {"dataframe_records": [ROW]}),
    }


def measure(command: list[str], path: str, body: Any) -> dict[str, float]:
    content = json.dumps(body)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _process([*command, str(port)]) as process:
        began = time.perf_counter()
        client = _first_answer(process, port, path, content)
        ready = time.perf_counter() - began
        memory = _memory(process)
        for _ in range(30):
            _ask(client, path, content)
        one = statistics.median(_ask(client, path, content) for _ in range(ASKED))
        client.close()
        asked = json.dumps(["127.0.0.1", port, path, content, CONNECTIONS, SECONDS])
        done = subprocess.run([sys.executable, "-c", LOAD, asked], check=True, capture_output=True, text=True)
        rate, bad = json.loads(done.stdout)
        assert not bad, f"{bad} requests were not answered with 200"
        loaded = _memory(process)
    return {"p50 ms": 1000 * one, "req/s": rate, "first answer s": ready, "MB": memory, "MB after load": loaded}


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # MLflow looks for uvicorn there
    environment = {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def _first_answer(process: subprocess.Popen[bytes], port: int, path: str, content: str) -> http.client.HTTPConnection:
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE:
        if process.poll() is not None:
            raise RuntimeError("the server ended")
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.suppress(OSError, RuntimeError):
            _ask(client, path, content)
            return client
        client.close()
        time.sleep(0.01)
    raise RuntimeError("the server does not answer")


def _ask(client: http.client.HTTPConnection, path: str, content: str) -> float:
    began = time.perf_counter()
    client.request("POST", path, content, {"content-type": "application/json"})
    answer = client.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}")
    return time.perf_counter() - began


def _memory(process: subprocess.Popen[bytes]) -> float:
    """Megabytes of the process and those that it started, shared pages counted once."""
    whole = psutil.Process(process.pid)
    return sum(float(one.memory_full_info().pss) for one in (whole, *whole.children(recursive=True))) / 1e6


# ---- the result ------------------------------------------------------------------------------------------------------


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, model in models().items():
            taken: dict[str, list[dict[str, float]]] = {}
            asked = servers(Path(scratch), name, model)
            for _ in range(rounds):
                for server, (command, path, body) in asked.items():
                    taken.setdefault(server, []).append(measure(command, path, body))
                    print(f"{name:9} {server:30} {_line(taken[server][-1])}", flush=True)
            found[name] = _summary(taken)
    result = {
        "question": "how fast is a package served, beside a plain service and beside mlflow models serve?",
        "rounds": rounds,
        "connections under load": CONNECTIONS,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load average": os.getloadavg()[0],
        "versions": {n: version(n) for n in ("nb2prod", "mlflow", "fastapi", "scikit-learn", "pandas", "onnxruntime")},
        "models": found,
        "target": {
            "nb2prod to FastAPI": "p50 at most 1.0, req/s at least 2",
            "nb2prod, ONNX to mlflow": "p50 at most 1/30, req/s at least 30, first answer at most 1/8, MB at most 1/3",
        },
    }
    path = HERE / "results" / "serving_speed.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


def _line(taken: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:8.2f}" for name, value in taken.items())


def _summary(taken: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians and ranges, and in every round the ratios to the peers: their medians are what the targets speak of."""
    names = list(taken["nb2prod"][0])
    servers = {s: {n: _spread([one[n] for one in all]) for n in names} for s, all in taken.items()}
    pairs = (("nb2prod", "FastAPI, pandas, scikit-learn"), ("nb2prod, ONNX", "mlflow models serve"))
    ratios = {
        f"{ours} to {theirs}": {
            n: _spread([a[n] / b[n] for a, b in zip(taken[ours], taken[theirs], strict=True)]) for n in names
        }
        for ours, theirs in pairs
    }
    return {"servers": servers, "ratios": ratios}


def _spread(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 4) for name, value in found.items()}


if __name__ == "__main__":
    main()
