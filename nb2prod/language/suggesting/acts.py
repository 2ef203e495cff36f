"""What each cell does, seen in its syntax tree: what it fits, predicts, scores, draws and sets.

The trees of all cells are seen together, because one cell makes the scaler that another fits, and a function defined
at the top trains the model at the bottom. Function bodies count where the function is called.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from nb2prod.language.plain import PlainCell
from nb2prod.language.suggesting.doing import acts_of_call, divides, weak
from nb2prod.language.suggesting.fitting import Use, fits_of, use_of
from nb2prod.language.suggesting.measures import columns_of, figures_of, made_of, numbers_of, printed_by, unnamed_scores
from nb2prod.language.suggesting.statements import class_of, looks_only
from nb2prod.language.suggesting.trees import Known, learn_from, method_of, name_of, outside, targets_of
from nb2prod.language.suggesting.vocabulary import ACTS, DOWNLOADS, PHASES

PREDICTING = ("predict", "predict_proba", "decision_function", "score")


@dataclass(frozen=True, slots=True)
class Acts:
    """What one cell does. `classes` are the kinds of its statements, see `class_of`; `known` names of ACTS.

    `fits` are of what predicts, `prepares` of what makes data for it; `crossed` are cross-validated. `numbers` are
    bound to a score, `printed` formatted as a number, `unnamed` lines where a score is printed without a name.
    `columns` are bound to one column of a frame; `made` says by what a name was made. `weak` is clean or features,
    whichever there is more of.
    """

    classes: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    fits: tuple[Use, ...] = ()
    prepares: tuple[Use, ...] = ()
    uses: tuple[Use, ...] = ()
    crossed: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    unnamed: tuple[int, ...] = ()
    figures: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    made: tuple[tuple[str, str], ...] = ()
    weak: str = ""
    only_looks: bool = False

    @property
    def phase(self) -> str:
        """The step that the cell makes by itself, empty when nothing says."""
        found = {act.phase for act in ACTS if act.name in self.known}
        if self.fits or "fit" in self.known:
            found.add("train")
        return next((phase for phase in PHASES if phase in found), self.weak)


def acts_of(cells: Sequence[PlainCell | None]) -> tuple[Acts, ...]:
    """The acts of each cell of a notebook, in order; a cell that is no Python does nothing."""
    known = Known()
    for cell in cells:
        for statement in cell.tree.body if cell is not None and cell.tree is not None else ():
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                known.functions[statement.name] = statement
            if isinstance(statement, ast.ClassDef):
                known.classes[statement.name] = frozenset(
                    inner.name for inner in statement.body if isinstance(inner, ast.FunctionDef)
                )
    return tuple(Acts() if cell is None or cell.tree is None else _acts(cell, cell.tree, known) for cell in cells)


def _acts(cell: PlainCell, tree: ast.Module, known: Known) -> Acts:
    body = tree.body
    for statement in body:
        learn_from(statement, known)
    nodes = [(node, loop) for statement in body for node, loop in outside(statement)]
    calls = [(node, loop) for node, loop in nodes if isinstance(node, ast.Call)]
    targets = targets_of(body)
    fits, prepares = fits_of(calls, targets, known)
    numbers = tuple(dict.fromkeys(numbers_of(nodes, known)))
    loads = any(magic.name == "!" and DOWNLOADS.match(magic.arguments) for magic in cell.magics)
    acts = frozenset(act for call, _ in calls for act in acts_of_call(call, known)) | ({"load"} if loads else set())
    acts |= {"split"} if divides(body) else set()
    return Acts(
        classes=frozenset(class_of(statement) for statement in body) - {""},
        known=acts,
        fits=fits,
        prepares=prepares,
        uses=tuple(use_of(call, loop, targets) for call, loop in calls if method_of(call) in PREDICTING),
        crossed=tuple(name_of(call.args[0]) for call, _ in calls if call.args and "cross" in acts_of_call(call, known)),
        numbers=numbers,
        printed=tuple(dict.fromkeys(printed_by(calls))),
        unnamed=tuple(unnamed_scores(body, known)),
        figures=tuple(dict.fromkeys(figures_of(body))),
        columns=tuple(dict.fromkeys(columns_of(body))),
        made=tuple(dict.fromkeys(made_of(body))),
        weak=weak(calls, body, known),
        only_looks=all(looks_only(statement, known) for statement in body),
    )
