"""A password, key or token stands in the notebook.

Whoever gets the notebook, its git history, a run's folder or a package gets it too. Take it out, declare it invalid
where it was issued, and read it from the environment: `os.environ["DB_PASSWORD"]`. What was found is never shown: in
messages and source lines it is masked.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.secrets import by_name, by_shape

CODE = "secret"
SEVERITY: Severity = "warning"
FIX = 'have it made invalid, and read the new one from the environment: os.environ["NAME"]'


def check(pipeline: Pipeline) -> Iterator[Finding]:
    told: set[tuple[int, int]] = set()
    for cell in pipeline.notebook.cells:
        for secret in by_shape(cell.source):
            line = cell.source.count("\n", 0, secret.start) + 1
            told.add((cell.index, line))
            yield Finding(CODE, SEVERITY, f"{secret.what} stands in the notebook (********)", FIX, cell.index, line)
    for code in code_cells(pipeline, without=()):
        for name, literal in _named(code):
            what = by_name(name, literal.value) if isinstance(literal.value, str) else ""
            if what and (code.index, code.line(literal)) not in told:
                told.add((code.index, code.line(literal)))
                message = f"{what} is written out: `{name}` = ********"
                yield Finding(CODE, SEVERITY, message, FIX, code.index, code.line(literal))


def _named(cell: CodeCell) -> Iterator[tuple[str, ast.Constant]]:
    """(name, text) of every text that is given a name: assigned, passed, or under a key."""
    for assign in cell.every(ast.Assign):
        if isinstance(assign.value, ast.Constant):
            yield from ((name, assign.value) for target in assign.targets if (name := _last_name(target)))
    for annotated in cell.every(ast.AnnAssign):
        if isinstance(annotated.value, ast.Constant):
            yield _last_name(annotated.target), annotated.value
    for keyword in cell.every(ast.keyword):
        if isinstance(keyword.value, ast.Constant) and keyword.arg:
            yield keyword.arg, keyword.value
    for mapping in cell.every(ast.Dict):
        for key, value in zip(mapping.keys, mapping.values, strict=True):
            match key, value:
                case ast.Constant(value=str(name)), ast.Constant(value=str(text)) if any(map(str.isdigit, text)):
                    yield name, value


def _last_name(target: ast.expr) -> str:
    """`password` of `self.password`, `DB_PASSWORD` of `os.environ["DB_PASSWORD"]`."""
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""
