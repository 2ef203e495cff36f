"""Other tools' words are read as they mean them; what has no place here is kept, and nothing is guessed in silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Pipeline, Role
from nb2prod.language import dialects
from nb2prod.stages.compile import compile

Row = tuple[Sequence[str], str]


def notebook(*rows: Row, **metadata: Any) -> Notebook:
    """Code cells of (tags, source); a single tag `md` or `raw` makes the cell one of that kind."""
    cells = []
    for index, (tags, source) in enumerate(rows):
        kind = {"md": "markdown", "raw": "raw"}.get(tags[0] if tags else "", "code")
        cells.append(Cell(index, kind, source, tuple(tags) if kind == "code" else ()))  # type: ignore[arg-type]
    return Notebook(Path("nb.ipynb"), tuple(cells), kernel="python3", metadata=metadata)


def pipeline(*rows: Row, **metadata: Any) -> Pipeline:
    return compile(notebook(*rows, **metadata))


def roles(*rows: Row, **metadata: Any) -> list[tuple[str, str]]:
    return [(role.kind, role.name) for role in pipeline(*rows, **metadata).roles if role is not None]


def remarks(*rows: Row, **metadata: Any) -> list[tuple[int, str]]:
    return [(remark.cell, remark.message) for remark in dialects.remarks(notebook(*rows, **metadata))]


# tag, the role of a cell `x = 1` that has it alone, its options
TAGS: list[tuple[str, tuple[str, str], dict[str, tuple[str, ...]]]] = [
    # Kale
    ("imports", ("imports", ""), {}),
    ("functions", ("functions", ""), {}),
    ("pipeline-parameters", ("parameters", ""), {}),
    ("skip", ("skip", ""), {}),
    ("step:load_data", ("step", "load_data"), {}),
    ("block:load", ("step", "load"), {}),
    ("image:python:3.11-slim", ("exploration", ""), {"image": ("python:3.11-slim",)}),
    ("limit:nvidia.com/gpu:2", ("exploration", ""), {"limit": ("nvidia.com/gpu:2",)}),
    ("label:team:risk", ("exploration", ""), {"label": ("team:risk",)}),
    ("annotation:a:b", ("exploration", ""), {"annotation": ("a:b",)}),
    ("secret:db:password:DB_PASSWORD", ("exploration", ""), {"secret": ("db:password:DB_PASSWORD",)}),
    ("report:enabled", ("exploration", ""), {"report": ("enabled",)}),
    ("notebook:other", ("exploration", ""), {"notebook": ("other",)}),
    # papermill
    ("parameters", ("parameters", ""), {}),
    ("default parameters", ("parameters", ""), {}),
    ("injected-parameters", ("parameters", ""), {}),  # no other cell has them
    ("papermill-error-cell-tag", ("exploration", ""), {"papermill-error-cell-tag": ()}),
    # nbclient, nbval, nbconvert, Jupyter Book, VS Code
    ("skip-execution", ("skip", ""), {}),
    ("raises-exception", ("exploration", ""), {"raises-exception": ()}),
    ("nbval-skip", ("exploration", ""), {"nbval-skip": ()}),
    ("nbval-ignore-output", ("exploration", ""), {"nbval-ignore-output": ()}),
    ("remove-cell", ("exploration", ""), {"remove-cell": ()}),
    ("remove_input", ("exploration", ""), {"remove_input": ()}),
    ("hide-input", ("exploration", ""), {"hide-input": ()}),
    ("hide-output", ("exploration", ""), {"hide-output": ()}),
    ("remove-stderr", ("exploration", ""), {"remove-stderr": ()}),
    ("full-width", ("exploration", ""), {"full-width": ()}),
    ("outputPrepend", ("exploration", ""), {"outputPrepend": ()}),
    ("nbsphinx-thumbnail", ("exploration", ""), {"nbsphinx-thumbnail": ()}),
    ("thebe-init", ("exploration", ""), {"thebe-init": ()}),
    # soorgeon, Ploomber
    ("soorgeon-imports", ("imports", ""), {}),
    ("soorgeon-pickle", ("exploration", ""), {"soorgeon-pickle": ()}),
    ("soorgeon-unpickle", ("exploration", ""), {"soorgeon-unpickle": ()}),
    # SAME-Project
    ("same_step_2", ("step", "same_step_2"), {}),
    ("environment=default", ("exploration", ""), {"environment=default": ()}),
    # jupytext
    ("active-ipynb", ("exploration", ""), {"active-ipynb": ()}),
]


@pytest.mark.parametrize(("tag", "role", "options"), TAGS, ids=[tag for tag, *_ in TAGS])
def test_each_tag_of_another_tool_is_what_it_means(
    tag: str, role: tuple[str, str], options: dict[str, tuple[str, ...]]
) -> None:
    there = pipeline(([tag], "x = 1"))
    assert roles(([tag], "x = 1")) == [role]
    assert there.roles[0] is not None
    assert there.roles[0].options == options
    assert [f.code for f in there.findings] == []


OPTIONS = [
    ("prev:load", "after", ("load",)),
    ("cache:enabled", "cache", True),
    ("cache:disabled", "cache", False),
]


@pytest.mark.parametrize(("tag", "field", "value"), OPTIONS, ids=[tag for tag, *_ in OPTIONS])
def test_kales_words_on_a_step_are_options_of_ours(tag: str, field: str, value: object) -> None:
    role = pipeline((["step:load"], "x = 1"), (["step:b", tag, "limit:cpu:2"], "y = x")).roles[1]
    assert isinstance(role, Role)
    assert getattr(role, field) == value
    assert role.options["limit"] == ("cpu:2",)


KALE = {"kubeflow_notebook": {"pipeline_name": "p"}}


def test_an_untagged_cell_of_kales_belongs_to_the_role_above_through_skipped_cells_and_tests() -> None:
    rows: list[Row] = [
        ([], "print('exploring')"),
        (["imports"], "import math"),
        ([], "import json"),
        (["step:load"], "x = 1"),
        (["skip"], "x = 2"),
        ([], "y = x"),
        (["md"], "# Then"),
        (["test:load"], "assert y"),
        ([], "z = y"),
        ([], "# only a remark"),
        (["step:"], "w = z"),
    ]
    assert roles(*rows, **KALE) == [
        ("exploration", ""), ("imports", ""), ("imports", ""), ("step", "load"), ("skip", ""), ("step", "load"),
        ("test", "load"), ("step", "load"), ("exploration", ""), ("step", "load"),
    ]  # fmt: skip
    assert roles(*rows[3:6])[-1] == ("exploration", ""), "without Kale's words an untagged cell is exploration"
    assert remarks(*rows, **KALE) == [(0, "untagged cells belong to the role above them, as in Kale: 0, 2, 5, 8, 10")]


def test_kales_special_tags_win_over_every_other_tag_of_the_cell() -> None:
    assert roles((["step:a", "imports", "prev:b"], "import math"), **KALE) == [("imports", "")]
    assert roles((["functions", "skip"], "x = 1"), **KALE) == [("functions", "")]


def test_what_kales_metadata_says_of_every_step_comes_before_what_a_step_says() -> None:
    metadata = {"kubeflow_notebook": {"steps_defaults": ["image:base", "cache:disabled", "label:a:b"]}}
    first, second, shared = pipeline(
        (["step:a"], "x = 1"),
        (["step:b", "cache:enabled", "image:own"], "y = 1"),
        (["imports"], "import math"),
        **metadata,
    ).roles
    assert first is not None
    assert second is not None
    assert shared is not None
    assert (first.cache, first.options["image"], first.options["label"]) == (False, ("base",), ("a:b",))
    assert (second.cache, second.options["image"]) == (True, ("base", "own"))
    assert "image" not in shared.options


def test_kales_metrics_belong_to_the_step_that_binds_them_and_the_cell_to_the_last_step() -> None:
    made = pipeline(
        (["step:train"], "loss = 0.5\ndef f():\n    auc = 1"),
        (["step:evaluate"], "auc = 0.9"),
        (["pipeline-metrics"], "print(auc)\nprint(loss)"),
    )
    assert {step.name: step.metrics for step in made.steps} == {"train": ("loss",), "evaluate": ("auc",)}
    assert made.step("evaluate").cells == (1, 2)
    assert made.findings == ()


def test_metrics_that_kale_would_not_log_are_said() -> None:
    rows: list[Row] = [(["step:a"], "x = [1]"), (["pipeline-metrics"], "print(x[0])")]
    assert [message for _, message in remarks(*rows)] == [
        "the cell `pipeline-metrics` names no metric: only lines `print(NAME)` do"
    ]
    alone = pipeline((["pipeline-metrics"], "print(x)"))
    assert ("tags", "error") in [(finding.code, finding.severity) for finding in alone.findings]


def test_same_names_the_cells_above_its_first_step() -> None:
    assert roles(([], "import math"), (["same_step_1"], "x = 1"), ([], "y = x")) == [
        ("step", "same_step_0"), ("step", "same_step_1"), ("step", "same_step_1"),
    ]  # fmt: skip


def test_parameters_that_papermill_injected_are_left_out_with_a_warning() -> None:
    rows: list[Row] = [(["parameters"], "n = 1"), (["injected-parameters"], "n = 5"), (["step:a"], "x = n")]
    assert roles(*rows)[1] == ("skip", "")
    assert [(r.cell, r.severity) for r in dialects.remarks(notebook(*rows))] == [(1, "warning")]
    by_magic: list[Row] = [([], "%%parameters\nn = 1"), (["injected-parameters"], "n = 5")]
    assert roles(*by_magic)[1] == ("skip", "")


# source, (kind, options) of an untagged cell
DIRECTIVES: list[tuple[str, str, dict[str, tuple[str, ...]]]] = [
    ("#| export\ndef f(): ...", "functions", {"#|export": ()}),
    ("#|export\ndef f(): ...", "functions", {"#|export": ()}),
    ("#| exports core\ndef f(): ...", "functions", {"#|exports": ("core",)}),
    ("#| exporti\ndef f(): ...", "functions", {"#|exporti": ()}),
    ("#| default_exp core", "exploration", {"#|default_exp": ("core",)}),
    ("#| hide\nx = 1", "exploration", {"#|hide": ()}),
    ("#| eval: false\nboom()", "skip", {"#|eval": ("false",)}),
    ("#| eval: true\nx = 1", "exploration", {"#|eval": ("true",)}),
    ("#| export\n#| eval: false\nboom()", "skip", {"#|export": (), "#|eval": ("false",)}),
    ("#| exec_doc\nx = 1", "exploration", {"#|exec_doc": ()}),
    ("#| notest\nx = 1", "exploration", {"#|notest": ()}),
    ("#| filter_stream Future\nx = 1", "exploration", {"#|filter_stream": ("Future",)}),
    ("#| echo: false\n#| label: fig-roc\nx = 1", "exploration", {"#|echo": ("false",), "#|label": ("fig-roc",)}),
    ("x = 1 #| hide_line", "exploration", {}),
    ("x = 1\n#| eval: false", "exploration", {}),
    ("# export the results\nx = 1", "exploration", {}),
    ("#export\nx = 1", "exploration", {}),
    ("# NBVAL_IGNORE_OUTPUT\nx = 1", "exploration", {"nbval-ignore-output": ()}),
    ("x = 1\n# NBVAL_SKIP\ny = 2", "exploration", {"nbval-skip": ()}),
    ("s = '# NBVAL_SKIP'", "exploration", {}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "kind", "options"), DIRECTIVES, ids=[row[0] for row in DIRECTIVES])
def test_what_comments_say_is_read_at_the_top_of_a_cell(
    source: str, kind: str, options: dict[str, tuple[str, ...]]
) -> None:
    role = pipeline(([], source)).roles[0]
    assert role is not None
    assert (role.kind, role.options) == (kind, options)


def test_a_role_of_ours_says_more_than_an_exported_cell() -> None:
    assert roles((["step:a"], "#| export\nx = 1")) == [("step", "a")]


def test_nbdev_1_is_read_where_a_cell_names_the_module() -> None:
    assert roles(([], "# default_exp core"), ([], "#export\ndef f(): ..."), ([], "# export all of it\nx = 1")) == [
        ("exploration", ""), ("functions", ""), ("exploration", ""),
    ]  # fmt: skip


def test_nbdevs_metadata_counts_and_the_notebooks_for_the_first_code_cell() -> None:
    assert roles((["md"], "# T"), ([], "def f(): ..."), ([], "x = 1"), nbdev={"export": "true"}) == [
        ("functions", ""), ("exploration", ""),
    ]  # fmt: skip
    cell = Cell(0, "code", "#| eval: false\nboom()", metadata={"nbdev": {"eval": "true"}})
    role = compile(Notebook(Path("nb.ipynb"), (cell,))).roles[0]
    assert role is not None
    assert role.kind == "skip", "what a comment says wins"


DATABRICKS = {"application/vnd.databricks.v1+notebook": {}}
REMARKS: list[tuple[list[Row], dict[str, Any], int, str]] = [
    ([(["raw"], "---\ntitle: x\nskip_exec: true\n---")], {}, 0, "`skip_exec: true` keeps nbdev from running"),
    ([(["parameters"], "upstream = ['load']\nproduct = None")], {}, 0, "Ploomber gives `upstream` and `product`"),
    ([([], "%%cell_to_module features\ndef f(): ...")], {}, 0, "%%cell_to_module makes a module"),
    ([([], "x = 1\ndf = dbutils.fs.ls('/')")], DATABRICKS, 0, "`dbutils` works inside"),
    ([([], "%run ./other")], DATABRICKS, 0, "`%run ./other` works inside"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "metadata", "cell", "said"), REMARKS, ids=[row[3] for row in REMARKS])
def test_what_only_the_other_tool_can_do_is_said(
    rows: list[Row], metadata: dict[str, Any], cell: int, said: str
) -> None:
    found = remarks(*rows, **metadata)
    assert [there for there, _ in found] == [cell]
    assert found[0][1].startswith(said)


@pytest.mark.parametrize(
    "row", [(["parameters"], "n = 1"), ([], "upstream = 1"), ([], "%run other.py"), ([], "dbutils.x")]
)
def test_an_ordinary_notebook_is_read_without_a_remark(row: Row) -> None:
    assert remarks(row) == []


@pytest.mark.parametrize("magic", ["%%ipytest", "%%ipytest -qq -x", "%%run_pytest[clean] -v"])
def test_a_cell_that_ipytest_runs_is_a_test_of_the_pipeline(magic: str) -> None:
    made = pipeline(([], f"{magic}\n\ndef test_it():\n    assert True"))
    assert [(test.name, test.step, test.line) for test in made.tests] == [("test_it", None, 3)]


FOREIGN_SLIPS = [
    ("raise-exception", "raises-exception"),
    ("skip_execution", "skip-execution"),
    ("my-own", None),
]


@pytest.mark.parametrize(("tag", "meant"), FOREIGN_SLIPS)
def test_a_slip_in_another_tools_word_finds_that_word(tag: str, meant: str | None) -> None:
    assert dialects.near(tag) == meant


@pytest.mark.parametrize("name", dialects.every())
def test_each_dialect_has_its_page_with_every_tag(name: str) -> None:
    module = __import__(f"nb2prod.language.dialects.{name}", fromlist=["DIALECT"])
    page = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")
    assert module.__doc__.strip() in page
    assert "| --- |" in module.__doc__ or not dialects.every()[name].tags
