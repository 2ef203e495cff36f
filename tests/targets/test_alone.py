"""Steps that run by themselves, each in a process of its own, give what the notebook gave."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TypeGuard

import pytest

from nb2prod import api
from nb2prod.core.errors import FindingsError
from tests.notebook_maker import write_notebook

# one object under two names in two steps; a stream that two steps draw from; a function that reads a global
CELLS = [
    ("md", "# Rows\n\nThree of them."),
    (["parameters"], "n: int = 3  # how many\nfactor: float = 2.0\nmost: float = float('inf')\n"
                     "name: str | None = None\nlabel: str = f'{n} rows'\nstart = float(open('start.txt').read())"),
    (["imports"], "import random\nimport numpy as np"),
    (["setup"], "random.seed(5)\nnp.random.seed(7)"),
    (["functions"], "def scaled(x):\n    return x * scale"),
    (["step:load"], "rows = [start + random.random() for _ in range(n)]\nsame = rows\nscale = factor"),
    (["step:grow", "retries:2", "timeout:60", "cache:off"], "same.append(float(np.random.rand()))"),
    (["step:judge", "metric:total", "metric:drawn"],
     "total = sum(map(scaled, rows))\ndrawn = random.random() + np.random.rand()\nprint(label, name)"),
    (["step:return"], "assert total < most"),
]  # fmt: skip


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    (folder / "start.txt").write_text("1.5")
    return write_notebook(folder / "rows.ipynb", CELLS)


@pytest.fixture(scope="module")
def dag(notebook: Path) -> Path:
    folder = notebook.parent / "dag"
    api.export(notebook, "airflow", folder)
    return folder


def test_steps_in_processes_of_their_own_come_to_the_notebooks_metrics(
    notebook: Path, dag: Path, tmp_path: Path
) -> None:
    """Whatever folder they are started in: files are read where the code lies, and written where they should be."""
    result = api.run(notebook, {"n": 4}, trackers=(), runs=notebook.parent / "runs", engine="inprocess")
    environment = {"PYTHONPATH": str(dag / "code"), "PATH": os.environ["PATH"]}
    for step in ("load", "grow", "judge", "return"):
        words = [sys.executable, "-m", "rows.one_step", step, "--folder", "made", "--settings", '{"n": 4}']
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "4 rows None\n" if step == "judge" else ""), done.stderr
    assert json.loads((tmp_path / "made" / "judge.json").read_text()) == dict(result.metrics)


def test_a_dag_has_a_task_for_each_step_with_what_the_step_asks_for(dag: Path) -> None:
    text = (dag / "dag.py").read_text()
    tree = ast.parse(text)
    tasks = {f.name: ast.unparse(f.decorator_list[0]) for f in ast.walk(tree) if _is_task(f)}
    assert tasks == {
        "load": "task()",
        "grow": "task(retries=2, execution_timeout=timedelta(seconds=60))",
        "judge": "task()",
        "return_step": "task()",
    }
    assert "[load_task, grow_task] >> judge_task" in text or "grow_task >> judge_task" in text
    assert '"n": Param(3, type="integer", description="how many")' in text
    assert '"label": Param(None, type=["null", "string"])' in text
    assert '"most": Param(None, type=["null", "number"])' in text


def _is_task(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
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
