"""What nb2prod imports, it asks for: a library that only comes with another one may be gone with its next version."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPTIONAL = {
    "executors/dask.py": "dask",
    "engines/_remote_worker.py": "dask",
    "kernel/on_cluster.py": "dask",
    "stages/_prove.py": "serve",
    "stages/translate.py": "onnx",
    **{f"stages/translating/{name}.py": "onnx" for name in ("graph", "others", "packing", "trees")},
    "storage/remote_store.py": "s3",
    "stages/provenance/signing.py": "sign",
}
ON_DEMAND = {"torch"}  # only where the notebook has imported it


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
                yield module


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {_normal(re.split(r"[\s<>=!~;\[]", line)[0]) for line in wanted}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def undeclared(files: Iterable[Path], extras: tuple[str, ...] = ()) -> set[str]:
    """Top-level modules that no declared distribution brings."""
    modules = {name.partition(".")[0] for path in files for name in imported(ast.parse(path.read_text("utf-8")))}
    foreign = modules - set(sys.stdlib_module_names) - {"nb2prod"} - ON_DEMAND
    brought, asked = packages_distributions(), declared(*extras)
    return {module for module in foreign if not asked & set(map(_normal, brought.get(module, ())))}


def test_every_library_that_is_imported_is_declared() -> None:
    files = set((ROOT / "nb2prod").rglob("*.py")) - set((ROOT / "nb2prod" / "serving").rglob("*.py"))
    assert undeclared(files - {ROOT / "nb2prod" / file for file in OPTIONAL}) == set()


@pytest.mark.parametrize("file", OPTIONAL)
def test_what_an_optional_part_imports_comes_with_its_extra(file: str) -> None:
    assert undeclared([ROOT / "nb2prod" / file], (OPTIONAL[file],)) == set()


def test_what_only_the_service_imports_comes_with_the_extra_serve() -> None:
    assert undeclared((ROOT / "nb2prod" / "serving").rglob("*.py"), ("serve", "onnx")) == set()
