"""Where the check `shell-in-step` speaks, and where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod.checks import shell_in_step
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.stages.compile import compile as compile_notebook

CASES: list[tuple[str, str, list[tuple[int, str]]]] = [
    ("a shell line", "x = 1\n!ls data", [(2, "!ls data")]),
    ("its lines", "files = !ls\nfor f in files:\n    !wc {f}", [(1, "!ls"), (3, "!wc {f}")]),
    ("a cell of the shell's", "%%bash\nls\necho a", [(1, "%%bash")]),
    ("a magic that is the shell", "%sx ls", [(1, "%sx ls")]),
    ("below a magic around code", "%%time\n!ls", [(2, "!ls")]),
    ("below our magic", "%%step a\n\n!ls", [(3, "!ls")]),
    ("a magic that is not the shell", "%matplotlib inline\n%pip install x\n%env A=1", []),
    ("a comparison", "x = 1 != 2", []),
    ("a text", "print('''\n!ls\n''')", []),
    ("a comment", "# !ls", []),
    ("a remainder", "x = (7\n% 2)", []),
]


@pytest.mark.parametrize(("reason", "source", "found"), CASES, ids=[row[0] for row in CASES])
def test_a_steps_shell_lines_are_listed(reason: str, source: str, found: list[tuple[int, str]]) -> None:
    tags = () if source.startswith("%%step") else ("step:a",)
    pipeline = compile_notebook(Notebook(Path("nb.ipynb"), (Cell(0, "code", source, tags),)))
    findings = list(shell_in_step.check(pipeline))
    assert [(each.line, each.message) for each in findings] == [
        (line, f"step a calls the shell: `{text}`") for line, text in found
    ]
    assert all((each.severity, each.isolated, each.cell) == ("note", True, 0) for each in findings)


@pytest.mark.parametrize("role", ["parameters", "imports", "functions", "setup"])
def test_those_of_cells_that_every_step_has_first_are_listed_with_their_role(role: str) -> None:
    cells = (Cell(0, "code", f"%%{role}\n\nx = 1\n!ls"), Cell(1, "code", "y = x", ("step:a",)))
    findings = list(shell_in_step.check(compile_notebook(Notebook(Path("nb.ipynb"), cells))))
    assert [(each.cell, each.line, each.message, each.isolated) for each in findings] == [
        (0, 4, f"a cell tagged {role} calls the shell: `!ls`", True)
    ]


def test_of_an_exploration_cell_only_its_imports_run_in_isolated_steps() -> None:
    source = "!ls\ntry:\n    import xgboost\nexcept ImportError:\n    !pip install xgboost\n!pwd"
    found = shell_in_step.check(compile_notebook(Notebook(Path("nb.ipynb"), (Cell(0, "code", source),))))
    assert [(each.line, each.message) for each in found] == [
        (5, "an import in an exploration cell calls the shell: `!pip install xgboost`")
    ]


@pytest.mark.parametrize("tag", ["", "skip", "test:a"])
def test_the_shell_elsewhere_is_not_its_affair(tag: str) -> None:
    cells = (Cell(0, "code", "x = 1", ("step:a",)), Cell(1, "code", "!ls", (tag,) if tag else ()))
    assert list(shell_in_step.check(compile_notebook(Notebook(Path("nb.ipynb"), cells)))) == []


def test_a_password_in_a_shell_line_is_not_shown() -> None:
    line = "!git clone https://ada:tr0ub4dor@git.local/x.git"
    found = shell_in_step.check(compile_notebook(Notebook(Path("nb.ipynb"), (Cell(0, "code", line, ("step:a",)),))))
    assert [each.message for each in found] == [
        "step a calls the shell: `!git clone https://ada:********@git.local/x.git`"
    ]
