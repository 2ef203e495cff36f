"""`nb2prod score`, killed at many moments and called again: is the output that of a call that nobody disturbed?

python benchmarks/score_kills.py [KILLS]        writes benchmarks/results/score_kills.json

Six hundred thousand rows, some of which do not fit, are scored in a process of their own, which gets SIGKILL, SIGTERM
or SIGINT: half of them at a moment between its start and its end, half when it has made so many parts. Then

    OUT is not there (or the call was done: then it is whole), and nothing half written is beside it
    the same command goes on, and its output and rejected rows are those of the undisturbed call, byte for byte
    nothing is left in the folder but those two files
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.score_speed import LOGISTIC, machine, many_rows, packaged  # noqa: E402
from tests.notebook_maker import write_notebook  # noqa: E402

ROWS, BAD = 600_000, 1000  # every so manieth row does not fit
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
KILLS = 24


@dataclass(frozen=True)
class Call:
    package: Path
    data: Path
    folder: Path

    def start(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(exist_ok=True)
        output = str(self.folder / "out.parquet")
        command = [sys.executable, "-m", "nb2prod", "score", str(self.package), str(self.data), "-o", output]
        return subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def whole(self) -> dict[str, Any]:
        said, errors = (process := self.start()).communicate()
        assert process.returncode == 3, (process.returncode, errors.decode())  # rows were rejected
        found: dict[str, Any] = json.loads(said)
        return found

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}

    @property
    def parts(self) -> int:
        return sum(1 for path in self.folder.glob(".out.parquet.parts/*/*.arrow") if ".bad" not in path.name)


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored, and so had we
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    chance = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="nb2prod-score-kills-") as folder:
        work = Path(folder)
        package = packaged(work, write_notebook(work / "logistic.ipynb", LOGISTIC), "logistic")
        data = written(package, work / "rows.parquet")
        undisturbed = Call(package, data, work / "undisturbed")
        began = time.monotonic()
        undisturbed.whole()
        seconds = time.monotonic() - began
        parts = -(-ROWS // 65536)
        found = []
        for number in range(kills):
            call = Call(package, data, work / f"kill-{number}")
            when = chance.uniform(0, seconds) if number % 2 else chance.randrange(parts + 1)
            found.append(killed(call, SIGNALS[number // 2 % len(SIGNALS)], when, undisturbed.files()))
            print(found[-1], flush=True)
    result = {"machine": machine(), "rows": ROWS, "kills": len(found), "whole seconds": round(seconds, 1)}
    result["equal bytes"] = sum(one["equal bytes"] for one in found)
    result["left behind"] = sum(len(one["left behind"]) for one in found)
    result["half written"] = sum(one["half written"] for one in found)
    (HERE / "results" / "score_kills.json").write_text(json.dumps(result | {"each": found}, indent=2) + "\n")


def written(package: Path, data: Path) -> Path:
    frame = many_rows(package, ROWS)
    frame.loc[::BAD, "x0"] = float("inf")
    frame.to_parquet(data)
    return data


def killed(call: Call, number: signal.Signals, when: float, whole: dict[str, bytes]) -> dict[str, Any]:
    """`when` is a moment in seconds, or as a whole number the parts that are made."""
    process = call.start()
    began = time.monotonic()
    while process.poll() is None and (call.parts < when if isinstance(when, int) else time.monotonic() - began < when):
        time.sleep(0.002)
    process.send_signal(number)
    _, errors = process.communicate()
    seconds, there, made = time.monotonic() - began, call.files(), call.parts
    half = any(content != whole.get(name) for name, content in there.items() if not name.startswith("."))
    resumed = call.whole()["resumed"]
    after = call.files()
    return {
        "signal": number.name,
        "after": f"{when} parts" if isinstance(when, int) else f"{when:.2f} s",
        "seconds": round(seconds, 2),
        "code": process.returncode,
        "said": errors.decode().strip().splitlines()[-1:],
        "parts": made,
        "half written": half,
        "resumed rows": resumed,
        "equal bytes": {name: after.get(name) for name in whole} == whole,
        "left behind": sorted(path.name for path in call.folder.iterdir() if path.name not in whole),
    }


if __name__ == "__main__":
    main()
