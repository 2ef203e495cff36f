"""Whether a map's package is the same bytes wherever its items ran.

python benchmarks/same_map_package.py              writes benchmarks/results/same_map_package.json

One notebook with all that could tell one build from another in its models: a class of the notebook, sets of text, an
array that is a view of the rows, text that comes from the rows and from the key, a function of the notebook in a
pipeline, a vectorizer. It is mapped over one table and packaged in processes of their own that differ in folder, home,
time zone, locale, hash seed, umask, cores, number of workers and isolation. All digests must be one.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
NOTEBOOK = (
    (
        "imports",
        "import numpy as np\nimport pandas as pd\nfrom sklearn.feature_extraction.text import TfidfVectorizer\n"
        "from sklearn.gaussian_process import GaussianProcessRegressor\nfrom sklearn.linear_model import Ridge\n"
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import FunctionTransformer",
    ),
    ("parameters", "rows: pd.DataFrame = None\nplace: str = 'a'"),
    (
        "functions",
        "def scaled(frame):\n    return frame[['x', 'z']] / 7\n\n"
        "class Both:\n"
        "    def __init__(self, place):\n"
        "        self.place, self.words = place, {'rent', 'salary', 'loan', place, 'tax'}\n"
        "    def fit(self, rows, y):\n"
        "        near = GaussianProcessRegressor(optimizer=None, random_state=0)\n"
        "        self.near = near.fit(rows[['x', 'z']].to_numpy(), y)\n"
        "        self.line = make_pipeline(FunctionTransformer(scaled), Ridge()).fit(rows, y)\n"
        "        self.text = TfidfVectorizer(stop_words=['of']).fit(rows['word'])\n"
        "        self.seen, self.first, self.last = set(rows['word']), rows['word'].iloc[0], rows['word'].iloc[-1]\n"
        "        self.kept, self.names = rows[['x', 'z']].to_numpy(), list(rows.columns)\n"
        "        return self\n"
        "    def predict(self, rows):\n"
        "        known = rows['word'].isin(sorted(self.seen)).to_numpy()\n"
        "        return self.line.predict(rows) + known * self.near.predict(rows[['x', 'z']].to_numpy())",
    ),
    (
        "step:fit model:model example:X metric:score",
        "X, y = rows[['x', 'z', 'word']], rows['y']\nmodel = Both(place).fit(X, y)\n"
        "score = float(np.abs(model.predict(X) - y).max())",
    ),
)
TABLE = """
import numpy, pandas
rng = numpy.random.default_rng(0)
n = 480
words = ["house of cards", "car", "school", "a longer text of words", "tax"]
frame = pandas.DataFrame({
    "place": rng.choice([f"place {k}" for k in range(24)], n),
    "x": rng.normal(size=n), "z": rng.normal(size=n), "word": rng.choice(words, n),
})
frame["y"] = frame["x"] * 3 + frame["z"] + rng.normal(size=n)
frame.to_parquet("rows.parquet")
"""


@dataclass(frozen=True, slots=True)
class Build:
    """How one build differs; `cores` 1 keeps it on one core."""

    name: str
    workers: int
    isolation: str = "fork"
    umask: int = 0o022
    cores: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)


BUILDS = (
    Build("here", 1, environment={"PYTHONHASHSEED": "1", "TZ": "UTC"}),
    Build(
        "a deeper/folder of somebody",
        2,
        umask=0o077,
        environment={"PYTHONHASHSEED": "77", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "de_DE.UTF-8"},
    ),
    Build("one core", 2, cores=1, environment={"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}),
    Build("shared", 2, isolation="shared", environment={"PYTHONHASHSEED": "9"}),
    Build("function", 1, isolation="function"),
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="same-") as scratch:
        home = Path(scratch)
        subprocess.run([sys.executable, "-c", TABLE], cwd=home, check=True)
        digests = {build.name: built(home, build) for build in BUILDS}
    result = {"python": platform.python_version(), "same": len(set(digests.values())) == 1, "digests": digests}
    (HERE / "results" / "same_map_package.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    if not result["same"]:
        sys.exit(1)


def built(home: Path, build: Build) -> str:
    """The digest of the package."""
    from tests.notebook_maker import write_notebook

    folder = home / build.name
    folder.mkdir(parents=True)
    notebook = write_notebook(folder / "places.ipynb", NOTEBOOK)
    say(build, folder, "map", notebook.name, "--over", "../" * (build.name.count("/") + 1) + "rows.parquet", "--by",
        "place", "--workers", str(build.workers), "--isolation", build.isolation, "--no-track")  # fmt: skip
    (run,) = (folder / "runs").iterdir()
    said = json.loads(say(build, folder, "package", str(run), "-o", "package", "--json"))
    keep = os.environ.get("NB2PROD_KEEP")  # a folder, to look at what differs
    if keep:
        subprocess.run(
            ["cp", "-r", str(folder / "package"), str(Path(keep) / build.name.replace("/", "-"))], check=True
        )
    return str(said["digest"])


def say(build: Build, folder: Path, *arguments: str) -> str:
    def begin() -> None:
        os.umask(build.umask)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: build.cores])

    done = subprocess.run(
        [sys.executable, "-m", "nb2prod", *arguments],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PYTHONPATH": str(HERE.parent), **build.environment},
        preexec_fn=begin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{build.name}: {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
