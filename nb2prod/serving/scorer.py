"""What answers rows: a port, and MLflow's own loader, which fills it for any model. `onnx_scorer` fills it faster.

A scorer says how it is best asked: `small` is the number of rows that it answers so quickly that a thread would cost
more than the answer, `together` whether requests that wait may be answered by one call, because every row's prediction
is its own.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy

from . import in_turn
from .errors import FieldProblem, Refusal
from .package_folder import PackageFolder
from .rows import NAME_LENGTH, Rows, Validator
from .signature import Signature

_LISTED = 100
_SAME_AS = ("predict", "predict_proba", "predict_log_proba")
_PLAIN = ("boolean", "integer", "long", "float", "double", "string", "datetime")
_CLOSE = 1e-9  # linear algebra rounds the last bits of a row otherwise in another company


class Scorer(Protocol):
    """A loaded model. With `fill`, an optional column that no row has is there with nothing in it."""

    runtime: str
    small: int
    together: bool

    def predict(self, rows: Rows, *, fill: bool, parameters: Mapping[str, Any] | None = None) -> Any: ...

    def predict_unchecked(self, data: Any) -> Any:
        """What MLflow's own server hands to a model without signature."""
        ...

    def predict_outside(self, rows: Rows, outside: Outside) -> Any:
        """All answers, those to rows outside by the model itself. Raises the refusal where there is no model."""
        ...


class Outside(Refusal):
    """Some rows are outside of what a translation answers. `answer` has all rows, `inside` which of them count."""

    def __init__(self, answer: Any, inside: Any, reasons: Sequence[str]) -> None:
        self.answer = answer
        self.inside = inside.all(axis=1)
        self.places = [int(row) for row in numpy.flatnonzero(~self.inside)]
        told = [(row, reasons[int(numpy.argmin(inside[row]))]) for row in self.places[:_LISTED]]
        self.why = told[0][1]
        problems = tuple(FieldProblem("(the row)", reason, row) for row, reason in told)
        super().__init__(422, "the rows are outside of what the model's translation answers", problems)

    def completed(self, others: Any) -> Any:
        """All answers, with the model's own to the rows outside."""
        answer = self.answer.copy()
        answer[~self.inside] = others
        return answer


Loader = Callable[[Path, PackageFolder], Scorer]  # of a checked folder, and what is known of it


class MlflowScorer:
    """Any MLflow model with the python_function flavor, through `mlflow.pyfunc`.

    MLflow checks and converts every table. A scikit-learn model is asked directly for tables of which MLflow, once
    asked, had nothing to convert: the check takes as long as a small model's prediction. `translated` says that the
    model has a proved translation.
    """

    runtime = "mlflow"
    small = 0

    def __init__(self, folder: Path, known: PackageFolder, *, translated: bool = False) -> None:
        import mlflow.pyfunc

        from . import tables

        self._tables = tables
        self._signature = known.signature
        self._model = mlflow.pyfunc.load_model(str(folder))
        self._estimator = _estimator(self._model)
        if self._estimator is not None:
            in_turn.install()
        self._direct: set[tuple[Any, ...]] = set()
        self.together = self._answers_rows_alone(known, translated=translated)

    def predict(self, rows: Rows, *, fill: bool, parameters: Mapping[str, Any] | None = None) -> Any:
        try:
            return self._predicted(rows, fill=fill, parameters=parameters)
        except ValueError as error:
            if _is_about_size(error):
                problem = FieldProblem("(the row)", "a number that is too large for the model, or missing")
                raise Refusal(422, "the rows are not what the model takes", (problem,)) from None
            raise

    def _predicted(self, rows: Rows, *, fill: bool, parameters: Mapping[str, Any] | None) -> Any:
        signature, tables = self._signature, self._tables
        assert signature is not None  # without one there are no rows
        if parameters or self._estimator is None or signature.tensors:
            return self.predict_unchecked(tables.table(rows, signature, fill=fill), parameters)
        columns = tables.columns(rows, signature, fill=fill)
        kinds = tuple((name, column.dtype) for name, column in columns.items())
        made = tables.frame(columns, len(rows))
        if kinds in self._direct:
            return self._predict_directly(made)
        answer = self.predict_unchecked(made, parameters)
        if _is_taken_as_it_is(made, self._model):
            self._direct.add(kinds)
        return answer

    def predict_unchecked(self, data: Any, parameters: Mapping[str, Any] | None = None) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._model.predict(data, params=dict(parameters) if parameters else None)
        except MlflowException as error:
            refused = getattr(error, "refused_column", None)
            if refused is not None:  # the package's own code cannot make the column what it was in the notebook
                raise _not_restored(refused, error) from None
            unknown = getattr(error, "unknown_rows", None)
            if unknown is not None:  # of a model that asks the model of each row's key
                raise _without_model(unknown, error) from None
            refused = getattr(error, "refused_rows", None)
            if refused is not None:  # of a model that makes columns again what they were in the notebook
                raise _without_place(refused, error) from None
            # MLflow's own message quotes the data
            if getattr(error, "error_class", None) == "SCHEMA_ENFORCEMENT_FAILED":
                raise Refusal(422, "MLflow refuses the rows: they do not fit the model's signature") from None
            raise

    def predict_outside(self, rows: Rows, outside: Outside) -> Any:
        raise outside  # nothing is outside of the model itself

    def _predict_directly(self, table: Any) -> Any:
        with in_turn.in_turn():
            return getattr(self._estimator, self._predict_name)(table)

    @property
    def _predict_name(self) -> str:
        return str(self._model.metadata.flavors["python_function"].get("predict_fn", "predict"))

    def _answers_rows_alone(self, known: PackageFolder, *, translated: bool) -> bool:
        """Whether a row's prediction depends on that row only: by what the model is made of, and by trying.

        Nobody knows what a function of the notebook does with the rows beside a row. A translation does: it was made
        by following the function through a table that has no rows, where everything but a row's own values is refused.
        """
        if self._estimator is None or self._predict_name not in _SAME_AS or not is_uniform(known.signature):
            return False
        is_known = translated or all(map(_is_of_scikit_learn, _parts(self._estimator)))
        return is_known and self._example_agrees(known)

    def _example_agrees(self, known: PackageFolder) -> bool:
        try:
            rows = Validator(known.signature).rows(known.example) if known.signature else []
            together = self.predict(rows * 4, fill=True)
            alone = [self.predict([row], fill=True) for row in rows] * 4
        except Exception:  # noqa: BLE001 - the example does not fit; requests are then answered one by one
            return False
        return bool(rows) and same_answers(together, alone)


def _is_about_size(error: ValueError) -> bool:
    """Whether it is scikit-learn's own refusal of numbers that are infinite (maybe in single precision), or missing."""
    frames = traceback.extract_tb(error.__traceback__, limit=-3)
    return any(
        frame.name.startswith("_assert_all_finite") and frame.filename.endswith(("validation.py", "validation.pyc"))
        for frame in frames
    )


def _not_restored(column: str, error: Any) -> Refusal:
    rows = error.refused_rows[:_LISTED] or [None]
    problems = tuple(FieldProblem(column[:NAME_LENGTH], error.refused_reason, row) for row in rows)
    return Refusal(422, "the rows do not fit the model's signature", problems)


def _without_model(rows: Sequence[int], error: Any) -> Refusal:
    field = ", ".join(error.unknown_columns)
    problems = tuple(FieldProblem(field, "there is no model for this key", row) for row in rows[:_LISTED])
    return Refusal(422, "some rows have a key for which there is no model", problems)


def _without_place(rows: Sequence[int], error: Any) -> Refusal:
    reason, field = error.refused_reason, error.refused_column[:NAME_LENGTH]
    problems = tuple(FieldProblem(field, reason, row) for row in rows[:_LISTED]) or (FieldProblem(field, reason),)
    return Refusal(422, "the rows do not fit the model's columns", problems)


def is_uniform(signature: Signature | None) -> bool:
    """Whether all tables of this signature have the same column types, whatever is missing in them."""
    if signature is None or signature.form != "named columns":
        return False
    return all(c.kind.name in _PLAIN and (c.required or c.kind.name in _MAY_LACK) for c in signature.columns)


_MAY_LACK = ("float", "double", "string", "datetime")


def same_answers(together: Any, alone: Sequence[Any]) -> bool:
    """Whether the answers to rows are those to each row: equal, or numbers that differ in their last bits."""
    if not isinstance(together, numpy.ndarray) or not all(isinstance(one, numpy.ndarray) for one in alone):
        return False
    joined = numpy.concatenate(list(alone)) if alone else together[:0]
    if joined.shape != together.shape or joined.dtype != together.dtype:
        return False
    if together.dtype.kind != "f":
        return bool((joined == together).all())
    return bool(numpy.allclose(joined, together, rtol=_CLOSE, atol=_CLOSE, equal_nan=True))


def _estimator(model: Any) -> Any:
    """The scikit-learn object within a loaded model, None for other models."""
    if "sklearn" not in model.metadata.flavors:
        return None
    return getattr(getattr(model, "_model_impl", None), "sklearn_model", None)


def _parts(estimator: Any) -> Iterable[Any]:
    """An estimator and those within it, however they are nested."""
    waiting, seen = [estimator], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
        elif hasattr(part, "get_params") or callable(part):
            yield part
            waiting += vars(part).values() if hasattr(part, "get_params") else ()


def _is_of_scikit_learn(part: Any) -> bool:
    """What computes with each row alone: scikit-learn's classes and numpy's ufuncs, no function of anyone else."""
    if isinstance(part, numpy.ufunc):
        return True
    kind = part if isinstance(part, type) else type(part)
    if kind.__name__ == "FunctionTransformer" and not isinstance(part.func, numpy.ufunc | None):
        return False
    named = kind.__module__.startswith(("sklearn.", "numpy"))
    return named and (hasattr(part, "get_params") or isinstance(part, type))


def _is_taken_as_it_is(table: Any, model: Any) -> bool:
    """Whether MLflow's check of a table changes nothing of it, values of any Python type apart."""
    if any(dtype.kind == "O" and dtype.name == "object" for dtype in table.dtypes):
        return False
    try:
        from mlflow.models.utils import _enforce_schema
    except ImportError:  # another MLflow: every table goes through it
        return False
    enforced = _enforce_schema(table, model.metadata.get_input_schema())
    return bool(enforced.dtypes.equals(table.dtypes) and enforced.equals(table) and enforced.index.equals(table.index))


def affordable(seconds: float, *, budget: float = 0.001, most: int = 16) -> int:
    """How many rows may be answered within the budget, when one takes so long."""
    return min(most, math.floor(budget / seconds)) if seconds > 0 else 0
