"""Steps that run by themselves, each in a process of its own, give what the notebook gave."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nb2prod import api
from nb2prod.core.errors import FindingsError
from tests.notebook_maker import write_notebook

# one object under two names in two steps; a stream that two steps draw from; a function that reads a global
CELLS = [
    ("md", "# Rows\n\nThree of them."),
    (["parameters"], "n: int = 3  # how many\nfactor: float = 2.0\nname: str | None = None\nlabel: str = f'{n} rows'"),
    (["imports"], "import random\nimport numpy as np"),
    (["setup"], "random.seed(5)\nnp.random.seed(7)"),
    (["functions"], "def scaled(x):\n    return x * scale"),
    (["step:load"], "rows = [random.random() for _ in range(n)]\nsame = rows\nscale = factor"),
    (["step:grow", "retries:2", "timeout:60", "cache:off"], "same.append(float(np.random.rand()))"),
    (["step:judge", "metric:total", "metric:drawn"],
     "total = sum(map(scaled, rows))\ndrawn = random.random() + np.random.rand()\nprint(label, name)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notebook(tmp_path_factory.mktemp("alone") / "rows.ipynb", CELLS)


@pytest.fixture(scope="module")
def dag(notebook: Path) -> Path:
    folder = notebook.parent / "dag"
    api.export(notebook, "airflow", folder)
    return folder


def test_steps_in_processes_of_their_own_come_to_the_notebooks_metrics(notebook: Path, dag: Path) -> None:
    result = api.run(notebook, {"n": 4}, trackers=(), runs=notebook.parent / "runs", engine="inprocess")
    made = notebook.parent / "made"
    for step in ("load", "grow", "judge"):
        words = ["-m", "rows.one_step", step, "--folder", str(made), "--settings", '{"n": 4}']
        done = subprocess.run([sys.executable, *words], cwd=dag / "code", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "4 rows None\n"
    assert json.loads((made / "judge.json").read_text()) == dict(result.metrics)


def test_a_dag_has_a_task_for_each_step_with_what_the_step_asks_for(dag: Path) -> None:
    text = (dag / "dag.py").read_text()
    tree = ast.parse(text)
    tasks = {f.name: ast.unparse(f.decorator_list[0]) for f in ast.walk(tree) if _is_task(f)}
    assert tasks == {
        "load": "task()",
        "grow": "task(retries=2, execution_timeout=timedelta(seconds=60))",
        "judge": "task()",
    }
    assert "[load_task, grow_task] >> judge_task" in text or "grow_task >> judge_task" in text
    assert '"n": Param(3, type="integer", description="how many")' in text
    assert '"label": Param(None, type=["null", "string"])' in text


def _is_task(node: Any) -> bool:
    return isinstance(node, ast.FunctionDef) and bool(node.decorator_list) and node.name != "pipeline"


def test_a_step_that_changes_options_of_its_process_is_refused(tmp_path: Path) -> None:
    cells = [(["imports"], "import os"), (["step:a"], "os.environ['MODE'] = 'x'\nb = 1"), (["step:c"], "print(b)")]
    notebook = write_notebook(tmp_path / "nb.ipynb", cells)
    with pytest.raises(FindingsError, match="move it to a cell tagged setup"):
        api.export(notebook, "airflow", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_parameter_that_nobody_can_give_is_refused(tmp_path: Path) -> None:
    cells = [(["parameters"], "from typing import Any\nrows: Any = ..."), (["step:a"], "print(len(rows))")]
    notebook = write_notebook(tmp_path / "nb.ipynb", cells)
    with pytest.raises(FindingsError, match="which no scheduler can give"):
        api.export(notebook, "airflow", tmp_path / "out")


def test_two_parameters_never_become_one_name() -> None:
    from nb2prod.targets._alone.fields import ascii_names

    assert ascii_names(["höhe", "hohe", "日"]) == {"höhe": "hohe", "hohe": "hohe_1", "日": "name_2"}
