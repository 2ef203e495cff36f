"""What 20,000 bad requests do to the service: statuses, leaks of values, memory.

python benchmarks/serving_faults.py [REQUESTS] [SCHEMATHESIS]      writes benchmarks/results/serving_faults.json

The package is the mortgage notebook's, with its contract and its translation; the model itself and the translation are
asked, each by REQUESTS requests.

Half of the requests are bodies that begin as good ones and are changed at random places (bytes, values, names,
nesting, numbers that no type holds), half are good JSON of the wrong shape; to every route that takes a body, and with
wrong media types among them. Every text holds a mark that must come back in no reason of a refusal and in no line of
the log. With the path of a `schemathesis` command, it is let loose on /openapi.json too.
"""

from __future__ import annotations

import collections
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent))
import serving_speed as speed

HERE = Path(__file__).parent
MARK = "MARK4711"
KINDS = ("application/json",) * 9 + ("text/csv", "text/plain", "application/json; charset=latin-1")
ODD = (None, True, 0, -1, 2**63, 10**400, 1e308, 0.1, MARK, "", "NaN", [], {}, [[1]], {"a": MARK}, "\u0000", "\ud800")
NAMES = (
    "rows",
    "inputs",
    "data",
    "columns",
    "name",
    "shape",
    "datatype",
    "dataframe_split",
    "params",
    "pirat",
    "phist",
)
TYPES = {int: "INT64", float: "FP64", str: "BYTES"}


def good(draw: random.Random, name: str, row: dict[str, Any]) -> tuple[str, Any]:
    tensors = [{"name": k, "shape": [1], "datatype": TYPES[type(v)], "data": [v]} for k, v in row.items()]
    return draw.choice(
        [
            ("/predict", {"rows": [row] * draw.randint(1, 3)}),
            ("/invocations", {"dataframe_records": [row]}),
            ("/invocations", {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}),
            ("/invocations", {"inputs": {k: [v] for k, v in row.items()}}),
            (f"/v2/models/{name}/infer", {"inputs": tensors}),
        ]
    )


def changed(draw: random.Random, value: Any) -> Any:
    """The value with one thing in it replaced, left out, doubled or nested."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        new = changed(draw, value[key])
        left = {k: v for k, v in value.items() if k != key}
        return draw.choice([{**value, key: new}, left, {**left, draw.choice(NAMES): new}, {**value, MARK: new}])
    if isinstance(value, list) and value and draw.random() < 0.9:
        place = draw.randrange(len(value))
        new = changed(draw, value[place])
        return draw.choice([[*value[:place], new, *value[place + 1 :]], value[:place], value * 2, [value]])
    return draw.choice(ODD)


def broken(draw: random.Random, raw: bytes) -> bytes:
    for _ in range(draw.randint(1, 4)):
        place, length = draw.randrange(len(raw) + 1), draw.randrange(8)
        raw = raw[:place] + draw.randbytes(draw.randrange(6)) + raw[place + length :]
    return draw.choice([raw, b"[" * draw.randrange(5000) + raw, raw + raw])


def request(draw: random.Random, name: str, row: dict[str, Any]) -> tuple[str, bytes, str]:
    route, body = good(draw, name, row)
    if draw.random() < 0.5:
        return route, broken(draw, json.dumps(body).encode()), draw.choice(KINDS)
    for _ in range(draw.randint(1, 3)):
        body = changed(draw, body)
    return route, json.dumps(body).encode(), draw.choice(KINDS)


def fuzz(port: int, process: psutil.Process, count: int, name: str, row: dict[str, Any]) -> dict[str, Any]:
    draw, statuses, leaks, errors = random.Random(0), collections.Counter[int](), 0, []
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began, memory = time.perf_counter(), []
    for number in range(count):
        if number % (count // 10 or 1) == 0:
            memory.append(round(process.memory_info().rss / 1e6, 1))
        route, body, kind = request(draw, name, row)
        client.request("POST", route, body, {"content-type": kind})
        answer = client.getresponse()
        text = answer.read().decode()
        statuses[answer.status] += 1
        leaks += answer.status != 200 and _leaks(text)
        if answer.status >= 500:
            errors.append([route, body.decode("latin-1")[:300], text[:300]])
    memory.append(round(process.memory_info().rss / 1e6, 1))
    return {
        "requests": count,
        "statuses": {str(status): n for status, n in sorted(statuses.items())},
        "5xx": errors[:20],
        "refusals with a value or a trace": leaks,
        "MB at each tenth": memory,
        "seconds": round(time.perf_counter() - began, 1),
    }


def _leaks(text: str) -> bool:
    """Whether a refusal quotes a value. A field is told by its name, also one that the model has not."""
    error = json.loads(text)["error"]
    if isinstance(error, str):  # the inference protocol's: "reason; field (row 0): reason"
        told = error.replace(f"{MARK}:", "").replace(f"{MARK} (row", "")
    else:
        told = json.dumps([error["reason"], *(field["reason"] for field in error["fields"])])
    return MARK in told or "Traceback" in told


def schemathesis(command: str, port: int) -> dict[str, Any]:
    """Its verdict on what a service must not do: fail, or answer otherwise than its document says."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    url = f"http://127.0.0.1:{port}/openapi.json"
    asked = [command, "run", url, "--checks", checks, "--max-examples", "300", "--no-color"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    lines = re.findall(r"^.*(?:generated|passed|failed|error).*$", done.stdout, re.MULTILINE | re.IGNORECASE)
    return {"checks": checks.split(","), "exit code": done.returncode, "said": [line.strip() for line in lines][-12:]}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    found: dict[str, Any] = {"question": "what do bad requests do to the service?"}
    with tempfile.TemporaryDirectory() as scratch:
        sample = speed.packaged(HERE.parent / "notebooks" / "mortgage.ipynb", Path(scratch) / "mortgage")
        row = {k: MARK if isinstance(v, str) else v for k, v in sample.row.items()}
        for kind in ("mlflow", "onnx"):
            log = Path(scratch) / f"{kind}.log"
            command = [sys.executable, "-m", "nb2prod.serving", str(sample.folder), "--runtime", kind, "--port", "0"]
            with log.open("w") as target:
                process = subprocess.Popen(command, stderr=target)
            try:
                port = _port(log, process)
                name = http_name(port)
                found[kind] = fuzz(port, psutil.Process(process.pid), count, name, row)
                if len(sys.argv) > 2:
                    found[kind]["schemathesis"] = schemathesis(sys.argv[2], port)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(30)
            found[kind]["lines of the log with a value"] = sum(MARK in line for line in log.read_text().splitlines())
            print(kind, json.dumps(found[kind], indent=1), flush=True)
    path = HERE / "results" / "serving_faults.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


def http_name(port: int) -> str:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("GET", "/")
    return str(json.loads(client.getresponse().read())["name"])


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    for _ in range(1200):
        if served := re.search(r"at http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(served[1])
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        time.sleep(0.1)
    raise RuntimeError("the service does not begin")


if __name__ == "__main__":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    main()
