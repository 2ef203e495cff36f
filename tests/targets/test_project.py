"""An exported project is what an engineer would have written: it stands alone, and means what the notebook means."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nb2prod import api
from nb2prod.core.errors import FindingsError, UsageError
from nb2prod.core.origin import FILE
from tests.notebook_maker import Row, write_notebook

SHOP: list[Row] = [
    ("md", "# What a shop earns\n\nA week of *sales*."),
    ("", "%load_ext autoreload"),
    ("imports", "import math\nimport statistics\nfrom datetime import date\nfrom typing import Literal\nimport zlib"),
    (
        "parameters",
        "days: int = 7  # of the week\nrates: list[float] = [0.07, 0.19]\nkind: Literal['net', 'gross'] = 'gross'\n"
        "limit: float | None = None\nfirst: date = date(2024, 1, 1)\nsize: tuple[int, int] = (2, 3)\n"
        "label: str = f'{kind} of {days} days'",
    ),
    (
        "functions",
        'UNITS = {"kg", "l"}\nOFFSET = 3\n\n\n'
        "def price(day):\n    '''What a day costs.'''\n"
        "    return OFFSET + math.sqrt(day) * rates[0]  # the low rate\n\n\n"
        "def known(unit):\n    return unit in UNITS\n\n\ndef never_used():\n    return zlib.adler32(b'')",
    ),
    ("md", "## The sales\n\nOne number a day."),
    ("step:load", "# from the till\nsales = [price(day) for day in range(days)]\nprint(f'{label}: {len(sales)}')"),
    (
        "test:load",
        "import pytest\n\n\n@pytest.mark.parametrize('day', range(days))\ndef test_a_day_sells(day):\n"
        "    assert sales[day] >= 3\n\n\ndef highest():\n    return max(sales)\n\n\n"
        "def test_the_best_day_is_the_last():\n    assert highest() == sales[-1] and len(sales) == days",
    ),
    ("", "sales[:2]"),
    ("step:clean", "UNITS |= {'box'}\nkept = list(filter(known, ['kg', 'box', 'mile']))\nsales.append(100.0)\nsales"),
    ("test:clean", "assert kept == ['kg', 'box']\nassert sales[-1] == 100.0"),
    ("step:sum metric:total", "mean = statistics.mean(sales)\ntotal = sum(sales) + mean\nprint(round(total, 3))"),
]


def environment(project: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(project / "src"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """The project of a small notebook, exported with a run of it, and the run's metrics."""
    folder = tmp_path_factory.mktemp("shop")
    notebook = write_notebook(folder / "shop.ipynb", SHOP)
    result = api.run(notebook, trackers=(), runs=folder / "runs", output=folder / "out.ipynb")
    assert (result.failure, result.failed_tests) == (None, ())
    api.export(notebook, "project", folder / "project", run=result.directory)
    return folder / "project", result.metrics


def module(project: Path, name: str) -> Any:
    sys.path.insert(0, str(project / "src"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(project / "src"))


@pytest.fixture
def parse(shop: tuple[Path, dict[str, float]]) -> Any:
    return lambda *words: vars(module(shop[0], "shop.__main__").build_parser().parse_args(words))


def test_it_passes_its_own_tests_and_comes_to_the_notebooks_metrics(shop: tuple[Path, dict[str, float]]) -> None:
    project, metrics = shop
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:nb2prod", "."]
    done = subprocess.run(command, cwd=project, env=environment(project), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 passed" in done.stdout  # 7 days, 2 of the cells, 1 metric, 3 prints
    run = [sys.executable, "-m", "shop", "--output", "results"]
    ran = subprocess.run(run, cwd=project, env=environment(project), capture_output=True, text=True, check=True)
    assert json.loads((project / "results" / "metrics.json").read_text()) == metrics
    assert ran.stdout.splitlines()[0] == "gross of 7 days: 7"


def test_it_is_clean_for_ruff_and_knows_nothing_of_nb2prod(shop: tuple[Path, dict[str, float]]) -> None:
    project, _ = shop
    for words in (["check", "."], ["format", "--check", "."]):
        subprocess.run([sys.executable, "-m", "ruff", *words, "--no-cache"], cwd=project, check=True)
    # what lies there for the way back is read by nothing of the project
    files = [path for path in project.rglob("*") if path.is_file() and path.suffix != ".pyc" and path.name != FILE]
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert not any("nb2prod" in text for text in texts)


def test_steps_keep_the_authors_lines_comments_and_prose(shop: tuple[Path, dict[str, float]]) -> None:
    steps = (shop[0] / "src" / "shop" / "steps.py").read_text(encoding="utf-8")
    assert (
        "def load(days: int, rates: list[float], label: str) -> list[Any]:\n"
        '    """The sales.\n\n    One number a day.\n    """\n'
        "    # from the till\n"
        "    sales = [price(day, rates) for day in range(days)]\n"
        '    print(f"{label}: {len(sales)}")\n'
        "    return sales\n"
    ) in steps
    assert "\n    sales\n" not in steps


def test_a_function_takes_what_it_read_and_what_nobody_uses_is_left_out(shop: tuple[Path, dict[str, float]]) -> None:
    functions = (shop[0] / "src" / "shop" / "functions.py").read_text(encoding="utf-8")
    assert "def price(day, rates):" in functions
    assert "# the low rate" in functions
    assert "never_used" not in functions
    assert "zlib" not in functions


def test_what_a_function_that_is_handed_on_reads_is_a_variable_of_its_module(
    shop: tuple[Path, dict[str, float]],
) -> None:
    assert "functions.UNITS |= " in (shop[0] / "src" / "shop" / "steps.py").read_text(encoding="utf-8")


def test_the_command_line_has_the_parameters_types(parse: Any) -> None:
    import datetime

    words = "--days 3 --rates 0.5 1 --kind net --limit none --first 2025-02-03 --size 4 5"
    assert parse(*words.split(), "--output", "x") == {
        "days": 3,
        "rates": [0.5, 1.0],
        "kind": "net",
        "limit": None,
        "first": datetime.date(2025, 2, 3),
        "size": [4, 5],
        "output": Path("x"),
    }
    with pytest.raises(SystemExit):
        parse("--kind", "other")


def test_a_derived_default_is_computed_from_what_is_given(shop: tuple[Path, dict[str, float]]) -> None:
    settings = module(shop[0], "shop.settings").Settings
    assert (settings().label, settings(days=2).label) == ("gross of 7 days", "gross of 2 days")
    assert settings(label="mine").label == "mine"


def test_data_beside_the_notebook_goes_along(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("5")
    (tmp_path / "data" / "unused.txt").write_text("6")
    rows: list[Row] = [
        ("parameters", "source: str = 'data/a.txt'"),
        ("step:read metric:n", "n = float(open(source).read())"),
    ]
    api.export(write_notebook(tmp_path / "nb.ipynb", rows), "project", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "data").iterdir()] == ["a.txt"]


REFUSED: dict[str, tuple[list[Row], str]] = {
    "a step in two places": (
        [("step:a", "x = 1"), ("step:b", "y = 2"), ("step:a", "z = 3")],
        "cell 2: step a goes on here",
    ),
    "a shell line": ([("step:a", "!ls")], "--allow-shell"),
    "a magic that nobody can translate": ([("step:a", "%cd ..")], "`%cd ..` has no meaning"),
    "a name that the code does not show": ([("step:a", "x = eval('1')")], "eval\\(\\) reaches names"),
    "an import that is also a value": (
        [("imports", "import time"), ("step:a", "t = time.time()\ntime = 5")],
        "also an import",
    ),
    "a metric that changes later": (
        [("step:a metric:m", "m = 1.0"), ("step:b", "m = m + 1")],
        "`m` is a result of step a",
    ),
    "a name that may not be there": (
        [("parameters", "n: int = 1"), ("step:a", "if n > 5:\n    x = 1"), ("step:b", "print(x)")],
        "`x` may not be bound",
    ),
    "a test in the middle of its step": (
        [("step:a", "x = 1"), ("test:a", "assert x == 1"), ("step:a", "x = 2")],
        "stands between the cells",
    ),
    "a function that would see another value": (
        [("step:a", "k = 1\nf = lambda v: v * k"), ("step:b", "k = 2\nprint(f(3), k)")],
        "reads `k`, which a later step binds anew",
    ),
    "a default that the pipeline makes": (
        [("step:a", "k = 1"), ("functions", "def f(v=k):\n    return v"), ("step:b", "print(f())")],
        "reads `k` when it is defined|[Ff]unctions",
    ),
    "a value of a cell that stays behind": ([("", "x = 1"), ("step:a", "print(x)")], "exploration"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_with_cell_reason_and_fix(what: str, tmp_path: Path) -> None:
    rows, message = REFUSED[what]
    with pytest.raises(FindingsError, match=message) as refused:
        api.export(write_notebook(tmp_path / "nb.ipynb", rows), "project", tmp_path / "out")
    assert "fix: " in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_shell_lines_are_calls_when_they_are_allowed(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "!echo hello\nx = 1")])
    api.export(notebook, "project", tmp_path / "out", allow_shell=True)
    steps = (tmp_path / "out" / "src" / "nb" / "steps.py").read_text()
    assert 'subprocess.run("echo hello", shell=True, check=False)' in steps


def test_a_run_of_another_notebook_is_refused(shop: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "other.ipynb", [("step:a", "x = 1")])
    (run,) = (shop[0].parent / "runs").iterdir()
    with pytest.raises(UsageError, match="of another notebook"):
        api.export(notebook, "project", tmp_path / "out", run=run)


SHOWN = {
    "df.head()": False,
    "df.describe().round(2)": False,
    "df.groupby('x').agg({'y': 'mean'})": False,
    "ax.plot([1, 2])": True,
    "df['x'].plot.bar(rot=0)": True,
    "df.to_csv('out.csv')": True,
    "df.apply(print)": True,
    "df.info()": True,
}


def test_only_what_does_nothing_but_show_a_value_is_left_out_at_the_end_of_a_cell(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("imports", "import pandas as pd"),
        ("step:s", "df = pd.DataFrame({'x': [1]})\nax = df.x.plot()"),
    ]
    rows += [("step:s", line) for line in SHOWN]
    api.export(write_notebook(tmp_path / "nb.ipynb", rows), "project", tmp_path / "out")
    steps = (tmp_path / "out/src/nb/steps.py").read_text().replace('"', "'")
    assert {line: f"    {line}\n" in steps for line in SHOWN} == SHOWN


def test_a_variable_that_a_function_reads_wherever_it_is_called_is_declared_in_its_module(tmp_path: Path) -> None:
    rows: list[Row] = [("functions", "def f(v):\n    return v * k"), ("step:a metric:m", "k = 2\nm = sum(map(f, [1]))")]
    api.export(write_notebook(tmp_path / "nb.ipynb", rows), "project", tmp_path / "out")
    assert "\nk: Any\n" in (tmp_path / "out/src/nb/functions.py").read_text()
    subprocess.run([sys.executable, "-m", "ruff", "check", ".", "--no-cache"], cwd=tmp_path / "out", check=True)
    run = [sys.executable, "-m", "nb", "--output", "results"]
    subprocess.run(run, cwd=tmp_path / "out", env=environment(tmp_path / "out"), check=True)
    assert json.loads((tmp_path / "out/results/metrics.json").read_text()) == {"m": 2.0}


def test_a_last_comment_is_as_far_from_the_code_as_its_author_put_it(tmp_path: Path) -> None:
    """Also where a line comes after it: a notebook lets go of its figures at the end of a cell."""
    cells: list[Row] = [
        ("imports", "import matplotlib.pyplot as plt"),
        ("step:near", "plt.plot([1])\n# looked at"),
        ("step:far", "plt.plot([2])\n\n# looked at"),
    ]
    api.export(write_notebook(tmp_path / "drawn.ipynb", cells), "project", tmp_path / "project")
    text = (tmp_path / "project" / "src" / "drawn" / "steps.py").read_text()
    assert '    plt.plot([1])\n    # looked at\n    plt.close("all")\n' in text
    assert '    plt.plot([2])\n\n    # looked at\n    plt.close("all")\n' in text
