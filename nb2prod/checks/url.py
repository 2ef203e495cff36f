"""Data are fetched from an address that stands in the code.

    df = pd.read_csv("https://example.org/loans.csv")

When the address moves, or a run has no network, the code has to change. Make it a parameter, so that a caller can name
another address, or a file. Addresses that nothing fetches (names of schemas, links to show) are not meant.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.imported import argument, dotted, imported
from nb2prod.language.secrets import masked

CODE = "url"
SEVERITY: Severity = "note"
ADDRESS = re.compile(r"(?:https?|ftp|s3|s3a|gs|gcs|hdfs|abfss?|wasbs?|az)://[^\s{}]+\Z")
# callables that fetch what their first argument names
FETCHING = re.compile(
    r"pandas\.read_(csv|table|excel|json|parquet|feather|html|xml|fwf|stata|sas|spss|orc|pickle)"
    r"|polars\.(read|scan)_\w+|geopandas\.read_file|dask\.dataframe\.read_\w+|urllib\.request\.(urlopen|urlretrieve)"
    r"|requests\.(get|post)|httpx\.(get|post)|wget\.download|pooch\.retrieve|xarray\.open_dataset"
    r"|skimage\.io\.imread|imageio\.imread|imageio\.v[23]\.imread|numpy\.(loadtxt|genfromtxt)|joblib\.load"
)


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline, without=("skip", "test", "parameters")))
    names = imported(cells)
    bound = _addresses(cells)
    for cell in cells:
        for call in cell.every(ast.Call):
            if not FETCHING.fullmatch(dotted(call.func, names)):
                continue
            found = _address(argument(call, 0, "filepath_or_buffer", "url", "io", "path_or_buf"), cell, call, bound)
            if found is not None:
                address, index, line = found
                fix = "make it a parameter: NAME: str = … in the parameters cell"
                yield Finding(CODE, SEVERITY, f"`{masked(address)}` is fetched", fix, index, line)


Found = tuple[str, int, int]


def _address(given: ast.expr | None, cell: CodeCell, call: ast.Call, bound: Mapping[str, Found]) -> Found | None:
    match given:
        case ast.Constant(value=str(text)) if ADDRESS.match(text):
            return text, cell.index, cell.line(call)
        case ast.Name(id=name):
            return bound.get(name)
    return None


def _addresses(cells: tuple[CodeCell, ...]) -> dict[str, Found]:
    """Names that are bound once, to an address."""
    found: dict[str, Found] = {}
    often: set[str] = set()
    for cell in cells:
        for name in cell.every(ast.Name):
            if isinstance(name.ctx, ast.Store) and name.id in found:
                often.add(name.id)
        for statement in cell.top(ast.Assign):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name_)], value=ast.Constant(value=str(text))):
                    if ADDRESS.match(text):
                        found[name_] = (text, cell.index, cell.line(statement))
    return {name_: place for name_, place in found.items() if name_ not in often}
