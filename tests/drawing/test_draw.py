"""Drawing a pipeline: whatever its steps are called, all of it is there, nothing lies on anything else."""

from __future__ import annotations

import itertools
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import (
    Edge,
    HoistedModule,
    NotebookTest,
    Parameter,
    ParameterType,
    Pipeline,
    Step,
)
from nb2prod.core.result import Result, StepResult
from nb2prod.drawing.draw import Drawing, as_mermaid, as_svg, as_text
from nb2prod.drawing.layout import laid_out
from nb2prod.drawing.svg_text import fitted, measured
from nb2prod.drawing.words import cells_of, columns_of, cut, printable
from nb2prod.stages.compile import compile

SVG = "{http://www.w3.org/2000/svg}"
odd_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40) | st.sampled_from(
    [
        "<&\"'>",
        "]]>",
        "Größe_größer",
        "数据清洗步骤",
        "x" * 90,
        "a\x00b",
        "--",
        "#1;",
        "`step`",
        "e\u0301te\u0301",
        "‮abc",
    ]
)


def step(name: str, *edges: tuple[str, str], **more: object) -> Step:
    """A step with edges (name, source)."""
    found = tuple(Edge(edge, f"{edge}@c0", source, "assumed") for edge, source in edges)
    inputs = tuple(dict.fromkeys(edge for edge, _ in edges))
    return Step(name, cells=(1,), inputs=inputs, edges=found, **more)  # type: ignore[arg-type]


def pipeline_of(*steps: Step, parameters: Sequence[Parameter] = ()) -> Pipeline:
    notebook = Notebook(Path("some.ipynb"), ())
    return Pipeline(notebook, (), tuple(parameters), steps, (), HoistedModule("some", ""))


def parameter(name: str, expression: str, help: str = "", *, secret: bool = False) -> Parameter:
    return Parameter(name, ParameterType("int", "int"), None, expression, 0, 1, help=help, secret=secret)


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """A random DAG, sometimes with a cycle or an order; every name may be anything."""
    names = draw(st.lists(odd_names, min_size=1, max_size=9, unique_by=printable))
    steps = []
    for position, name in enumerate(names):
        sources = draw(st.lists(st.sampled_from(names[: max(position, 1)]), max_size=3, unique=True))
        edges = [(draw(odd_names), source) for source in sources if source != name]
        more = {
            "after": tuple(draw(st.lists(st.sampled_from(names), max_size=1))),
            "metrics": tuple(draw(st.lists(odd_names, max_size=2, unique=True))),
            "parameters": tuple(draw(st.lists(odd_names, max_size=5, unique=True))),
        }
        steps.append(step(name, *edges, **more))
    parameters = [parameter(name, draw(odd_names), draw(odd_names)) for name in draw(st.lists(odd_names, max_size=2))]
    return pipeline_of(*steps, parameters=parameters)


def boxes_of(root: ET.Element) -> list[tuple[float, float, float, float]]:
    return [
        tuple(float(block.attrib[key]) for key in ("x", "y", "width", "height"))  # type: ignore[misc]
        for block in root.findall(f"{SVG}g/{SVG}svg")
    ]


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pipelines())
def test_an_svg_of_any_pipeline_has_every_name_and_no_box_upon_another(pipeline: Pipeline) -> None:
    """The file parses as XML, names every step and what goes between them, and is the same each time."""
    drawn = as_svg(pipeline)
    root = ET.fromstring(drawn)
    said = " ".join(root.itertext())
    for link in laid_out(pipeline).links:
        assert {name for name in link.names if printable(name) not in said} == set()
    assert {one.name for one in pipeline.steps if printable(one.name) not in said} == set()
    boxes = boxes_of(root)
    assert [pair for pair in itertools.combinations(boxes, 2) if overlap(*pair)] == []
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    assert as_svg(pipeline) == drawn


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pipelines(), st.integers(30, 140))
def test_a_text_of_any_pipeline_keeps_to_the_width(pipeline: Pipeline, width: int) -> None:
    """Each line is at most as wide as the terminal, and names each step, as far as it fits."""
    drawn = as_text(pipeline, width=width)
    assert [line for line in drawn.splitlines() if columns_of(line) > width] == []
    beginnings = [unicodedata.normalize("NFC", cut(printable(one.name), 8).rstrip("… ")) for one in pipeline.steps]
    assert [beginning for beginning in beginnings if beginning not in drawn] == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pipelines())
def test_a_mermaid_label_holds_nothing_that_could_end_it(pipeline: Pipeline) -> None:
    """Every line has one of four shapes, with labels free of quotes, brackets and bars."""
    plain = r"[^\"\[\]|`]*"
    shape = re.compile(
        rf'(flowchart TD|    s\d+\["{plain}"\]|    s\d+ -->\|"{plain}"\| s\d+|    s\d+ -\. "after" \.-> s\d+'
        r"|    classDef model .*|    class [s\d,]+ model)$"
    )
    assert [line for line in as_mermaid(pipeline).splitlines() if not shape.match(line)] == []


def test_parallel_branches_stand_side_by_side() -> None:
    """Two steps that read the same step are drawn beside each other when there is room, else as a list."""
    pipeline = pipeline_of(
        step("load"),
        step("left", ("df", "load")),
        step("right", ("df", "load")),
        step("join", ("a", "left"), ("b", "right")),
    )
    wide = as_text(pipeline, width=80)
    assert [line for line in wide.splitlines() if "left" in line and "right" in line] != []
    assert "▼" in wide
    narrow = as_text(pipeline, width=30)
    assert "▼" not in narrow
    assert "← load: df" in narrow


def test_text_without_colour_is_the_same_text_as_with_it() -> None:
    pipeline = pipeline_of(
        step("load"), step("train", ("df", "load"), model="m"), parameters=[parameter("n", "3", "trees")]
    )
    painted = as_text(pipeline, color=True)
    assert "\x1b[1m" in painted
    assert re.sub(r"\x1b\[\d*m", "", painted) == as_text(pipeline)


def test_the_whole_of_a_small_pipeline_as_text() -> None:
    """What a terminal shows, character by character."""
    tests = (NotebookTest("t", "t", "train", 3, 1),)
    pipeline = pipeline_of(
        step("load", parameters=("n",)),
        step("train", ("df", "load"), model="model", metrics=("auc",), outputs=("model", "auc"), tests=tests),
        parameters=[parameter("n", "3", "how many rows")],
    )
    assert as_text(pipeline, width=60) == (
        "some.ipynb\n"
        "parameters\n"
        "  n  int  3  how many rows\n"
        "\n"
        "╭──────────────╮\n"
        "│ load  cell 1 │\n"
        "│ parameters n │\n"
        "╰───────┬──────╯\n"
        "        │ df\n"
        "        ▼\n"
        "╭───────────────╮\n"
        "│ train  cell 1 │\n"
        "│ ← df          │\n"
        "│ → model, auc  │\n"
        "│ model model   │\n"
        "│ metrics auc   │\n"
        "│ 1 test        │\n"
        "╰───────────────╯\n"
    )


def test_a_cycle_is_drawn_and_said() -> None:
    """A pipeline that cannot run can still be looked at."""
    pipeline = pipeline_of(step("a", ("y", "b")), step("b", ("x", "a")))
    assert [(link.source, link.back) for link in laid_out(pipeline).links] == [("b", True), ("a", False)]
    assert "(cycle)" in as_text(pipeline)
    assert "▲" in as_text(pipeline)
    assert "(cycle)" in as_svg(pipeline)


def test_findings_and_a_run_mark_the_steps() -> None:
    pipeline = pipeline_of(step("load"), step("train", ("df", "load"), metrics=("auc",)))
    findings = (Finding("no-seed", "warning", "no seed", cell=1),)
    result = Result(
        "r", "failed", "papermill", "serial", "d", "n", 0.0,
        steps=(StepResult("load", "finished", 1.25), StepResult("train", "failed", 2.0, metrics={"auc": 0.81234})),
    )  # fmt: skip
    text = as_text(pipeline, findings=findings, result=result)
    assert "✓ !1 load" in text
    assert "✗ !1 train" in text
    said = " ".join(ET.fromstring(as_svg(pipeline, findings=findings, result=result)).itertext())
    assert "✓ 1.2 s" in said
    assert "auc 0.8123" in said
    assert "cell 1: no seed" in said


def test_a_secret_is_never_drawn() -> None:
    pipeline = pipeline_of(step("load"), parameters=[parameter("token", "'abc123'", secret=True)])
    for drawn in (as_text(pipeline), as_svg(pipeline), as_mermaid(pipeline), repr(Drawing(pipeline))):
        assert "abc123" not in drawn


def test_no_steps_says_how_to_make_one() -> None:
    assert "tag a cell step:NAME" in as_text(pipeline_of())
    assert "tag a cell step:NAME" in "".join(ET.fromstring(as_svg(pipeline_of())).itertext())


def test_the_svg_brings_nothing_from_elsewhere() -> None:
    """No script, no link, no font or picture to load."""
    drawn = as_svg(pipeline_of(step("load"), step("train", ("df", "load"))))
    assert re.findall(r"<script|href|@import|url\(|<image|<foreignObject", drawn) == []


@pytest.mark.parametrize("name", ["short", "a_rather_long_name_of_a_variable_that_somebody_chose" * 3, "数据" * 40])
def test_a_cut_text_fits_its_room(name: str) -> None:
    assert measured(fitted(name, 11, "mono", 120.0), 11, "mono") <= 120.0


def test_steps_without_any_link_do_not_make_one_endless_row() -> None:
    pipeline = pipeline_of(*(step(f"s{number}") for number in range(30)))
    assert float(ET.fromstring(as_svg(pipeline)).attrib["width"]) < 900


def test_thirty_steps_in_a_row_of_layers_are_drawn_in_full() -> None:
    steps = [step("s0"), *(step(f"s{n}", (f"v{n}", f"s{n - 1}"), (f"w{n}", f"s{max(0, n - 4)}")) for n in range(1, 30))]
    text = as_text(pipeline_of(*steps), width=100)
    assert [n for n in range(30) if not re.search(rf"\bs{n}\b", text)] == []
    assert "▼" in text


def test_a_drawing_shows_itself_as_svg_and_as_text() -> None:
    drawing = Drawing(pipeline_of(step("load")))
    assert ET.fromstring(drawing._repr_svg_()).tag == f"{SVG}svg"
    assert "load  cell 1" in repr(drawing)


@pytest.mark.parametrize(
    ("cells", "words"),
    [((4,), "cell 4"), ((4, 5, 6), "cells 4–6"), ((4, 5), "cells 4, 5"), ((1, 3, 9), "cells 1, 3, 9")],
)
def test_cells_are_named_as_findings_name_them(cells: tuple[int, ...], words: str) -> None:
    assert cells_of(Step("s", cells)) == words


def test_a_real_notebook_is_drawn_from_its_cells() -> None:
    """From source to drawing: what the compiler finds is what the picture says."""
    sources = [
        ("n: int = 3  # rows", "parameters"),
        ("df = list(range(n))", "step:load"),
        ("m = sum(df)", "step:train"),
    ]
    cells = tuple(Cell(i, "code", source, (tag,)) for i, (source, tag) in enumerate(sources))
    mermaid = as_mermaid(compile(Notebook(Path("x.ipynb"), cells)))
    assert mermaid == (
        "flowchart TD\n"
        '    s0["<b>load</b><br/>cell 1<br/>parameters: n"]\n'
        '    s1["<b>train</b><br/>cell 2"]\n'
        '    s0 -->|"df"| s1\n'
    )


def test_parameters_stand_above_the_graph_where_a_page_is_too_narrow_for_both() -> None:
    """In two columns where they have room; nothing of the drawing is lost."""
    parameters = [parameter(f"p{i}", "1", "a help of some length") for i in range(5)]
    pipeline = pipeline_of(step("a"), step("b", ("x", "a")), parameters=parameters)
    wide, narrow = (ET.fromstring(as_svg(pipeline, widest=widest)) for widest in (1000.0, 300.0))
    two_columns = ET.fromstring(as_svg(pipeline_of(step("a" * 30), parameters=parameters), widest=400.0))
    assert float(narrow.attrib["width"]) <= 300 < float(wide.attrib["width"])
    assert float(narrow.attrib["height"]) > float(wide.attrib["height"])
    assert sorted(narrow.itertext()) == sorted(wide.itertext())
    heights = [float(drawing.find(f"{SVG}svg").attrib["height"]) for drawing in (narrow, two_columns)]  # type: ignore[union-attr]
    assert heights[1] == heights[0] - 2 * 36
