"""Cells become steps: inputs, outputs, versions, parameters, and what cannot be compiled is a finding."""

from __future__ import annotations

from pathlib import Path

from nb2prod import api
from nb2prod.core.pipeline import Pipeline
from tests.notebook_maker import Row, write_notebook


def compiled(tmp_path: Path, *rows: Row) -> Pipeline:
    return api.load_pipeline(write_notebook(tmp_path / "nb.ipynb", rows))


def edges(pipeline: Pipeline, step: str) -> set[tuple[str, str]]:
    return {(edge.version, edge.source) for edge in pipeline.step(step).edges}


def codes(pipeline: Pipeline) -> list[tuple[str, int | None]]:
    return [(finding.code, finding.cell) for finding in api.findings(pipeline) if finding.severity == "error"]


def test_a_step_takes_the_version_that_was_bound_last(tmp_path: Path) -> None:
    pipeline = compiled(
        tmp_path,
        ("step:load", "df = [1]"),
        ("step:clean", "df = df + [2]"),
        ("step:train", "model = len(df)"),
    )
    assert edges(pipeline, "clean") == {("df@c0", "load")}
    assert edges(pipeline, "train") == {("df@c1", "clean")}
    assert pipeline.step("load").outputs == ("df",)
    assert pipeline.step("train").outputs == ()


def test_a_change_in_place_is_a_new_version_and_orders_the_steps(tmp_path: Path) -> None:
    pipeline = compiled(
        tmp_path,
        ("step:a", "df = {'x': [1]}"),
        ("step:b", "df['y'] = [2]"),
        ("step:c", "df['z'] = [3]"),
        ("step:d", "print(df['y'], df['z'])"),
    )
    assert [edges(pipeline, name) for name in "bcd"] == [{("df@c0", "a")}, {("df@c1", "b")}, {("df@c2", "c")}]
    assert pipeline.step("b").changes == ("df",)


def test_several_cells_are_one_step_and_read_nothing_from_themselves(tmp_path: Path) -> None:
    pipeline = compiled(tmp_path, ("step:a", "x = 1"), ("step:a", "y = x"), ("step:b", "z = y"))
    assert pipeline.step("a").cells == (0, 1)
    assert edges(pipeline, "a") == set()
    assert edges(pipeline, "b") == {("y@c1", "a")}


def test_a_name_that_a_branch_may_leave_passes_through(tmp_path: Path) -> None:
    pipeline = compiled(
        tmp_path, ("step:a", "x = 1\nflag = True"), ("step:b", "if flag:\n    x = 2"), ("step:c", "print(x)")
    )
    assert edges(pipeline, "b") == {("flag@c0", "a"), ("x@c0", "a")}
    assert edges(pipeline, "c") == {("x@c1", "b")}


def test_parameters_reach_steps_directly_and_through_functions(tmp_path: Path) -> None:
    pipeline = compiled(
        tmp_path,
        ("parameters", "k = 3\nn = 4"),
        ("functions", "def f(v):\n    return v * k"),
        ("step:a", "y = f(2)"),
        ("step:b", "z = n + y"),
    )
    assert pipeline.step("a").parameters == ("k",)
    assert pipeline.step("b").parameters == ("n",)
    assert pipeline.step("b").inputs == ("y",)


def test_a_parameter_without_a_value_is_bound_for_the_steps_that_read_it(tmp_path: Path) -> None:
    pipeline = compiled(tmp_path, ("parameters", "n: int"), ("step:a", "print(n)"))
    assert pipeline.step("a").parameters == ("n",)
    assert "undefined-name" not in {code for code, _ in codes(pipeline)}


def test_imports_functions_and_setup_make_no_edges(tmp_path: Path) -> None:
    pipeline = compiled(
        tmp_path,
        ("imports", "import math"),
        ("functions", "LIMIT = 3\ndef f(v):\n    return min(v, LIMIT)"),
        ("setup", "scale = 2"),
        ("", "import statistics"),
        ("step:a", "x = f(math.pi) * scale + statistics.mean([1])"),
    )
    assert edges(pipeline, "a") == set()
    assert codes(pipeline) == []


def test_magics_and_tags_compile_to_the_same_steps(tmp_path: Path) -> None:
    tagged = compiled(
        tmp_path,
        ("parameters", "n: int = 1"),
        ("step:a metric:m", "m = n"),
        ("test:a", "def test_m():\n    assert m"),
        ("step:b after:a", "print('x')"),
    )
    spelled = compiled(
        tmp_path,
        ("", "%%parameters\nn: int = 1"),
        ("", "%%step a --metric m\nm = n"),
        ("", "%%test a\ndef test_m():\n    assert m"),
        ("", "%%step b --after a\nprint('x')"),
    )
    assert [(s.name, s.inputs, s.parameters, s.metrics, s.after) for s in tagged.steps] == [
        (s.name, s.inputs, s.parameters, s.metrics, s.after) for s in spelled.steps
    ]
    assert [test.id for test in tagged.all_tests] == [test.id for test in spelled.all_tests] == ["a::test_m"]
    assert (tagged.all_tests[0].line, spelled.all_tests[0].line) == (1, 2)


def test_what_has_no_trustworthy_meaning_is_an_error(tmp_path: Path) -> None:
    refused: list[tuple[tuple[Row, ...], list[tuple[str, int | None]]]] = [
        ((("step:a", "y = nowhere"),), [("undefined-name", 0)]),
        ((("step:a", "y = x"), ("step:b", "x = 1")), [("undefined-name", 0)]),
        ((("step:a", "x = 1\ndel x"), ("step:b", "y = x")), [("undefined-name", 1)]),
        ((("", "x = 1"), ("step:a", "y = x")), [("exploration-name", 1)]),
        ((("step:a", "x = 1"), ("", "x = 2"), ("step:b", "y = x")), [("exploration-name", 2)]),
        ((("", "def f():\n    return 1"), ("step:a", "y = f()")), [("exploration-name", 1)]),
        ((("Step:a", "x = 1"),), [("misspelled-tag", 0)]),
        ((("step:a", "x = ("),), [("syntax", 0)]),
        ((("step:a", "x = " + " + ".join("1" * 700)),), [("syntax", 0)]),
        ((("step:a", "x = " + "-" * 50_000 + "1"),), [("syntax", 0)]),
        ((("step:setup", "k = 1"), ("step:a", "x = k")), [("tags", 0)]),
        ((("step:a", "x = 1"), ("step:b", "y = x"), ("step:a", "x = 2")), [("interleaved-step", 2)]),
        ((("step:a after:nobody", "x = 1"),), [("unknown-step", 0)]),
        ((("step:a", "x = 1"), ("test:aa", "assert x")), [("unknown-step", 1)]),
        ((("parameters", "a = 1"), ("parameters", "b = 1")), [("two-parameter-cells", 1)]),
        ((("step:a metric:auc", "x = 1"),), [("unbound-tag", 0)]),
        ((("step:a", "x = 1"), ("step:b", "y = x"), ("step:a", "z = y")), [("cycle", 2)]),
        ((("step:a after:b", "x = 1"), ("step:b", "y = x")), [("cycle", 0)]),
        ((("step:a test:b", "x = 1"),), [("tags", 0)]),
        ((("parameters", "from typing import Literal\nk: Literal[len('a')] = 1"),), [("parameter-type", 0)]),
    ]
    for rows, expected in refused:
        assert codes(compiled(tmp_path, *rows)) == expected, rows


def test_a_cycle_shows_the_circle_and_what_runs_through_it(tmp_path: Path) -> None:
    pipeline = compiled(tmp_path, ("step:a", "x = 1"), ("step:b", "y = x"), ("step:a", "z = y"))
    (finding,) = [f for f in api.findings(pipeline) if f.code == "cycle"]
    assert "a → b → a" in finding.message or "b → a → b" in finding.message
    assert "through x, y" in finding.message


FUTURE = "from __future__ import annotations"
OF_ITSELF = "class Report:\n    def add(self) -> Report:\n        return self"
BEFORE = "def f(v: int) -> int:\n    return v"


def test_what_the_notebook_takes_from_the_future_holds_in_its_module(tmp_path: Path) -> None:
    """There an annotation may name a class that is not made yet; in a module it has to stand before all else."""
    module = compiled(
        tmp_path, ("imports", f"import math\n{FUTURE}"), ("functions", OF_ITSELF), ("step:a", "x = 1")
    ).module
    namespace: dict[str, object] = {}
    exec(compile(module.source, "module", "exec", dont_inherit=True), namespace)
    assert namespace["Report"].add.__annotations__ == {"return": "Report"}  # type: ignore[attr-defined]


def test_what_holds_for_a_part_of_the_notebook_does_not_hold_for_its_whole_module(tmp_path: Path) -> None:
    cells = (("functions", BEFORE), ("imports", FUTURE), ("functions", OF_ITSELF), ("step:a", "x = 1"))
    assert FUTURE not in compiled(tmp_path, *cells).module.source


def test_functions_and_classes_are_hoisted_with_what_they_need(tmp_path: Path) -> None:
    pipeline = compiled(
        tmp_path,
        ("imports", "import math\nimport json\nfrom sklearn.base import BaseEstimator"),
        ("functions", "LIMIT = 3\n\ndef f(v):\n    # a remark that stays\n    return math.floor(v) + LIMIT"),
        ("step:a", "class M(BaseEstimator):\n    def predict(self, X):\n        return [f(x) for x in X]\nm = M()"),
        ("step:b", "secret_sauce = 2\ndef g(v):\n    return v * secret_sauce\nprint(g(1), m)"),
    )
    module = pipeline.module
    assert module.names == ("f", "M", "g")
    assert module.unresolved == (("secret_sauce", 3),)
    assert module.imports == ("math", "sklearn")
    assert "# a remark that stays" in module.source
    namespace: dict[str, object] = {}
    exec(module.source, namespace)
    assert namespace["M"]().predict([1.5]) == [4]  # type: ignore[operator]


def test_a_notebook_named_like_a_library_gets_a_module_that_is_none(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "2024 sklearn-demo.ipynb", [("functions", "def f(): ...")])
    assert api.load_pipeline(path).module.name == "n2024_sklearn_demo_functions"


def test_other_tools_notebooks_compile_as_they_are(tmp_path: Path) -> None:
    pipeline = compiled(
        tmp_path,
        ("pipeline-parameters", "n = 3"),
        ("block:load", "x = n"),
        ("", "y = x"),
        ("block:train prev:load", "z = y"),
    )
    assert [(step.name, step.cells, step.after) for step in pipeline.steps] == [
        ("load", (1, 2), ()),
        ("train", (3,), ("load",)),
    ]
    assert codes(pipeline) == []


def test_reading_checking_and_inspecting_run_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = write_notebook(
        tmp_path / "nb.ipynb", [("parameters", f"a = open({str(marker)!r}, 'w')"), ("step:s", "b = a")]
    )
    api.check(path)
    api.inspect(path, format="json")
    assert not marker.exists()
