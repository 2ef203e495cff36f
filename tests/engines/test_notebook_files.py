"""Whatever form a notebook is kept in, what the kernel gets is an `.ipynb` of nbformat 4 with the same cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nb2prod import api
from nb2prod.core.errors import NotANotebook, StoreError
from nb2prod.core.pipeline import Plan
from nb2prod.engines._prepared import kernel_of, prepared
from nb2prod.stages.plan import plan
from nb2prod.stages.test import run_pytest

SCRIPT = """\
# %% tags=["parameters"]
größe: int = 3

# %% tags=["step:laden", "metric:summe"]
# %time
summe = sum(range(größe))
print("summe", summe)

# %%
# %%test laden
def test_sum():
    assert summe == 45
"""


def test_a_script_runs_and_the_executed_notebook_is_one(tmp_path: Path) -> None:
    path = tmp_path / "vorhersage.py"
    path.write_text(SCRIPT, encoding="utf-8")
    result = api.run(path, {"größe": 10}, trackers=(), runs=tmp_path / "runs")
    assert (result.status, result.metrics) == ("finished", {"summe": 45.0})
    assert [(test.id, test.outcome) for test in result.tests] == [("laden::test_sum", "passed")]
    executed = nbformat.read(result.notebook, as_version=4)
    nbformat.validate(executed)
    assert "summe 45" in "".join(
        output.get("text", "") for cell in executed.cells for output in cell.get("outputs", [])
    )
    assert path.read_text(encoding="utf-8") == SCRIPT


def test_testing_a_script_does_not_import_it(tmp_path: Path) -> None:
    """pytest takes a `.py` file that is named for a test module, and runs it on the way."""
    path = tmp_path / "library.py"
    path.write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\ndef test_it(): ...\n")
    with pytest.raises(NotANotebook, match="Python code without cells"):
        run_pytest([path], quiet=True)
    assert not (tmp_path / "ran").exists()


def planned(path: Path, content: Any) -> Plan:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8", newline="")
    return plan(api.load_pipeline(path), {}, runs=path.parent / "runs")


CODE = {"cell_type": "code", "source": "x = 1\r\ny = 2"}
OLD = {"cell_type": "code", "language": "python", "input": ["x = 1\n", "y = 2"], "prompt_number": 1, "outputs": [{}]}
FILES: list[tuple[str, Any]] = [
    ("a.ipynb", {"nbformat": 4, "nbformat_minor": 5, "cells": [{**CODE, "id": "a"}, {**CODE, "id": "a"}]}),
    ("b.ipynb", {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [{**CODE, "metadata": None}, CODE]}),
    ("c.ipynb", {"cells": [CODE, {**CODE, "outputs": None, "execution_count": "x"}]}),
    ("d.ipynb", {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [OLD, OLD]}]}),
    ("e.py", "# %%\nx = 1\ny = 2\n\n# %%\nx = 1\ny = 2\n"),
]


@pytest.mark.parametrize(("name", "content"), FILES, ids=[name for name, _ in FILES])
def test_what_the_kernel_gets_is_valid_and_nothing_is_printed(
    tmp_path: Path, name: str, content: Any, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    made = prepared(planned(tmp_path / name, content))
    nbformat.validate(made)
    assert [(cell.source, cell.outputs, cell.execution_count) for cell in made.cells] == [
        ("x = 1\ny = 2", [], None)
    ] * 2
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


def test_a_file_that_changed_since_it_was_read_is_not_run(tmp_path: Path) -> None:
    there = planned(tmp_path / "a.py", "# %%\nx = 1\n")
    (tmp_path / "a.py").write_text("# %%\nx = 2\n")
    with pytest.raises(StoreError, match="has changed since it was read"):
        prepared(there)
    (tmp_path / "a.py").write_text("# %%\nx = 1\n\n")
    assert [cell.source for cell in prepared(there).cells] == ["x = 1"], "the code is the code that was compiled"


def test_a_kernel_that_is_not_installed_says_how_to_go_on(tmp_path: Path) -> None:
    document = {"nbformat": 4, "metadata": {"kernelspec": {"name": "conda-env-x-py"}}, "cells": [CODE]}
    with pytest.raises(StoreError) as refused:
        kernel_of(planned(tmp_path / "a.ipynb", document))
    assert "--kernel python3" in refused.value.fix
    assert "'conda-env-x-py' is not installed" in refused.value.what
