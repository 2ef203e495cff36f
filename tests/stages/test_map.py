"""`nb2prod map`: the pipeline once per row or group of a table, in all three isolations."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nb2prod import api
from nb2prod.core.errors import BadParameter, NotebookFailed, StoreError, UsageError
from nb2prod.core.mapping import Item, ItemResult, MapPlan, MapSummary
from nb2prod.kernel import map_work
from nb2prod.stages import map as stage
from nb2prod.stages.mapping.batches import Batches
from nb2prod.stages.mapping.jobs import job_of
from nb2prod.stages.mapping.table import Wanted
from tests.notebook_maker import Row, write_notebook

IMPORTS = ("imports", "import os\nimport random")
SQUARE: Sequence[Row] = (
    IMPORTS,
    ("parameters", "n: int = 2\nkind: str = 'plain'\ntwice = n * 2"),
    ("functions", "def squared(x):\n    return x * x"),
    ("step:work metric:y metric:z", "y = squared(n)\nz = twice\nprint(kind, n)"),
)


PLAIN: dict[str, Any] = {"workers": 1, "track": "none", "isolation": "function"}


class Heard:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.results: list[ItemResult] = []
        self.plan: MapPlan | None = None
        self.summary: MapSummary | None = None

    def begin(self, plan: MapPlan, total: int) -> None:
        self.plan = plan

    def hear(self, results: Sequence[ItemResult]) -> None:
        self.results += results

    def end(self, summary: MapSummary) -> None:
        self.summary = summary

    @property
    def by_number(self) -> dict[int, ItemResult]:
        return {result.number: result for result in self.results}


def run(tmp_path: Path, rows: Sequence[Row], table: Mapping[str, Sequence[Any]], **options: Any) -> Heard:
    """Map a notebook over a CSV file, with one worker and without MLflow."""
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    path = tmp_path / "table.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    heard = Heard()
    settings = {"workers": 1, "track": "none", "runs": tmp_path / "runs", "sinks": [heard], "tests": False}
    api.map(notebook, path, **{**settings, **options})
    return heard


def refused(tmp_path: Path, rows: Sequence[Row], table: Mapping[str, Sequence[Any]], **options: Any) -> str:
    """What a map is refused with; nothing has been written then."""
    with pytest.raises((UsageError, StoreError)) as found:
        run(tmp_path, rows, table, **options)
    assert not (tmp_path / "runs").exists()
    return str(found.value)


# -- items ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["fork", "shared", "function"])
def test_every_row_is_an_item_with_its_own_parameters_and_what_derives_from_them(
    tmp_path: Path, isolation: str
) -> None:
    heard = run(tmp_path, SQUARE, {"n": [3, 4, 5], "kind": ["a", "b", "001"]}, isolation=isolation)
    found = heard.by_number
    assert [found[n].metrics for n in range(3)] == [{"y": 9, "z": 6}, {"y": 16, "z": 8}, {"y": 25, "z": 10}]
    assert [found[n].printed for n in range(3)] == ["a 3\n", "b 4\n", "001 5\n"]
    assert {result.status for result in heard.results} == {"ok"}


GROUPS: Sequence[Row] = (
    ("imports", "import pandas as pd"),
    (
        "parameters",
        "rows: pd.DataFrame = pd.read_csv('nowhere.csv')\ncode: str = '0'\nscale: float = 1.0\nn = len(rows)",
    ),
    (
        "step:work metric:total metric:count",
        "total = scale * rows['x'].sum()\ncount = n\nfirst = rows.index[0]\nassert first == 0",
    ),
)


@pytest.mark.parametrize("isolation", ["fork", "function"])
def test_a_groups_rows_reach_the_only_parameter_that_is_a_frame_and_its_default_is_not_evaluated(
    tmp_path: Path, isolation: str
) -> None:
    table = {"code": ["01", "02", "01", "03", "02"], "x": [1, 2, 3, 4, 5], "other": list("abcde")}
    heard = run(tmp_path, GROUPS, table, by=["code"], min_rows=2, texts={"scale": "10"}, isolation=isolation, workers=2)
    found = [heard.by_number[n] for n in sorted(heard.by_number)]
    # "01" stays a text, as the parameter is one
    assert [(r.key, r.metrics) for r in found] == [
        ({"code": "01"}, {"total": 40.0, "count": 2.0}),
        ({"code": "02"}, {"total": 70.0, "count": 2.0}),
    ]
    assert heard.summary is not None
    assert heard.summary.left_out == 1


def test_only_and_limit_choose_items_and_keep_their_numbers(tmp_path: Path) -> None:
    heard = run(
        tmp_path,
        SQUARE,
        {"n": [1, 2, 3, 4, 5], "kind": list("abcab")},
        only="kind != 'a'",
        limit=2,
        isolation="function",
    )
    assert {number: result.metrics["y"] for number, result in heard.by_number.items()} == {1: 4, 2: 9}


def test_an_empty_cell_is_none_where_the_parameter_takes_it(tmp_path: Path) -> None:
    rows: Sequence[Row] = (("parameters", "n: int | None = 1"), ("step:a metric:y", "y = -1.0 if n is None else n"))
    (tmp_path / "t.csv").write_text("n\n7\n\n8\n")
    heard = Heard()
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    api.map(notebook, tmp_path / "t.csv", **PLAIN, runs=tmp_path / "runs", sinks=[heard])
    assert {number: result.metrics["y"] for number, result in heard.by_number.items()} == {0: 7, 1: -1, 2: 8}


def test_a_parquet_files_values_keep_their_types(tmp_path: Path) -> None:
    rows: Sequence[Row] = (
        (
            "parameters",
            "from datetime import date\nday: date = date(2020, 1, 1)\nshare: float = 0.5\nsure: bool = True",
        ),
        ("step:a metric:y", "y = day.year + share + (10 if sure else 20)"),
    )
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    days = [pd.Timestamp("2021-05-06").date(), pd.Timestamp("2022-05-06").date()]
    pd.DataFrame({"day": days, "share": [0, 1], "sure": [True, False]}).to_parquet(tmp_path / "t.parquet")
    heard = Heard()
    summary = api.map(notebook, tmp_path / "t.parquet", **PLAIN, runs=tmp_path / "runs", sinks=[heard])
    assert [heard.by_number[n].metrics["y"] for n in (0, 1)] == [2031.0, 2043.0]
    table = pd.read_parquet(summary.results)
    assert list(table["params.day"]) == days


# -- what is refused before anything runs -----------------------------------------------------------------------------


def test_a_column_that_is_no_parameter_is_refused_with_the_near_one(tmp_path: Path) -> None:
    assert "column knid is no parameter" in (said := refused(tmp_path, SQUARE, {"n": [1], "knid": ["a"]}))
    assert "did you mean kind?" in said


def test_a_value_of_the_wrong_type_is_refused_with_row_column_and_value(tmp_path: Path) -> None:
    said = refused(tmp_path, SQUARE, {"n": ["1", "2.5"]})
    assert "row 2, column n: the parameter expects int, and was given '2.5'" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"texts": {"n": "3"}}, "parameter n is given by the table"),
        ({"texts": {"m": "3"}}, "unknown parameter m"),
        ({"only": "n +"}, "cannot be said of the table"),
        ({"only": "n + 1"}, "neither true nor false"),
        ({"only": "n > 100"}, "no item is left"),
        ({"by": ["n"]}, "no parameter is a DataFrame"),
        ({"min_rows": 3}, "--by COLUMNS says what a group is"),
        ({"executor": "nowhere"}, "nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    assert said in refused(tmp_path, SQUARE, {"n": [1, 2]}, **options)


def test_a_group_column_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    assert "did you mean code?" in refused(tmp_path, GROUPS, {"code": ["1"], "x": [1]}, by=["cod"])
    said = refused(tmp_path, GROUPS, {"code": ["1", None], "x": [1, 2]}, by=["code"])
    assert "row 2, column code: the key is empty" in said


def test_a_row_with_too_few_values_is_refused(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", SQUARE)
    (tmp_path / "t.csv").write_text("n,kind\n1,a\n2\n")
    with pytest.raises(StoreError, match="row 2 has 1 values"):
        api.map(notebook, tmp_path / "t.csv", track="none")
    with pytest.raises(StoreError, match="there is no such table"):
        api.map(notebook, tmp_path / "none.csv", track="none")


def test_code_that_all_items_share_and_that_fails_stops_the_map_with_its_place(tmp_path: Path) -> None:
    rows = [("imports", "import os\n\nraise ValueError('no')"), *SQUARE[1:]]
    with pytest.raises(NotebookFailed, match=r"cell 0, line 3: .*ValueError: no"):
        run(tmp_path, rows, {"n": [1]})


def test_mode_function_refuses_what_needs_ipython(tmp_path: Path) -> None:
    rows = [*SQUARE, ("step:more", "%time x = 1")]
    assert "cell 4, line 1: `%time x = 1` needs IPython" in refused(tmp_path, rows, {"n": [1]}, isolation="function")
    rows = [*SQUARE, ("step:more", "display(y)")]
    assert "`display` needs IPython" in refused(tmp_path, rows, {"n": [1]}, isolation="function")


# -- failures are results ---------------------------------------------------------------------------------------------

TROUBLE: Sequence[Row] = (
    IMPORTS,
    ("parameters", "n: int = 0"),
    ("functions", "def check(n):\n    if n == 1:\n        raise ValueError(f'bad {n}')"),
    (
        "step:work metric:y",
        "import time\ny = n\n\ncheck(n)\nif n == 2:\n    os._exit(3)\nif n == 3:\n    os.kill(os.getpid(), 9)\n"
        "if n == 4:\n    time.sleep(60)",
    ),
)


@pytest.mark.parametrize("isolation", ["fork", "function"])
def test_an_item_that_fails_dies_or_takes_too_long_is_a_result_and_the_others_go_on(
    tmp_path: Path, isolation: str
) -> None:
    heard = run(tmp_path, TROUBLE, {"n": [0, 1, 2, 3, 4, 5]}, timeout=1.0, isolation=isolation)
    found = heard.by_number
    assert [found[n].status for n in range(6)] == ["ok", "failed", "lost", "lost", "timeout", "ok"]
    assert (found[1].step, found[1].cell, found[1].line, found[1].error) == ("work", 3, 4, "ValueError: bad 1")
    assert "exited with code 3" in found[2].error
    assert "SIGKILL" in found[3].error
    assert len(heard.results) == 6
    assert heard.summary is not None
    assert heard.summary.failed == 4


TRIED: Sequence[Row] = (
    IMPORTS,
    ("parameters", "n: int = 0"),
    ("setup", "def ask(times):\n    tries = 'x' * os.path.exists(f'tried-{n}')\n    open(f'tried-{n}', 'w').close()\n"
     "    if len(tries) < times:\n        raise ConnectionResetError('no answer')"),
    ("step:load", "import time\nrows = [1]"),
    ("step:fetch timeout:0.7 retries:1 retry-on:ConnectionError metric:y", "rows.append(2)\ny = len(rows)\nask(n % 3)\n"
     "if n == 3:\n    raise ValueError(f'{y} rows')\nif n == 0:\n    time.sleep(60)"),
    ("step:end", "time.sleep(0.8 * (n == 1))"),
)  # fmt: skip


@pytest.mark.parametrize("isolation", ["fork", "function"])
def test_a_steps_own_limit_and_tries_hold_in_every_item(tmp_path: Path, isolation: str) -> None:
    """The second try finds what the first one found; the wait between both is no part of the step's time."""
    found = run(tmp_path, TRIED, {"n": [0, 1, 2, 3]}, isolation=isolation).by_number
    assert [found[n].status for n in range(4)] == ["timeout", "ok", "failed", "failed"]
    late = found[0]
    assert (late.step, late.cell, late.error, late.seconds) == ("fetch", 4, "step fetch took longer than 0.7 s", 0.7)
    assert found[1].metrics == {"y": 2.0}
    assert (found[2].error, found[2].line) == ("ConnectionResetError: no answer", 3)
    assert (found[3].error, found[3].line) == ("ValueError: 2 rows", 5)


def test_a_failing_test_keeps_the_items_metrics_and_says_what_did_not_hold(tmp_path: Path) -> None:
    rows = [*SQUARE, ("test:work", "def test_small():\n    assert y < 10"), ("test:work", "assert z > 0")]
    heard = run(tmp_path, rows, {"n": [2, 4]}, tests=True)
    bad = heard.by_number[1]
    assert heard.by_number[0].status == "ok"
    assert (bad.status, bad.metrics["y"], bad.cell, bad.step) == ("test_failed", 16.0, 4, "work")
    assert "assert 16 < 10" in bad.error


def test_a_metric_that_is_not_there_fails_the_item(tmp_path: Path) -> None:
    rows: Sequence[Row] = (("parameters", "n: int = 0"), ("step:a metric:y", "if n:\n    y = 1.0"))
    heard = run(tmp_path, rows, {"n": [0, 1]}, isolation="function")
    assert heard.by_number[0].status == "failed"
    assert "metric y is not there" in heard.by_number[0].error
    assert heard.by_number[1].metrics == {"y": 1.0}


# -- items do not see each other --------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["fork", "shared", "function"])
def test_items_begin_where_the_shared_cells_ended(tmp_path: Path, isolation: str) -> None:
    """Names, what shared cells made and steps change, random streams, options and the environment."""
    rows: Sequence[Row] = (
        ("imports", "import os, random, warnings\nimport numpy as np"),
        ("parameters", "n: int = 0"),
        ("setup", "random.seed(1)\nseen = []"),
        ("functions", "def note(x):\n    seen.append(x)"),
        (
            "step:a metric:length metric:draw metric:options",
            "note(n)\nlength = len(seen)\ndraw = random.random()\n"
            "options = np.get_printoptions()['precision'] + len(os.environ.get('N_SEEN', ''))\n"
            "np.set_printoptions(precision=3)\nos.environ['N_SEEN'] = 'yes'",
        ),
    )
    heard = run(tmp_path, rows, {"n": [1, 2, 3]}, isolation=isolation)
    assert {result.status for result in heard.results} == {"ok"}, heard.results[0].error
    assert len({tuple(result.metrics.items()) for result in heard.results}) == 1
    assert heard.results[0].metrics["length"] == 1
    assert heard.results[0].metrics["options"] == 8


def test_items_that_nobody_seeded_draw_numbers_of_their_own(tmp_path: Path) -> None:
    rows: Sequence[Row] = (
        ("imports", "import random\nimport numpy as np"),
        ("parameters", "n: int = 0"),
        ("setup", "rng = np.random.default_rng()"),
        ("step:a metric:x metric:y metric:z", "x = random.random()\ny = np.random.random()\nz = rng.random()"),
    )
    heard = run(tmp_path, rows, {"n": [1, 2, 3]})
    for name in "xyz":
        assert len({result.metrics[name] for result in heard.results}) == 3


@pytest.mark.parametrize("isolation", ["fork", "shared", "function"])
def test_what_an_item_leaves_behind_stops_a_map_without_forks_and_is_gone_with_a_fork(
    tmp_path: Path, isolation: str
) -> None:
    (tmp_path / "counting_beside.py").write_text(
        "seen = []\n\ndef count():\n    seen.append(1)\n    return len(seen)\n"
    )
    rows: Sequence[Row] = (
        ("imports", "import counting_beside"),
        ("parameters", "n: int = 0"),
        ("step:a metric:y", "y = counting_beside.count()"),
    )
    if isolation == "fork":
        assert [result.metrics["y"] for result in run(tmp_path, rows, {"n": [1, 2]}).results] == [1, 1]
        return
    with pytest.raises(UsageError, match="the module counting_beside keeps, which the next item would see") as found:
        run(tmp_path, rows, {"n": [1, 2]}, isolation=isolation)
    assert "--isolation fork" in str(found.value)


def test_an_item_measures_what_a_run_of_the_notebook_measures(tmp_path: Path) -> None:
    rows: Sequence[Row] = (
        ("imports", "import random\nimport numpy as np"),
        ("parameters", "n: int = 1\ntwice = n * 2"),
        ("setup", "random.seed(7)\nnp.random.seed(7)\nlog = []"),
        ("functions", "def draw(k):\n    log.append(k)\n    return sum(random.random() for _ in range(k))"),
        ("step:a metric:x", "x = draw(n) + np.random.normal()"),
        ("step:b metric:y", "y = draw(twice) + len(log)"),
    )
    heard = run(tmp_path, rows, {"n": [3]})
    result = api.run(tmp_path / "nb.ipynb", {"n": 3}, trackers=(), runs=tmp_path / "runs")
    assert heard.results[0].metrics == result.metrics


def test_setup_that_reads_a_parameter_runs_for_each_item(tmp_path: Path) -> None:
    rows: Sequence[Row] = (
        ("imports", "import random"),
        ("parameters", "seed: int = 0"),
        ("setup", "random.seed(seed)"),
        ("step:a metric:y", "y = random.random()"),
    )
    heard = run(tmp_path, rows, {"seed": [1, 2, 1]})
    found = heard.by_number
    assert found[0].metrics == found[2].metrics != found[1].metrics


# -- a map that goes on -----------------------------------------------------------------------------------------------


def test_a_killed_map_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "nb.ipynb",
        [
            ("imports", "import time"),
            ("parameters", "n: int = 0"),
            ("step:a metric:y", "y = n\ntime.sleep(0.05)"),
        ],
    )
    pd.DataFrame({"n": range(40)}).to_csv(tmp_path / "t.csv", index=False)
    code = f"from nb2prod import api; api.map({notebook.name!r}, 't.csv', **{PLAIN})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(_lines(path) > 3 for path in _journals(tmp_path)):
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (journal,) = _journals(tmp_path)
    with journal.open("ab") as file:
        file.write(b'{"number": 39, "sta')  # what a kill in the middle of a line leaves
    done = _lines(journal)
    assert 3 < done < 40
    heard = Heard()
    summary = api.resume_map(journal.parent, sinks=[heard])
    assert (summary.done, summary.before, summary.counts["ok"]) == (40, done, 40)
    assert sorted(result.number for result in heard.results) == list(range(40))
    assert pd.read_parquet(summary.results)["metrics.y"].tolist() == [float(n) for n in range(40)]
    notebook.write_text(notebook.read_text().replace("y = n", "y = n + 1"))
    with pytest.raises(UsageError, match="code is not what it was"):
        api.resume_map(journal.parent)


def _journals(folder: Path) -> list[Path]:
    return list(folder.glob("runs/*/items.jsonl"))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def test_a_map_does_not_go_on_with_another_table(tmp_path: Path) -> None:
    heard = run(tmp_path, SQUARE, {"n": [1, 2]}, isolation="function")
    assert heard.plan is not None
    (tmp_path / "table.csv").write_text("n\n1\n3\n")
    with pytest.raises(StoreError, match="table is not what it was"):
        api.resume_map(heard.plan.directory)


def test_a_secret_is_in_no_file_of_the_run_and_must_be_given_again(tmp_path: Path) -> None:
    rows = [("parameters", "n: int = 0\napi_key: str = ''"), ("step:a metric:y", "y = len(api_key) + n")]
    heard = run(tmp_path, rows, {"n": [1, 2]}, texts={"api_key": "s3cr3t-w0rd"}, isolation="function")
    assert heard.by_number[0].metrics["y"] == 12
    assert heard.plan is not None
    folder = Path(heard.plan.directory)
    assert not [path for path in folder.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]
    with pytest.raises(BadParameter, match="api_key is not kept"):
        api.resume_map(folder)


# -- models and executors ---------------------------------------------------------------------------------------------

MODELS: Sequence[Row] = (
    ("imports", "import pandas as pd\nfrom sklearn.linear_model import Ridge"),
    ("parameters", "rows: pd.DataFrame = pd.DataFrame()\nalpha: float = 1.0"),
    ("functions", "class Shifted(Ridge):\n    def predict(self, X):\n        return super().predict(X) + 1"),
    (
        "step:train model:model metric:first",
        "model = Shifted(alpha=alpha).fit(rows[['x']], rows['y'])\nfirst = model.predict(rows[['x']])[0]",
    ),
)


def test_models_rest_in_shards_and_load_with_the_notebooks_module(tmp_path: Path) -> None:
    import pickle

    from nb2prod.storage.model_formats import importable, of_its_own
    from nb2prod.storage.shards import ShardReader

    table = {"g": [1, 1, 1, 2, 2, 2], "x": [1.0, 2, 3, 1, 2, 3], "y": [1.0, 2, 4, 5, 5, 6]}
    heard = run(tmp_path, MODELS, table, by=["g"], isolation="shared")
    assert heard.plan is not None
    for result in heard.results:
        assert result.model is None
        assert result.kept is not None
        with ShardReader(Path(heard.plan.directory)) as reader, importable(of_its_own(heard.plan.pipeline.module)):
            model = pickle.loads(reader.read(result.kept))
        assert model.predict(pd.DataFrame({"x": [1.0]}))[0] == result.metrics["first"]


def test_any_standard_executor_can_do_the_work_and_an_item_that_breaks_it_is_lost(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", SQUARE)
    pd.DataFrame({"n": range(6)}).to_csv(tmp_path / "t.csv", index=False)
    plan, items = stage.plan_map(
        api.load_pipeline(notebook),
        tmp_path / "t.csv",
        Wanted(),
        stage.How(isolation="function"),
        values={},
        texts={},
        runs=tmp_path,
    )
    opened: list[Executor] = []

    def open_executor() -> Executor:
        opened.append(ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"), initializer=_kill_on_3))
        return opened[-1]

    batches = Batches(job_of(plan), None, 2, open_executor)
    try:
        found = {result.number: result for results in batches.results(items.items) for result in results}
    finally:
        batches.close()
    assert [found[n].status for n in range(6)] == ["ok", "ok", "ok", "lost", "ok", "ok"]
    assert found[5].metrics["y"] == 25
    assert len(opened) > 1


def _kill_on_3() -> None:
    """In the pool's process: the one that is given item 3 is killed, as by a machine without memory."""
    real = map_work.work

    def work(job: Any, items: Sequence[Item], frame: bytes = b"") -> list[ItemResult]:
        if any(item.number == 3 for item in items):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(job, items, frame)

    map_work.work = work


def test_the_command_line_prints_one_document_and_says_failures_by_its_exit_code(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", TROUBLE)
    (tmp_path / "t.csv").write_text("n\n0\n1\n")
    command = [sys.executable, "-m", "nb2prod", "map", notebook.name, "--over", "t.csv", "--no-track", "--json"]
    command += ["--isolation", "function"]
    done = subprocess.run([*command, "--fail-on", "any"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["counts"] | {"ok": 1, "failed": 1} == document["counts"]
    assert document["failures"] == [{"message": "cell 3: ValueError: bad 1", "items": 1}]
    assert "1 × cell 3: ValueError: bad 1" in done.stderr
    assert pd.read_parquet(tmp_path / document["results"])["status"].tolist() == ["ok", "failed"]
