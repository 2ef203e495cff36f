"""With what a piece of a step is about to run: facts that are known before it begins, each with a name and a state.

Two runs with the same facts do the same, as far as their code and what they are given decide. What else they may depend
on (files, random streams, the environment, libraries) is known when the piece has run: `storage.step_entries.Entry`.

Code counts as Python reads it: comments, blank lines, layout and where a cell stands do not; docstrings and tests do.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from nb2prod.core.pipeline import Pipeline, Plan, Step
from nb2prod.engines._pieces import Piece
from nb2prod.engines._values import Version
from nb2prod.kernel.ambient import RANDOM, WHAT
from nb2prod.kernel.step_work import CellWork, Packed
from nb2prod.language import surroundings
from nb2prod.language.plain import plain

Facts = dict[str, Any]
CODE, INPUT, STATE, KEPT = "code", "input ", "state ", "kept "
# a call that asks for the time: by what it ends with, whatever it is called on; or by its module
CLOCK_WORDS = frozenset({"now", "utcnow", "today", "time_ns", "monotonic", "perf_counter", "default_timer"})
CLOCK_WORDS |= {"perf_counter_ns", "monotonic_ns", "process_time", "localtime", "gmtime"}
CLOCK_CALLS = frozenset({"time.time", "time.ctime", "time.strftime", "time.asctime"})
MOMENTS = ("to_datetime", "Timestamp", "datetime64")  # take the text "now"
HISTORY = re.compile(r"\b(?:In|Out|_oh|_ih|_dh|_i*\d+|_i{1,3})\b|(?<![\w.])_{1,3}(?!\w)")


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")).hexdigest()


def facts_of(
    piece: Piece,
    plan: Plan,
    wanted: Mapping[str, Version],
    states: Mapping[str, Packed],
    before: Iterable[Piece],
    everywhere: frozenset[str],
    kept: Iterable[tuple[str, str, str]],
    surroundings_of_run: Mapping[str, Any],
) -> Facts:
    """`everywhere` are all names that the notebook reads; `kept` (what, step, digest) of models and examples so far."""
    pipeline = plan.pipeline
    step = next((step for step in pipeline.steps if step.name == piece.step), None)
    found: Facts = dict(surroundings_of_run)
    found[CODE] = [_cell(cell) for cell in piece.cells]
    found["its tags"] = _tags(step, pipeline) if step is not None else []
    if step is not None and _keeps(step):
        found["the notebook's functions and classes"] = normal(pipeline.module.source)
        found |= {f"{KEPT}{what} of step {name}": state for what, name, state in kept}
    found["the settings of IPython"] = [line for other in before for line in other.magics]
    found["the imports before it"] = reached_imports(piece, wanted, before, everywhere)
    found["a computed parameter"] = sorted(
        one.name for one in pipeline.parameters if one.computed and one.name not in plan.parameters
    )
    for name, version in sorted(wanted.items()):
        packed = version.packed
        if packed is not None:
            found[f"{INPUT}{name}"] = packed.identity or packed.digest
    for name, packed in sorted(states.items()):
        if name not in RANDOM:
            found[f"{STATE}{name}"] = packed.identity or packed.digest
    made: Facts = json.loads(json.dumps(found))  # as they are read back, so that they can be compared
    return made


def difference(piece: Piece, now: Facts, last: Facts, said: Mapping[str, str]) -> str:
    """What is not as it was, in words; empty when all is. `said` has a word for each input."""
    for name, state in now.items():
        if last.get(name) == state:
            continue
        if name == CODE:
            return f"its code changed{_which(piece, state, last.get(CODE) or [])}"
        if name.startswith(INPUT):
            what = said.get(name.removeprefix(INPUT), name)
            return f"{what} changed" if name in last else f"it reads {what} now"
        if name.startswith(STATE):
            return f"{WHAT[name.removeprefix(STATE)]} changed"
        return f"{name.removeprefix(KEPT)} changed"
    gone = next((name for name in last if name not in now), "")
    if gone.startswith(INPUT):
        return f"it does not read {gone.removeprefix(INPUT)} any more"
    if gone.startswith(STATE):
        return f"{WHAT.get(gone.removeprefix(STATE), gone)} changed"
    return f"{gone.removeprefix(KEPT)} is no longer there" if gone else ""


def _which(piece: Piece, now: list[Any], last: list[Any]) -> str:
    # by what they are: a cell that came or went moves the others
    fresh = [cell.index for cell, state in zip(piece.cells, now, strict=True) if state not in last]
    indexes = [index for index in fresh if index is not None]
    return f" (cell {', '.join(map(str, indexes))})" if indexes else ""


# -- code ------------------------------------------------------------------------------------------------------------


def _cell(cell: CellWork) -> list[Any]:
    shown = cell.count if HISTORY.search(cell.source) else 0  # `_5` and `Out[5]` go by the number
    return [digest(normal(cell.source)), cell.is_test, cell.may_fail, shown]


@cache
def normal(source: str) -> str:
    """Code without comments, blank lines and layout; magics as they stand."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return "\n".join(line.rstrip() for line in source.splitlines() if line.strip())
    return ast.dump(tree) + (";" if _is_silent(source) else "")


def _is_silent(source: str) -> bool:
    """Whether a semicolon at the end keeps the last value from being shown."""
    if ";" not in source:
        return False
    silent = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.DEDENT):
            silent = token.string
    return silent == ";"


def _tags(step: Step, pipeline: Pipeline) -> list[Any]:
    tests = [test.name for test in step.tests]
    asked = [step.predicts] if step.predicts else []
    own = [step.inputs, step.metrics, step.model, step.example, *asked, step.plots, step.reads, tests]
    return [*own, pipeline.model, pipeline.example]


def _keeps(step: Step) -> bool:
    return bool(step.model or step.example)


# -- what it reaches -------------------------------------------------------------------------------------------------


def reached(piece: Piece, wanted: Mapping[str, Version]) -> set[str]:
    """The names that a piece reads, and that the functions which it is given read."""
    needs = {need for version in wanted.values() if version.packed is not None for need in version.packed.needs}
    return {*piece.loads, *wanted, *needs}


def reached_imports(
    piece: Piece, wanted: Mapping[str, Version], before: Iterable[Piece], everywhere: frozenset[str]
) -> list[str]:
    """The import statements before a piece whose names it reaches, or that are made for what they do."""
    names = reached(piece, wanted)
    found = []
    for statement in dict.fromkeys(statement for other in before for statement in other.imports):
        bound = set(surroundings.names_of_imports(ast.parse(statement)))
        if bound & names or "*" in bound or not bound & everywhere:
            found.append(statement)
    return found


def tops_of(piece: Piece, statements: Iterable[str], needs: set[str]) -> set[str]:
    """The top-level modules that a piece's code, and the imports that it reaches, load."""
    trees = [ast.parse(statement) for statement in statements]
    trees += [tree for cell in piece.cells if (tree := _tree(cell.source)) is not None]
    return {module.partition(".")[0] for tree in trees for module in surroundings.modules(tree)} | needs


def _tree(source: str) -> ast.Module | None:
    return plain(source).tree


def clock(piece: Piece, names: Mapping[str, set[str]], functions: Iterable[Packed]) -> bool:
    """Whether its code, or a function that it is given, asks for the time of day. `names` are what imports bind."""
    trees = [tree for cell in piece.cells if (tree := _tree(cell.source)) is not None]
    loaded = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name) and _is_load(node)}
    if any(_asks(call, names) for tree in trees for call in _calls(tree, loaded)):
        return True
    needs = {need for packed in functions for need in packed.needs}
    return bool(needs & CLOCK_WORDS) or bool(
        needs & {"time", "ctime"} and "time" in {top for to in names.values() for top in to}
    )


def bound_by_imports(pieces: Iterable[Piece]) -> dict[str, set[str]]:
    """What the notebook's import statements bind to each name."""
    found: dict[str, set[str]] = {}
    for piece in pieces:
        for cell in piece.cells:
            for node in ast.walk(_tree(cell.source) or ast.Module([], [])):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        first = alias.name.partition(".")[0]
                        found.setdefault(alias.asname or first, set()).add(alias.name if alias.asname else first)
                elif isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        found.setdefault(alias.asname or alias.name, set()).add(f"{node.module}.{alias.name}")
    return found


def _is_load(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _calls(tree: ast.AST, loaded: set[str]) -> Iterator[ast.Call]:
    """The calls in a piece, but for those in functions and classes that it only defines."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name not in loaded:
            continue
        if isinstance(node, ast.Call):
            yield node
        pending += ast.iter_child_nodes(node)


def _asks(call: ast.Call, names: Mapping[str, set[str]]) -> bool:
    words: list[str] = []
    function = call.func
    while isinstance(function, ast.Attribute):
        words.append(function.attr)
        function = function.value
    last = words[0] if words else ""
    if last in CLOCK_WORDS:
        return True
    meant = names.get(function.id, {function.id}) if isinstance(function, ast.Name) else set()
    paths = {".".join((one, *reversed(words))) for one in meant}
    if paths & CLOCK_CALLS or any(path.rpartition(".")[2] in CLOCK_WORDS for path in paths):
        return True
    is_moment = any(path.rpartition(".")[2] in MOMENTS for path in {*paths, last})
    return is_moment and any(isinstance(given, ast.Constant) and given.value in ("now", "today") for given in call.args)
