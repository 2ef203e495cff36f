"""Steps and maps on workers that share nothing with the driver: no folder, no host, only a network and an S3 store.

python benchmarks/namespaces.py        as root, on Linux; writes benchmarks/results/namespaces.json

Four network namespaces stand for four machines, joined by a bridge: the driver with the S3 server (moto), a Dask
scheduler, two workers. Each worker has an empty /tmp of its own, so that the notebook's folder is not there. Then

1. `nb2prod run --engine steps --executor dask`: the same prints as with `--executor serial`;
2. `nb2prod map --executor dask`: all items;
3. the same, one worker killed on the way: all items, each once;
4. the same, the scheduler killed on the way: an error with exit code 6, and `--resume` with a new one has all items.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
DRIVER, SCHEDULER = "10.77.0.1", "10.77.0.2"
ADDRESS = f"tcp://{SCHEDULER}:8786"
MACHINES = {"nbs": SCHEDULER, "nb1": "10.77.0.3", "nb2": "10.77.0.4"}
BRIDGE = "nbridge"
ITEMS = 400
STEPS = [
    ("parameters", "n: int = 200_000"),
    ("imports", "import random\nimport numpy as np\nimport beside"),
    ("setup", "random.seed(5)"),
    ("step:load", "data = np.arange(float(n))\nfirst = random.random()"),
    ("step:left", "left = data[::2].sum()\nprint(left, random.random())"),
    ("step:right", "right = data[1::2].sum()\nprint(right)"),
    ("step:join metric:total", "total = float(left + right) * beside.FACTOR\nprint(total, first, random.random())"),
]
MAPPED = [
    ("parameters", "a: int = 1\nb: float = 0.5"),
    ("imports", "import time\nimport beside"),
    ("step:fit metric:score", "time.sleep(0.05)\nscore = a * b * beside.FACTOR"),
]


@dataclass
class Machines:
    """What runs, by the machine where it runs."""

    folder: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, machine: str, *command: str) -> None:
        log = (self.folder / f"{machine}.log").open("ab")
        # an empty /tmp: nothing of the driver's is there
        words = [
            "ip",
            "netns",
            "exec",
            machine,
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]
        script = "mount -t tmpfs tmpfs /tmp && cd /tmp && ip link set lo up && exec " + " ".join(command)
        self.running[machine] = subprocess.Popen(
            [*words, "sh", "-c", script], env=self.environment, stdout=log, stderr=log, start_new_session=True
        )

    def scheduler(self) -> None:
        self.start("nbs", str(BIN / "dask"), "scheduler", "--no-dashboard", "--host", SCHEDULER, "--port", "8786")

    def worker(self, machine: str) -> None:
        place = ("--host", MACHINES[machine], "--nthreads", "1", "--no-dashboard")
        self.start(machine, str(BIN / "dask"), "worker", ADDRESS, *place)

    def kill(self, machine: str) -> None:
        process = self.running.pop(machine)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_all(self) -> None:
        for machine in list(self.running):
            self.kill(machine)


@contextlib.contextmanager
def network() -> Iterator[None]:
    ip("link", "add", BRIDGE, "type", "bridge")
    try:
        ip("addr", "add", f"{DRIVER}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for name, address in MACHINES.items():
            ip("netns", "add", name)
            ip("link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"v{name}", "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield
    finally:
        for name in MACHINES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def s3() -> Iterator[dict[str, str]]:
    """A server that speaks S3's protocol, and the environment that reaches it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=DRIVER, port=0, verbose=False)
    server.start()
    access = {
        "AWS_ENDPOINT_URL": f"http://{DRIVER}:{server.get_host_and_port()[1]}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(access)
    import s3fs

    s3fs.S3FileSystem().mkdir("models")
    yield access
    server.stop()


def notebook(path: Path, cells: list[tuple[str, str]]) -> None:
    made = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {"tags": tags.split()},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for n, (tags, source) in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(document))


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(BIN / "nb2prod"), *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    out, errors = process.communicate(timeout=600)
    return process.returncode, json.loads(out) if out.strip() else {}, errors


def steps(folder: Path) -> dict[str, Any]:
    words = ("run", "steps.ipynb", "--engine", "steps", "--no-track", "--json", "--executor")
    here = ended(command(folder, *words, "serial", "--no-cache"))
    there = ended(command(folder, *words, "dask", "--scheduler", ADDRESS, "--store", "s3://models/store"))
    said = [[step["printed"] for step in document.get("steps", ())] for _, document, _ in (here, there)]
    return {"exit codes": [here[0], there[0]], "same prints": said[0] == said[1], "prints": said[1], "said": there[2]}


def mapped(folder: Path, runs: str, during: Any = None, *, resume: bool = False) -> dict[str, Any]:
    what = ("map.ipynb", "--over", "table.csv", "--no-track", "--runs", runs)
    if resume:
        what = ("--resume", str(next((folder / runs).iterdir())))
    began = time.monotonic()
    process = command(folder, "map", *what, "--json", "--executor", "dask", "--scheduler", ADDRESS, "--workers", "2")
    if during is not None:
        wait_for_some(folder / runs)
        during()
    code, document, errors = ended(process)
    return {"exit code": code, "seconds": round(time.monotonic() - began, 1), **result(folder / runs, errors, document)}


def wait_for_some(runs: Path) -> None:
    """Until a fifth of the items has come back."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if sum(len(path.read_text().splitlines()) for path in runs.glob("*/items.jsonl")) > ITEMS // 5:
            return
        time.sleep(0.05)
    raise TimeoutError(f"no results below {runs}")


def result(runs: Path, errors: str, document: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    tables = list(runs.glob("*/results.parquet"))
    found: dict[str, Any] = {"last words": errors.strip().splitlines()[-2:], "counts": document.get("counts")}
    if tables:
        table = pd.read_parquet(tables[0])
        found["items"] = len(table)
        found["each once"] = bool(table["number"].is_unique)
        found["sum of scores"] = float(table["metrics.score"].sum())
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name, network(), s3() as access:
        folder = Path(name)
        notebook(folder / "steps.ipynb", STEPS)
        notebook(folder / "map.ipynb", MAPPED)
        (folder / "beside.py").write_text("FACTOR = 2.0\n")
        rows = "\n".join(f"{n},{n / 8}" for n in range(ITEMS))
        (folder / "table.csv").write_text(f"a,b\n{rows}\n")
        machines = Machines(folder, {**os.environ, **access})
        found: dict[str, Any] = {}
        try:
            machines.scheduler()
            machines.worker("nb1")
            machines.worker("nb2")
            found["steps"] = steps(folder)
            print(json.dumps(found["steps"], indent=1))
            if "--steps" in sys.argv:
                return
            found["map"] = mapped(folder, "all")
            print(json.dumps(found["map"], indent=1))
            found["map, a worker killed"] = mapped(folder, "worker", lambda: machines.kill("nb1"))
            print(json.dumps(found["map, a worker killed"], indent=1))
            machines.worker("nb1")
            found["map, the scheduler killed"] = mapped(folder, "scheduler", lambda: machines.kill("nbs"))
            print(json.dumps(found["map, the scheduler killed"], indent=1))
            machines.kill_all()  # a worker ends when its scheduler does
            machines.scheduler()
            machines.worker("nb1")
            machines.worker("nb2")
            found["resumed"] = mapped(folder, "scheduler", resume=True)
            print(json.dumps(found["resumed"], indent=1))
        finally:
            machines.kill_all()
            if "--logs" in sys.argv:
                for log in folder.glob("*.log"):
                    print(log.name, log.read_text()[-5_000:])
        found["sum of scores"] = sum(n * n / 8 * 2.0 for n in range(ITEMS))
        found["versions"] = {name: version(name) for name in ("nb2prod", "distributed", "s3fs", "moto")}
        found["machine"] = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    (HERE / "results" / "namespaces.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
