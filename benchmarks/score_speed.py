"""How long a million rows take to score, and how much memory up to twenty million take.

python benchmarks/score_speed.py [ROUNDS]        writes benchmarks/results/score_speed.json
python benchmarks/score_speed.py --memory        measures the memory alone, and puts it into the same file

Beside it, in the same rounds: `mlflow.pyfunc.load_model(…).predict(frame)` on the whole frame, in one process, with all
threads that the model takes of its own accord. Of both only what lies between rows in memory and predictions in memory
is timed: checking, converting, predicting; loading the model is in neither. Reading, and the whole command with all of
Python's start, are told apart. `cpu_ratio` compares the seconds of all cores: it says what was done less, where `ratio`
says what was done at the same time as well. The two packages: the mortgage notebook's forest, and a logistic model on
twelve columns.

Memory is the most that the process held (VmHWM), libraries and model among it, for more and more rows.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy  # noqa: E402
import pandas  # noqa: E402

from tests.notebook_maker import write_notebook  # noqa: E402

ROWS = 1_000_000
RESULTS = HERE / "results" / "score_speed.json"
MEMORY = ((".parquet", (100_000, 1_000_000, 5_000_000, 20_000_000)), (".csv", (100_000, 1_000_000, 5_000_000)))
LOGISTIC = [
    ("md", "# A logistic model\n\nTen measurements and two groups."),
    (
        "imports",
        "import numpy as np\nimport pandas as pd\nfrom sklearn.compose import make_column_transformer\n"
        "from sklearn.linear_model import LogisticRegression\nfrom sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import OneHotEncoder, StandardScaler",
    ),
    (
        "step:data",
        "rng = np.random.default_rng(0)\nnumbers = [f'x{i}' for i in range(10)]\n"
        "X = pd.DataFrame(rng.normal(size=(2000, 10)), columns=numbers)\n"
        "X['city'] = rng.choice(['Rome', 'Ulm', 'Oslo'], 2000)\nX['kind'] = rng.choice(['a', 'b'], 2000)\n"
        "y = (X['x0'] + X['x1'] * X['x2'] + (X['city'] == 'Ulm') > 0.3).astype(int)",
    ),
    (
        "step:train model:model example:X",
        "columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(), ['city', 'kind']))\n"
        "model = make_pipeline(columns, LogisticRegression()).fit(X, y)",
    ),
]


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 3
    result = json.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(prefix="nb2prod-score-speed-") as folder:
        work = Path(folder)
        logistic = work / "logistic.ipynb"
        write_notebook(logistic, LOGISTIC)
        if "--memory" in sys.argv:
            packaged(work, logistic, "logistic")
        else:
            result |= {"machine": machine(), "rows": ROWS, "rounds": rounds}
            result["mortgage"] = measured(work, HERE.parent / "notebooks" / "mortgage.ipynb", "mortgage", rounds)
            result["logistic"] = measured(work, logistic, "logistic", rounds)
        result["memory"] = memory(work)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def machine() -> dict[str, Any]:
    libraries = {name: version(name) for name in ("mlflow", "scikit-learn", "pandas", "pyarrow")}
    cores = len(os.sched_getaffinity(0))
    return {"python": platform.python_version(), **libraries, "cores": cores, "load": os.getloadavg()[0]}


def measured(work: Path, notebook: Path, name: str, rounds: int) -> dict[str, Any]:
    package = packaged(work, notebook, name)
    data = work / f"{name}.parquet"
    frame = many_rows(package, ROWS)
    frame.to_parquet(data)
    return {**compared(package, data, frame, rounds), **read_and_written(package, data, work / f"{name}.out.parquet")}


def packaged(work: Path, notebook: Path, name: str) -> Path:
    package = work / name
    command = [sys.executable, "-m", "nb2prod", "package", str(notebook), "-o", str(package), "--no-track"]
    subprocess.run(command, check=True, cwd=work, capture_output=True)
    return package


def many_rows(package: Path, rows: int) -> pandas.DataFrame:
    """The example's rows again and again, numbers a little moved."""
    example = pandas.read_parquet(package / "parity" / "example.parquet")
    rng = numpy.random.default_rng(0)
    frame = example.iloc[rng.integers(0, len(example), rows)].reset_index(drop=True)
    for column in frame.columns:
        if frame[column].dtype.kind == "f":
            frame[column] *= rng.uniform(0.9, 1.1, rows)
    return frame


def compared(package: Path, data: Path, frame: pandas.DataFrame, rounds: int) -> dict[str, Any]:
    import mlflow.pyfunc

    from nb2prod.stages import proof

    with proof.mlflow_settings():
        model = mlflow.pyfunc.load_model(str(package))
        ours, theirs, expected, found = [], [], None, None
        for _ in range(rounds):
            seconds, expected = timed(lambda: model.predict(frame))
            theirs.append(seconds)
            seconds, found, runtime = scored(package, data)
            ours.append(seconds)
    same = bool(numpy.array_equal(numpy.asarray(expected), found))
    assert same, "score answers otherwise than pyfunc"
    ratios, cpu_ratios = ([a[at] / b[at] for a, b in zip(ours, theirs, strict=True)] for at in (0, 1))
    return {
        "runtime": runtime,
        "score_seconds": round(statistics.median(one[0] for one in ours), 3),
        "pyfunc_seconds": round(statistics.median(one[0] for one in theirs), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "cpu_ratio": round(statistics.median(cpu_ratios), 3),
        "cpu_ratios": [round(ratio, 3) for ratio in cpu_ratios],
        "same_answers": same,
    }


def timed(call: Any) -> tuple[tuple[float, float], Any]:
    """(seconds on the clock, seconds of all cores), and what it returned."""
    began, cpu = time.perf_counter(), time.process_time()
    answer = call()
    return (time.perf_counter() - began, time.process_time() - cpu), answer


def scored(package: Path, data: Path) -> tuple[tuple[float, float], Any, str]:
    """Seconds from blocks of rows in memory to answers in memory, as `score` goes about it."""
    from nb2prod.stages.scoring import one_file, reading
    from nb2prod.stages.scoring.in_order import worked
    from nb2prod.stages.scoring.parts import Parts, Request

    with one_file.opened(package) as known:
        sources = reading.sources([data])
        block = one_file.rows_at_once(known)
        request = Request(
            str(package), known.digest, sources, str(data) + ".none.parquet", (), "reject", "auto", (), block
        )
        Parts(request).begin(fresh=True)
        model = one_file.model_of(request, package, known)
        file = one_file.File(request, 0, known, model, one_file.Total(request, lambda _: None))
        blocks = list(reading.blocks(sources[0], block, reading.columns(sources[0])))
        seconds, parts = timed(lambda: [part for _, part in worked(iter(blocks), file.part, model.at_once)])
        Parts(request).discard()
    answers = numpy.concatenate([part.table.column("prediction").to_numpy() for part in parts])
    return seconds, answers, model.runtime


def read_and_written(package: Path, data: Path, output: Path) -> dict[str, Any]:
    from nb2prod.stages.scoring import reading

    sources = reading.sources([data])
    reading_seconds, _ = timed(lambda: sum(1 for _ in reading.blocks(sources[0], 65536, reading.columns(sources[0]))))
    whole, _ = timed(lambda: run_score(package, data, output))
    return {"reading_seconds": round(reading_seconds[0], 3), "whole_command_seconds": round(whole[0], 3)}


def run_score(package: Path, data: Path, output: Path) -> int:
    """Score in a process of its own; returns the most memory that it held, in bytes."""
    command = [sys.executable, "-m", "nb2prod", "score", str(package), str(data), "-o", str(output), "--keep", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    # what `wait4` says includes the memory of this process, of which that one was forked
    while process.poll() is None:
        most = max(most, _most(process.pid))
        time.sleep(0.02)
    assert process.returncode == 0, f"score ended with {process.returncode}"
    return most


def _most(process: int) -> int:
    """The most memory that a process has held so far, in bytes; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def memory(work: Path) -> dict[str, Any]:
    """The most memory, in MB, that scoring with the logistic model takes, for more and more rows."""
    package = work / "logistic"
    found: dict[str, Any] = {"unit": "MB", "machine": machine()}
    for suffix, lengths in MEMORY:
        found[suffix] = {}
        for rows in lengths:
            data = work / f"rows{suffix}"
            written(package, data, rows)
            found[suffix][f"{rows:,}"] = round(run_score(package, data, work / "memory.parquet") / 1e6)
            data.unlink()
            print(suffix, rows, found[suffix][f"{rows:,}"], flush=True)
    return found


def written(package: Path, data: Path, rows: int) -> None:
    """The same hundred thousand rows again and again, as Parquet or CSV."""
    import pyarrow
    import pyarrow.parquet
    from pyarrow import csv

    piece = pyarrow.Table.from_pandas(many_rows(package, 100_000), preserve_index=False)
    kind = csv.CSVWriter if data.suffix == ".csv" else pyarrow.parquet.ParquetWriter
    with kind(data, piece.schema) as writer:
        for _ in range(rows // len(piece)):
            writer.write_table(piece)


if __name__ == "__main__":
    main()
