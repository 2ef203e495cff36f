"""A map from its table to what it leaves: judged floors, a report, and a package that answers for every group."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
import pytest
from click.testing import CliRunner

from nb2prod import api
from nb2prod.cli import main
from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.mapping import MapSummary
from tests.notebook_maker import write_notebook

NOTEBOOK = [
    ("parameters", "import pandas as pd\nrows: pd.DataFrame = pd.DataFrame()\nshop: str = 'a'\nlimit: int = 2"),
    ("imports", "import numpy as np"),
    (
        "functions",
        "class Mean:\n    def fit(self, X, y):\n        self.mean = float(y.mean())\n        return self\n"
        "    def predict(self, X):\n        return np.full(len(X), self.mean) + X['x'].to_numpy()",
    ),
    (
        "step:fit metric:mean metric:gap model:model example:X",
        "if len(rows) < limit:\n    raise ValueError(f'{shop} has {len(rows)} rows')\n"
        "X = rows[['x']]\nmodel = Mean().fit(X, rows['y'])\nmean = model.mean\n"
        "gap = float('nan') if shop == 'c' else 0.0",
    ),
]
TABLE = pd.DataFrame({"shop": list("aabbccd"), "x": [0.0, 1, 0, 1, 0, 1, 0], "y": [1.0, 3, 10, 30, 100, 300, 1000]})


def mapped(folder: Path, **options: object) -> MapSummary:
    TABLE.to_csv(folder / "shops.csv", index=False)
    notebook = write_notebook(folder / "shops.ipynb", NOTEBOOK)
    how = {"by": ["shop"], "executor": "serial", "track": "none", "runs": folder / "runs"}
    return api.map(notebook, folder / "shops.csv", **{**how, **options})  # type: ignore[arg-type]


def test_a_map_is_judged_reported_and_packaged(tmp_path: Path) -> None:
    made = mapped(tmp_path, floors=["mean(mean) >= 1", "share(failed) <= 0.5", "max(gap) <= 1"])
    run = Path(made.directory)
    assert made.counts == {"ok": 3, "failed": 1, "timeout": 0, "lost": 0, "test_failed": 0}
    assert [(one.holds, one.value, one.missing) for one in made.judged] == [
        (True, 74.0, 0),
        (True, 0.25, 0),
        (False, 0.0, 1),
    ]
    told = json.loads((run / "floors.json").read_text())
    assert [floor["holds"] for floor in told["floors"]] == [True, True, False]
    assert "ValueError: d has 1 rows" in (run / "report.html").read_text()
    assert {path.name for path in (run / "plots").iterdir()} == {"mean.png", "gap.png"}
    with pytest.raises(NotProved, match="a floor does not hold"):
        api.package(run, tmp_path / "package")
    # judged again, without running anything
    again = api.resume_map(run, floors=["max(gap) <= 1"], allow_missing=True)
    assert ([one.holds for one in again.judged], again.before) == ([True], 4)
    package = api.package(run, tmp_path / "package", fallback="pooled")
    assert (package.parity.verdict, package.parity.paths[0].rows) == ("equal", 6)
    model = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    asked = pd.DataFrame({"shop": ["c", "a", "d"], "x": [1.0, 0.0, 0.0]})
    assert model.predict(asked).tolist() == [201.0, 2.0, TABLE["y"].mean()]
    assert api.verify(tmp_path / "package").verdict == "equal"


def test_a_floor_that_does_not_hold_is_exit_code_5_and_names_the_worst_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped_options = ["--by", "shop", "--executor", "serial", "--no-track", "--only", "shop < 'd'"]
    TABLE.to_csv(tmp_path / "shops.csv", index=False)
    write_notebook(tmp_path / "shops.ipynb", NOTEBOOK)
    monkeypatch.chdir(tmp_path)
    words = ["map", "shops.ipynb", "--over", "shops.csv", *mapped_options, "--json"]
    ran = CliRunner().invoke(main, [*words, "--floor", "min(mean) >= 50"])
    assert ran.exit_code == 5
    assert "FAILS  min(mean) >= 50   2 over 3 items that are ok" in ran.stderr
    assert "shop=a: mean 2" in ran.stderr
    assert [floor["holds"] for floor in json.loads(ran.stdout)["floors"]] == [False]
    refused = CliRunner().invoke(main, [*words, "--floor", "min(mena) >= 50"])
    assert (refused.exit_code, "did you mean mean?" in refused.stderr) == (2, True)
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_what_is_for_maps_alone_is_refused_for_other_runs(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "shops.ipynb", NOTEBOOK)
    with pytest.raises(UsageError, match="a fallback is for the models of a map"):
        api.package(notebook, tmp_path / "package", fallback="null")
