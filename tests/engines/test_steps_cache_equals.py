"""Whatever is edited: a run that takes what it can from the store prints what a run of everything prints."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nb2prod import api
from nb2prod.core.result import Result
from tests.notebook_maker import Row, write_notebook

# statements over the names a, b and c, that steps are made of: new values, changes in place, aliases, draws, deletions
STATEMENTS = (
    "a = [1, 2]",
    "b = a",
    "b = list(a)",
    "a.append(k)",
    "b = b + [len(a)]",
    "c = {'a': a, 'b': b}",
    "c['n'] = c.get('n', 0) + 1",
    "a = grown(a)",
    "b.append(random.random())",
    "random.seed(k)",
    "k_seen = k",
    "print(a, b)",
    "print(c)",
)
FUNCTIONS = ("def grown(x):\n    return [*x, k]", "def grown(x):\n    # k at the front\n    return [k, *x]")
steps = st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=3).map("\n".join)
notebooks = st.tuples(st.sampled_from(FUNCTIONS), st.lists(steps, min_size=2, max_size=4), st.integers(1, 2))


def rows_of(notebook: tuple[str, list[str], int]) -> list[Row]:
    functions, bodies, _ = notebook
    start = "import random\nrandom.seed(0)\na, b, c = [0], [], {}"
    shared: list[Row] = [("parameters", "k: int = 1"), ("functions", functions), ("step:start", start)]
    return [*shared, *((f"step:s{n}", f"{body}\nprint(a, b, c)") for n, body in enumerate(bodies))]


def ran(folder: Path, notebook: tuple[str, list[str], int], store: Path | None) -> Result:
    path = write_notebook(folder / "nb.ipynb", rows_of(notebook))
    return api.run(path, {"k": notebook[2]}, engine="steps", trackers=(), runs=folder / "runs", store=store)


def told(result: Result) -> tuple[object, ...]:
    assert result.failure is None
    return tuple((step.name, step.printed) for step in result.steps), result.metrics


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(first=notebooks, place=st.integers(0, 3), body=steps, other=st.booleans())
def test_after_any_edit_a_cached_run_equals_a_run_of_everything(
    first: tuple[str, list[str], int], place: int, body: str, other: bool
) -> None:
    _, bodies, k = first
    changed = [body if n == place % len(bodies) else old for n, old in enumerate(bodies)]
    edited = (FUNCTIONS[other], changed, k)
    with tempfile.TemporaryDirectory() as place_of_run:
        folder = Path(place_of_run)
        assert told(ran(folder, first, folder / "store")) == told(ran(folder, first, folder / "store"))
        assert told(ran(folder, edited, folder / "store")) == told(ran(folder, edited, None))
