"""How fast a package is served, beside a plainly written service and beside `mlflow models serve` with one worker.

python benchmarks/serving_speed.py [ROUNDS]        writes benchmarks/results/serving_speed.json

Two packages, both made by `nb2prod package`: the mortgage notebook's (a function of the notebook, an encoder, a forest
of 200 trees), and a logistic regression of a made-up table. In every round each server is started, asked, and stopped,
one after the other; the clients are processes of their own or read plain sockets, so that what is measured is the
server. Ours is measured twice: the model itself, and its ONNX translation. The plain service is what one writes in ten
minutes: FastAPI, pydantic, a DataFrame, `predict`; it is below, as PLAIN.
"""

from __future__ import annotations

import contextlib
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
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
CONNECTIONS = 16
ASKED = 300  # requests of the one client whose time is measured
SECONDS = 4.0  # of load
PATIENCE = 180.0
PLAIN = """
import sys

sys.path.insert(0, sys.argv[1] + "/code")
import pandas
import skops.io
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Row(BaseModel):
    {fields}


class Rows(BaseModel):
    rows: list[Row]


app = FastAPI()
path = sys.argv[1] + "/model.skops"
model = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


@app.post("/predict")
def predict(body: Rows):
    table = pandas.DataFrame([row.model_dump() for row in body.rows])
    return {{"predictions": model.predict(table).tolist()}}


uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""
LOGISTIC = [
    (
        "imports",
        "import pandas as pd\n"
        "from sklearn.compose import make_column_transformer\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import OneHotEncoder, StandardScaler",
    ),
    (
        "step:load example:X",
        "data = pd.read_csv('customers.csv')\nX = data.drop(columns='bought')\ny = data['bought']",
    ),
    (
        "step:train model:model",
        "columns = make_column_transformer(\n"
        "    (StandardScaler(), ['age', 'income', 'debt', 'score']),\n"
        "    (OneHotEncoder(handle_unknown='ignore'), ['city']),\n"
        ")\nmodel = make_pipeline(columns, LogisticRegression()).fit(X, y)",
    ),
]
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


# ---- the packages ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A package, and a row that it answers."""

    folder: Path
    row: dict[str, Any]


def samples(scratch: Path) -> dict[str, Sample]:
    from notebook_maker import write_notebook

    data().to_csv(scratch / "customers.csv", index=False)
    notebooks = {
        "mortgage": HERE.parent / "notebooks" / "mortgage.ipynb",
        "logistic": write_notebook(scratch / "logistic.ipynb", LOGISTIC),
    }
    return {name: packaged(notebook, scratch / name) for name, notebook in notebooks.items()}


def packaged(notebook: Path, folder: Path) -> Sample:
    command = [sys.executable, "-m", "nb2prod", "package", str(notebook), "-o", str(folder), "--no-track"]
    subprocess.run(command, cwd=folder.parent, check=True, capture_output=True)
    assert json.loads((folder / "package.json").read_text())["onnx"]["kept"]
    example = json.loads((folder / "input_example.json").read_text())
    return Sample(folder, dict(zip(example["columns"], example["data"][0], strict=True)))


def data() -> pd.DataFrame:
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
    return table.assign(bought=(table["income"] * table["score"] > table["debt"]).astype(int))


# ---- the servers -----------------------------------------------------------------------------------------------------


def servers(scratch: Path, name: str, sample: Sample) -> dict[str, tuple[list[str], str, Any]]:
    """Command (without the port), path and body of each."""
    fields = "\n    ".join(f"{column}: {type(value).__name__}" for column, value in sample.row.items())
    plain = scratch / f"plain_{name}.py"
    plain.write_text(PLAIN.format(fields=fields))
    package, rows = str(sample.folder), {"rows": [sample.row]}
    ours = [sys.executable, "-m", "nb2prod.serving", package, "--runtime"]
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
    records = {"dataframe_records": [sample.row]}
    return {
        "nb2prod": ([*ours, "mlflow", "--port"], "/predict", rows),
        "nb2prod, ONNX": ([*ours, "onnx", "--port"], "/predict", rows),
        "FastAPI, pandas, scikit-learn": ([sys.executable, str(plain), package], "/predict", rows),
        "mlflow models serve": ([*mlflow, "-m", package, "-p"], "/invocations", records),
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
            client.ask()
        one = statistics.median(client.ask() for _ in range(ASKED))
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


def _first_answer(process: subprocess.Popen[bytes], port: int, path: str, content: str) -> Client:
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE:
        if process.poll() is not None:
            raise RuntimeError("the server ended")
        with contextlib.suppress(OSError, RuntimeError):
            client = Client(port, path, content)
            client.ask()
            return client
        time.sleep(0.01)
    raise RuntimeError("the server does not answer")


class Client:
    """One connection that asks one question again and again: what it costs itself is a few microseconds."""

    def __init__(self, port: int, path: str, content: str) -> None:
        body = content.encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        self._request = f"{head}\r\n\r\n".encode() + body
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> float:
        began = time.perf_counter()
        self._socket.sendall(self._request)
        answer = self._socket.recv(65536)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._more()
        head = answer[:end].lower()
        if not head.split(b"\r\n", 1)[0].endswith(b" 200 ok"):
            raise RuntimeError("not answered with 200")
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        while len(answer) < end + 4 + length:
            answer += self._more()
        return time.perf_counter() - began

    def _more(self) -> bytes:
        found = self._socket.recv(65536)
        if not found:
            raise RuntimeError("the server closed the connection")
        return found

    def close(self) -> None:
        self._socket.close()


def _memory(process: subprocess.Popen[bytes]) -> float:
    """Megabytes of the process and those that it started, shared pages counted once."""
    whole = psutil.Process(process.pid)
    return sum(float(one.memory_full_info().pss) for one in (whole, *whole.children(recursive=True))) / 1e6


# ---- the result ------------------------------------------------------------------------------------------------------


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    found: dict[str, Any] = {}
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        for name, sample in samples(Path(scratch)).items():
            taken: dict[str, list[dict[str, float]]] = {}
            asked = servers(Path(scratch), name, sample)
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
        "load average": {"before": before, "after": os.getloadavg()[0]},
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
