"""How long the command's help takes, beside papermill's: paired runs, one after the other, in the same minute.

python benchmarks/start_up.py [PAIRS]        writes benchmarks/results/start_up.json
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
COMMANDS = {"nb2prod --help": "nb2prod", "papermill --help": "papermill"}


def seconds(command: str) -> float:
    began = time.perf_counter()
    subprocess.run([BIN / command, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(pairs: int) -> dict[str, list[float]]:
    for command in COMMANDS.values():
        seconds(command)  # once, so that both are compiled and in the file cache
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(pairs):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    return times


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    times = measure(pairs)
    ours, theirs = times.values()
    result = {
        "question": "how long does the command's help take, beside papermill's?",
        "pairs": pairs,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("nb2prod", "papermill", "click")},
        "seconds": {
            name: {"median": statistics.median(taken), "least": min(taken), "most": max(taken)}
            for name, taken in times.items()
        },
        "ratio": statistics.median(mine / his for mine, his in zip(ours, theirs, strict=True)),
        "target": 0.15,
    }
    path = HERE / "results" / "start_up.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, taken in times.items():
        print(f"{name:20} {statistics.median(taken) * 1000:7.0f} ms")
    print(f"{'ratio':20} {result['ratio']:7.3f}    (target {result['target']}, written to {path})")


if __name__ == "__main__":
    main()
