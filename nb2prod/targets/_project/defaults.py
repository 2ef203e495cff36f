"""The types and defaults of parameters, as their author wrote them and as a person would type them.

sample: int = 60_000                          60_000 in the settings, 60000 on the command line
data: Path = Path("data/hmda.csv")            data/hmda.csv
label: str = f"{kind} of {days} days"         from kind and days
"""

from __future__ import annotations

import ast
import datetime
import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from nb2prod.core.pipeline import Parameter, Pipeline
from nb2prod.storage import codec

PLAIN = (bool, int, float, str, PurePath, datetime.date)


def in_the_authors_words(pipeline: Pipeline, parameter: Parameter) -> str:
    """The source of a default: `60_000` and `1e-3` are easier to read than what they come to."""
    found = _statement(pipeline, parameter)
    if found is None or found[1].value is None or ast.unparse(found[1].value) != parameter.expression:
        return parameter.expression
    text = ast.get_source_segment(found[0], found[1].value) or "\n"
    return parameter.expression if "\n" in text else text


def annotation(pipeline: Pipeline, parameter: Parameter) -> str:
    """The type that a parameter declares; empty without one."""
    found = _statement(pipeline, parameter)
    node = found[1].annotation if found is not None and isinstance(found[1], ast.AnnAssign) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ast.unparse(node) if node is not None else ""


def _statement(pipeline: Pipeline, parameter: Parameter) -> tuple[str, ast.AnnAssign | ast.Assign] | None:
    """(source of the cell, the statement in it that binds the parameter last)."""
    role = pipeline.roles[parameter.cell]
    body = role.body if role is not None else ""
    try:
        tree = ast.parse(body)
    except SyntaxError:  # a cell with magics
        return None
    there = [node for node in tree.body if isinstance(node, ast.AnnAssign | ast.Assign)]
    return next(((body, node) for node in reversed(there) if _names(node) == [parameter.name]), None)


def _names(node: ast.AnnAssign | ast.Assign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def for_people(parameter: Parameter, *, as_json: bool) -> str:
    """A default as it would be given on the command line; one that has no such words is told as it is written."""
    if parameter.derived_from and parameter.expression.startswith(("f'", 'f"')):
        return f"from {_joined(sorted(parameter.derived_from, key=parameter.expression.find))}"
    if parameter.computed or parameter.derived_from:
        return parameter.expression
    if parameter.type.kind == "enum":
        return parameter.expression.rpartition(".")[2]
    if as_json:
        return _json(parameter)
    if parameter.default is None:
        return "none"
    if parameter.type.kind in ("list", "tuple") and parameter.default:
        words = [_plain(item) for item in parameter.default]
        return " ".join(words) if all(words) else parameter.expression
    return _plain(parameter.default) or parameter.expression


def _json(parameter: Parameter) -> str:
    value = parameter.default
    return (
        parameter.expression
        if isinstance(value, set | frozenset)
        else json.dumps(codec.plain(value), ensure_ascii=False)
    )


def _plain(value: Any) -> str:
    """Empty for what no single word says."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    text = str(value) if isinstance(value, PLAIN) else ""
    return text if text.strip() == text else ""


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
