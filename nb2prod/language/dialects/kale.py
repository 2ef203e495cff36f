"""Kale: notebooks tagged for Kubeflow Pipelines.

| tag | here |
| --- | --- |
| `imports`, `functions`, `step:NAME`, `skip` | the same |
| `block:NAME` (before 2.0) | `step:NAME` |
| `prev:NAME` | `after:NAME` |
| `pipeline-parameters` | `parameters` |
| `pipeline-metrics` | a cell of the last step; `print(NAME)` makes `NAME` a `metric:` of the step that binds it |
| `cache:enabled`, `cache:disabled` | `cache:on`, `cache:off` |
| `image:`, `limit:`, `label:`, `annotation:`, `secret:`, `report:` | kept, for exports |
| `notebook:NAME` | another notebook as a step: refused by the check `included-notebook` |
| none | the role of the cell above; `skip` and test cells are seen through |

In a notebook of Kale's the first of `skip`, `pipeline-parameters`, `pipeline-metrics`, `imports`, `functions` wins over
every other tag of its cell. The notebook's metadata `kubeflow_notebook` has tags for every step (`steps_defaults`).
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Sequence
from functools import lru_cache

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Role
from nb2prod.language.dialects._dialect import KEPT, Dialect, Remark, Said, code_cells, is_silent, joined
from nb2prod.language.plain import plain
from nb2prod.language.tags import Spoken

SPECIAL = ("skip", "pipeline-parameters", "pipeline-metrics", "imports", "functions")
METRICS = "pipeline-metrics"
# the words that nobody but Kale uses
OWN = {"prev", "block", "pipeline-parameters", METRICS}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def speaks(notebook: Notebook) -> bool:
    """Whether Kale wrote the tags."""
    return _speaks(_Same(notebook))


class _Same:
    """A notebook by its identity, so that it is asked once and not for every cell."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook

    def __hash__(self) -> int:
        return id(self.notebook)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.notebook is self.notebook


@lru_cache(maxsize=1)
def _speaks(same: _Same) -> bool:
    notebook = same.notebook
    words = {tag.partition(":")[0] for cell in notebook.cells for tag in cell.tags}
    return "kubeflow_notebook" in notebook.metadata or bool(words & OWN)


def _hear(notebook: Notebook, cell: Cell, tags: tuple[str, ...]) -> tuple[str, ...]:
    if not tags or not speaks(notebook):
        return tags
    special = next((tag for tag in tags if tag in SPECIAL), None)
    if special is not None:
        return (special,)
    said = tuple(tag for tag in tags if tag not in ("step:", "block:"))  # Kale's way to say nothing
    is_step = any(tag.startswith(("step:", "block:")) for tag in said)
    return (*_defaults(notebook), *said) if is_step else said


def _defaults(notebook: Notebook) -> tuple[str, ...]:
    """The tags that every step has; a step's own come later, and the last one counts."""
    metadata = notebook.metadata.get("kubeflow_notebook")
    defaults = metadata.get("steps_defaults") if isinstance(metadata, dict) else None
    return tuple(str(tag) for tag in defaults) if isinstance(defaults, list) else ()


def _arrange(notebook: Notebook, said: Said) -> Said:
    if not speaks(notebook):
        return said
    roles = list(joined(notebook, _with_metrics_cells_in_steps(notebook, said)))
    for cell in code_cells(notebook):
        if METRICS in cell.tags and roles[cell.index] is not None:
            for name in _printed(cell.source):
                _give(roles, _binding_step(roles, name, cell.index), name)
    return tuple(roles)


def _with_metrics_cells_in_steps(notebook: Notebook, said: Said) -> Said:
    step = ""
    roles: list[Spoken | None] = []
    for cell, spoken in zip(notebook.cells, said, strict=True):
        if spoken is not None and METRICS in cell.tags and spoken.role.kind == "exploration":
            problems = () if step else ("pipeline-metrics stands above every step: move the cell below them",)
            role = Role("step", step, cell.source, options=spoken.role.options) if step else spoken.role
            spoken = Spoken(role, (*spoken.problems, *problems))
        elif spoken is not None and spoken.role.kind == "step":
            step = spoken.role.name
        roles.append(spoken)
    return tuple(roles)


def _printed(source: str) -> Iterator[str]:
    """The names of `print(NAME)` lines."""
    tree = plain(source).tree
    for statement in tree.body if tree is not None else ():
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[ast.Name(id=name)], keywords=[])):
                yield name


def _binding_step(roles: Sequence[Spoken | None], name: str, cell: int) -> int:
    """The last cell of a step above that binds a name; the metrics cell itself where there is none."""
    for index in range(cell - 1, -1, -1):
        spoken = roles[index]
        if spoken is not None and spoken.role.kind == "step" and name in _bound(spoken.role.body):
            return index
    return cell


def _bound(source: str) -> set[str]:
    """Names that the cell itself binds, those inside of functions left out."""
    tree = plain(source).tree
    rest: list[ast.AST] = [tree] if tree is not None else []
    names: set[str] = set()
    while rest:
        node = rest.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        rest += [child for child in ast.iter_child_nodes(node) if not isinstance(child, SCOPES)]
    return names


def _give(roles: list[Spoken | None], index: int, metric: str) -> None:
    spoken = roles[index]
    if spoken is not None and metric not in spoken.role.metrics:
        role = dataclasses.replace(spoken.role, metrics=(*spoken.role.metrics, metric))
        roles[index] = dataclasses.replace(spoken, role=role)


def _remark(notebook: Notebook, said: Said) -> Iterator[Remark]:
    if not speaks(notebook):
        return
    silent = [
        cell.index
        for cell, spoken in zip(notebook.cells, said, strict=True)
        if is_silent(cell, spoken) and METRICS not in cell.tags
    ]
    if silent:
        message = f"untagged cells belong to the role above them, as in Kale: {', '.join(map(str, silent))}"
        yield Remark(silent[0], message, "tag them, or `skip` those that belong to no step")
    for cell in code_cells(notebook):
        if METRICS in cell.tags and not list(_printed(cell.source)):
            message = "the cell `pipeline-metrics` names no metric: only lines `print(NAME)` do"
            yield Remark(cell.index, message, "bind the number to a name, and print that name alone", "warning")


DIALECT = Dialect(
    tags=(
        (r"block:(.+)", r"step:\1"),
        (r"prev:(.+)", r"after:\1"),
        (r"pipeline-parameters", "parameters"),
        (r"pipeline-metrics", KEPT),
        (r"cache:enabled", "cache:on"),
        (r"cache:disabled", "cache:off"),
        (r"(image|limit|secret|label|annotation|report|notebook):.*", KEPT),
    ),
    hear=_hear,
    arrange=_arrange,
    remark=_remark,
)
