"""A name that is not defined: where this notebook binds it, or what the author meant."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from nb2prod.core.result import Explanation
from nb2prod.language.failures.evidence import Evidence
from nb2prod.language.plain import plain

PYTHON_2: dict[str, str] = {
    "xrange": "range",
    "unicode": "str",
    "unichr": "chr",
    "raw_input": "input",
    "basestring": "str",
    "long": "int",
    "reduce": "functools.reduce",
    "reload": "importlib.reload",
    "execfile": "exec(open(FILE).read())",
    "file": "open",
    "cmp": "(a > b) - (a < b)",
    "buffer": "memoryview",
    "intern": "sys.intern",
    "izip": "zip",
}
ALIASES: dict[str, str] = {
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
    "sns": "import seaborn as sns",
    "tf": "import tensorflow as tf",
    "sm": "import statsmodels.api as sm",
    "smf": "import statsmodels.formula.api as smf",
    "px": "import plotly.express as px",
    "nx": "import networkx as nx",
    "xgb": "import xgboost as xgb",
    "lgb": "import lightgbm as lgb",
    "mpl": "import matplotlib as mpl",
    "dt": "import datetime as dt",
    "os": "import os",
    "re": "import re",
    "sys": "import sys",
    "json": "import json",
    "math": "import math",
    "random": "import random",
    "time": "import time",
    "datetime": "import datetime",
    "Path": "from pathlib import Path",
    "defaultdict": "from collections import defaultdict",
    "Counter": "from collections import Counter",
    "display": "from IPython.display import display",
}
_NOT_DEFINED = "name '"


@dataclass(frozen=True, slots=True)
class _Bound:
    cell: int
    line: int
    role: str


def explained(evidence: Evidence) -> Explanation | None:
    if evidence.error != "NameError" or not evidence.said.startswith(_NOT_DEFINED):
        return None
    if evidence.frames and not evidence.frames[-1].startswith(("Cell In[", "File <timed")):
        return None  # a module's own affair
    name = evidence.said.removeprefix(_NOT_DEFINED).partition("'")[0]
    here = _where(evidence, name)
    if here is not None:
        return here
    if name in PYTHON_2:
        what = f"the notebook was written for Python 2: Python 3 has no `{name}`"
        return Explanation("python-2", what, f"use {PYTHON_2[name]}")
    if name in ALIASES:
        what = f"no cell that ran imports `{name}`"
        return Explanation("missing-import", what, f"put `{ALIASES[name]}` into the imports cell")
    return _meant(evidence, name)


def _where(evidence: Evidence, name: str) -> Explanation | None:
    """The cell of this notebook that binds it: a later one, one that is left out, one whose branch was not taken."""
    cell = evidence.failure.cell
    found = [bound for bound in _bindings(evidence) if bound[0] == name]
    places = [bound for _, bound in found]
    if cell is None or not places:
        return None
    later = next((bound for bound in places if bound.cell > cell and bound.role != "skip"), None)
    skipped = next((bound for bound in places if bound.role == "skip"), None)
    before = next((bound for bound in reversed(places) if bound.cell < cell and bound.role != "skip"), None)
    if before is not None:
        return _gone(name, before)
    if skipped is not None:
        what = f"`{name}` is bound in cell {skipped.cell}, line {skipped.line}, which is tagged skip"
        return Explanation("unbound-name", what, f"take the tag off cell {skipped.cell}, or bind `{name}` elsewhere")
    if later is not None:
        what = f"`{name}` is bound in cell {later.cell}, line {later.line}, which runs after cell {cell}"
        return Explanation("unbound-name", what, f"move cell {later.cell} above cell {cell}")
    return None


def _gone(name: str, before: _Bound) -> Explanation:
    what = f"cell {before.cell}, line {before.line} binds `{name}`"
    if before.role == "test":
        return Explanation(
            "unbound-name", f"{what}, but it is a test cell: its names stay its own", "bind it in a step"
        )
    if before.role == "exploration":
        fix = f"tag cell {before.cell} as part of a step, or run without --only-steps"
        return Explanation("unbound-name", f"{what}, but that cell was left out or its branch was not taken", fix)
    fix = f"bind `{name}` in every case, before any cell that reads it"
    return Explanation("unbound-name", f"{what}, but in a branch that was not taken, or it was deleted since", fix)


def _meant(evidence: Evidence, name: str) -> Explanation | None:
    """A name of the notebook that is almost this one."""
    bound = {known for known, place in _bindings(evidence) if place.cell <= (evidence.failure.cell or 0)}
    near = difflib.get_close_matches(name, sorted(bound), 2, 0.8)
    near = [known for known in near if len(name) > 2]
    if not near:
        return None
    meant = " or ".join(f"`{known}`" for known in near)
    return Explanation("unbound-name", f"no cell binds `{name}`; the notebook has {meant}", f"write {meant}")


def _bindings(evidence: Evidence) -> Iterator[tuple[str, _Bound]]:
    """(name, place) of what cells bind at top level, in order; skipped cells and tests too."""
    for index, role in enumerate(evidence.pipeline.roles):
        if role is None:
            continue
        tree = plain(role.body).tree
        for name, line in _names(tree) if tree is not None else ():
            yield name, _Bound(index, line + role.line_offset, role.kind)


def _names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a cell gives values, not those inside its functions."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name, child.lineno
            continue
        if isinstance(child, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id, child.lineno
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name.partition(".")[0], child.lineno) for alias in child.names)
        yield from _names(child)
