"""Small notebooks that nobody wrote: isolated steps print what the whole notebook prints, on each of them."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nb2prod import api
from nb2prod.core.errors import FindingsError
from nb2prod.engines import steps as engine
from nb2prod.engines._step_processes import Nursery
from tests.notebook_maker import write_notebook

NAMES = ("a", "b", "c")
FIRST = "a = [1]\nb = [a, 2]\nc = {'k': [3]}\ndef f(v):\n    v.append(len(a))\ng = lambda: len(b)"

name = st.sampled_from(NAMES)
number = st.integers(0, 3)
statement = st.one_of(
    st.builds("{0} = [{1}]".format, name, number),
    st.builds("{0} = {1}".format, name, name),
    st.builds("{0} = [{1}, {1}]".format, name, name),
    st.builds("{0} = list({1})".format, name, name),
    st.builds("{0}, {1} = {1}, {0}".format, name, name),
    st.builds("if isinstance({0}, list): {0}.append({1})".format, name, number),
    st.builds("if isinstance({0}, list): {0} += [{1}]".format, name, number),
    st.builds("if isinstance({0}, list) and {0}: {0}[0] = {1}".format, name, number),
    st.builds("for v in [x for x in ({0}, {1}) if isinstance(x, list)]: v.append({2})".format, name, name, number),
    st.builds("while len({0}) < {1}: {0} = [*{0}, 0]".format, name, number),
    st.builds("if len({0}) > {1}: {2} = {0}".format, name, number, name),
    st.builds("try:\n    {0} = {1}['k']\nexcept TypeError:\n    {0} = [{1}]".format, name, name),
    st.builds("def f(v):\n    v.append({0})".format, number),
    st.builds("def f(v):\n    global {0}\n    {0} = [len(v)]".format, name),
    st.builds("if isinstance({0}, list): f({0})".format, name),
    st.builds("g = lambda: [len({0}), {1}]".format, name, number),
    st.builds("{0} = [g(), g]".format, name),
    st.builds("{0} = {{'k': {1}, 'f': f}}".format, name, name),
    st.builds("with open('state.txt', 'a') as file: print({0}, file=file)".format, number),
    st.builds("{0} = [open('state.txt', 'a').close() or len(open('state.txt').read())]".format, name),
    st.builds("import random; {0} = [random.random()]".format, name),
    st.builds("import random; random.seed({0})".format, number),
    st.builds("match {0}:\n    case [x, *_]: {1} = [x]\n    case _: pass".format, name, name),
    st.builds("print([{1} := {0}, 1][1])".format, name, name),
    st.builds("del {0}; {0} = [{1}]".format, name, number),
)
SHOW = (
    "def show(v, deep=0):\n"
    "    if deep > 4: return '...'\n"
    "    if isinstance(v, list): return [show(x, deep + 1) for x in v]\n"
    "    if isinstance(v, dict): return {k: show(x, deep + 1) for k, x in v.items()}\n"
    "    return 'code' if callable(v) else v\n"
)
LAST = "print(show([a, b, c]), [[x is y for x in (a, b, c)] for y in (a, b, c)], g())"
cell = st.lists(statement, min_size=1, max_size=3).map("\n".join)
program = st.lists(st.tuples(st.sampled_from("stu"), cell), min_size=2, max_size=5)


def linear(cells: list[str], folder: Path) -> str | None:
    """What the cells print one after the other in one namespace; None when one of them fails."""
    import random

    before = random.getstate()
    out = io.StringIO()
    namespace: dict[str, object] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(out), contextlib.chdir(folder):
        try:
            for source in cells:
                exec(source, namespace)
        except Exception:  # noqa: BLE001 - the notebook itself does not run
            return None
        finally:
            random.setstate(before)
    return out.getvalue()


class Borrowed:
    """A nursery that outlives the run that it was made for."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery

    def __getattr__(self, name: str) -> Any:
        return getattr(self._nursery, name)

    def close(self) -> None:
        self._nursery.kill_all()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all notebooks run. One nursery makes the processes of all: to start one takes longer than to run them."""
    lent: dict[str, Nursery] = {}
    known: list[tuple[Any, ...]] = []

    def lend(*how: Any) -> Borrowed:
        known.append(how)
        assert how == known[0], "the same interpreter, folder, environment and libraries"
        return Borrowed(lent.get("nursery") or lent.setdefault("nursery", Nursery(*how)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "Nursery", lend)
        yield tmp_path_factory.mktemp("notebooks")
    for nursery in lent.values():
        nursery.close()


def emptied(folder: Path) -> Path:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=program)
def test_isolated_steps_print_what_the_notebook_prints(place: Path, steps: list[tuple[str, str]]) -> None:
    cells = [
        f"import random; random.seed(1)\n{FIRST}",
        *(f"{source}\nprint({n})" for n, (_, source) in enumerate(steps)),
    ]
    cells = [SHOW, *cells, LAST]
    # one step a cell: of steps that come back a notebook may be refused, and that is tested elsewhere
    tags = ["functions", "step:first", *(f"step:{name}{n}" for n, (name, _) in enumerate(steps)), "step:last"]
    with tempfile.TemporaryDirectory() as one:
        expected = linear(cells, Path(one))
    assume(expected is not None)
    notebook = write_notebook(emptied(place) / "n.ipynb", list(zip(tags, cells, strict=True)))
    try:
        result = api.run(notebook, engine="steps", trackers=(), runs=place / "runs")
    except FindingsError as refused:
        raise AssertionError(f"refused: {refused}") from refused
    assert result.failure is None, result.failure
    executed = nbformat.read(result.notebook, as_version=4)
    outputs = [o.text for c in executed.cells for o in c.get("outputs", []) if o.get("name") == "stdout"]
    assert "".join(outputs) == expected
