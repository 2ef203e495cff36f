"""Tensors of a graph that take part in Python's arithmetic and comparisons, and in numpy's functions.

Each operation adds an operator to the graph, with the types that numpy gives. So a function that works on columns can
be called with blocks, and the graph afterwards has what it did (see `tables`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from nb2prod.serving.onnx_scorer import MISSING
from nb2prod.stages.translating.graph import CODES, REAL, Graph, Untranslatable


class Block(NDArrayOperatorsMixin):
    """A tensor of the graph: [rows, width] of one type ("text", "bool", "int64", "float64" …).

    `categories` are those of a column of them, in the model's order.
    """

    if TYPE_CHECKING:  # what the mixin's operators give here

        def __add__(self, other: Any) -> Block: ...
        def __sub__(self, other: Any) -> Block: ...
        def __mul__(self, other: Any) -> Block: ...
        def __truediv__(self, other: Any) -> Block: ...
        def __radd__(self, other: Any) -> Block: ...
        def __rsub__(self, other: Any) -> Block: ...
        def __rmul__(self, other: Any) -> Block: ...
        def __rtruediv__(self, other: Any) -> Block: ...
        def __and__(self, other: Any) -> Block: ...
        def __or__(self, other: Any) -> Block: ...
        def __lt__(self, other: Any) -> Block: ...
        def __le__(self, other: Any) -> Block: ...
        def __gt__(self, other: Any) -> Block: ...
        def __ge__(self, other: Any) -> Block: ...
        def __eq__(self, other: object) -> Block: ...  # type: ignore[override]
        def __abs__(self) -> Block: ...

    def __init__(self, graph: Graph, name: str, dtype: str, width: int) -> None:
        self.graph = graph
        self.name = name
        self.dtype = dtype
        self.width = width
        self.categories: tuple[Any, ...] = ()

    def to(self, dtype: str) -> Block:
        if dtype == self.dtype:
            return self
        if "text" in (dtype, self.dtype):
            raise Untranslatable(f"{self.dtype} cannot become {dtype} in ONNX as pandas does it")
        return self.made("Cast", dtype=dtype, to=CODES[dtype])

    @property
    def real(self) -> Block:
        """As the numbers that estimators compute with."""
        return self.to(REAL)

    def made(
        self, op: str, *others: str, dtype: str | None = None, width: int | None = None, **attributes: Any
    ) -> Block:
        """What the operator makes of this block and the others."""
        name = self.graph.add(op, self.name, *others, **attributes)
        return Block(self.graph, name, dtype or self.dtype, self.width if width is None else width)

    def columns(self, places: Sequence[int]) -> Block:
        return self.made("Gather", self.graph.constant(np.array(places, dtype="int64")), width=len(places), axis=1)

    # ---- Python's and numpy's operations, elementwise ----

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Block:
        rule = FUNCTIONS.get(ufunc.__name__)
        if method != "__call__" or kwargs or rule is None:
            raise Untranslatable(f"numpy's {ufunc.__name__} has no translation")
        found: Block = rule(*inputs)
        return found

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Block:
        """numpy's functions that are no ufuncs."""
        if function is np.where and len(args) == 3 and not kwargs:
            return where(*args)
        if function is np.clip and len(args) == 3 and not kwargs:
            block: Block = args[0]
            return block.clip(*args[1:])
        raise Untranslatable(f"numpy's {function.__name__} has no translation")

    def __bool__(self) -> bool:
        raise Untranslatable("it decides by the values of the data (if, and, or)")

    def __iter__(self) -> Any:
        raise Untranslatable("it goes through the rows one by one")

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return lambda other: getattr(np, METHODS[name])(self, other)
        raise Untranslatable(f"it uses .{name}, which has no translation")

    def astype(self, kind: Any) -> Block:
        dtype = np.dtype(kind).name if kind is not str else "text"
        if dtype not in CODES or (dtype == "int64" and self.dtype.startswith("float")):
            raise Untranslatable(f"it converts to {dtype}, which has no translation")
        return self.to(dtype)

    def abs(self) -> Block:
        return self.made("Abs")

    def copy(self) -> Block:
        return self

    def isna(self) -> Block:
        if self.dtype.startswith("float"):
            return self.made("IsNaN", dtype="bool")
        if self.dtype == "text":
            return self._is_missing_text()
        raise Untranslatable(f"missing values of {self.dtype} do not reach a translation")

    def _is_missing_text(self) -> Block:
        return self.made("Equal", self.graph.constant(np.array([[MISSING]], dtype=object)), dtype="bool")

    def notna(self) -> Block:
        return self.isna().made("Not")

    def fillna(self, value: Any) -> Block:
        may_lack = self.dtype.startswith("float") or self.dtype == "text"
        return where(self.isna(), value, self) if may_lack else self

    def clip(self, lower: Any = None, upper: Any = None) -> Block:
        found = self if lower is None else where(self < lower, lower, self)
        return found if upper is None else where(found > upper, upper, found)

    def between(self, low: Any, high: Any) -> Block:
        found: Block = (self >= low) & (self <= high)
        return found

    def isin(self, values: Any) -> Block:
        tests: list[Block] = [self == value for value in values]
        if not tests:
            raise Untranslatable("isin of nothing has no translation")
        found: Block = tests[0]
        for test in tests[1:]:
            found = found | test
        return found


# ---- two values ------------------------------------------------------------------------------------------------------


def _pair(one: Any, other: Any) -> tuple[Block, Block, str]:
    """Both as blocks of the type that numpy would compute in."""
    known = one if isinstance(one, Block) else other
    texts = [value.dtype == "text" if isinstance(value, Block) else isinstance(value, str) for value in (one, other)]
    if any(texts):
        if not all(texts):
            raise Untranslatable("it mixes text with something else")
        dtype = "text"
    else:
        try:
            dtype = np.result_type(*(np.dtype(v.dtype) if isinstance(v, Block) else v for v in (one, other))).name
        except TypeError as error:
            raise Untranslatable("it computes with something that is no number") from error
    if dtype not in CODES:
        raise Untranslatable(f"it computes with {dtype}, which has no translation")
    return _block(known.graph, one, dtype), _block(known.graph, other, dtype), dtype


def _block(graph: Graph, value: Any, dtype: str) -> Block:
    if isinstance(value, Block):
        return value.to(dtype)
    if np.ndim(value):
        raise Untranslatable("it computes with an array of the notebook's")
    content = np.asarray([[value]], dtype=object if dtype == "text" else dtype)
    return Block(graph, graph.constant(content), dtype, 1)


def _joined(op: str, one: Any, other: Any, *, answers: str | None = None, through: str | None = None) -> Block:
    left, right, dtype = _pair(one, other)
    if through:
        left, right, dtype = left.to(through), right.to(through), through
    width = max(left.width, right.width)
    return left.made(op, right.name, dtype=answers or dtype, width=width)


def _computed(op: str) -> Callable[[Any, Any], Block]:
    def rule(one: Any, other: Any) -> Block:
        _, _, dtype = _pair(one, other)
        if dtype in ("bool", "text"):
            raise Untranslatable(f"{op} of {dtype} has no translation")
        is_real = dtype.startswith("float")
        if op == "Pow" and not is_real:
            raise Untranslatable("powers of whole numbers have no translation")
        return _joined(op, one, other, through="float64" if op == "Div" and not is_real else None)

    return rule


def _compared(op: str) -> Callable[[Any, Any], Block]:
    return lambda one, other: _joined(op, one, other, answers="bool")


def _logical(op: str) -> Callable[[Any, Any], Block]:
    def rule(one: Any, other: Any) -> Block:
        if _pair(one, other)[2] != "bool":
            raise Untranslatable(f"{op} of numbers has no translation")
        return _joined(op, one, other)

    return rule


def where(test: Block, one: Any, other: Any) -> Block:
    yes, no, dtype = (
        _pair(one, other) if isinstance(one, Block) or isinstance(other, Block) else _both(test, one, other)
    )
    return test.made("Where", yes.name, no.name, dtype=dtype, width=max(test.width, yes.width, no.width))


def _both(test: Block, one: Any, other: Any) -> tuple[Block, Block, str]:
    dtype = "text" if isinstance(one, str) else np.result_type(np.asarray(one), np.asarray(other)).name
    return _block(test.graph, one, dtype), _block(test.graph, other, dtype), dtype


# ---- numpy's functions: the table ------------------------------------------------------------------------------------


def _inverted(block: Block) -> Block:
    if block.dtype != "bool":
        raise Untranslatable("~ of numbers has no translation")
    return block.made("Not")


def _of_reals(op: str) -> Callable[[Block], Block]:
    """A function that is one operator; of whole numbers numpy computes it in double precision."""
    return lambda block: _real(block).made(op)


def _real(block: Block) -> Block:
    return block if block.dtype.startswith("float") else block.to("float64")


def _log1p(block: Block) -> Block:
    """log(1 + x) without losing a small x: x · log(u) / (u - 1) with u = 1 + x rounded."""
    x = _real(block)
    u = x + 1.0
    exact = x * (u.made("Log") / (u - 1.0))
    return where((u == 1.0) | (u == math.inf), where(u == 1.0, x, u), exact)


def _expm1(block: Block) -> Block:
    x = _real(block)
    u = x.made("Exp")
    exact = (u - 1.0) * (x / u.made("Log"))
    return where(u == 1.0, x, where((u - 1.0 == -1.0) | (u == math.inf), u - 1.0, exact))


METHODS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "truediv": "divide",
    "pow": "power",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}  # what pandas calls them
FUNCTIONS: dict[str, Callable[..., Block]] = {
    "add": _computed("Add"),
    "subtract": _computed("Sub"),
    "multiply": _computed("Mul"),
    "divide": _computed("Div"),
    "power": _computed("Pow"),
    "less": _compared("Less"),
    "less_equal": _compared("LessOrEqual"),
    "greater": _compared("Greater"),
    "greater_equal": _compared("GreaterOrEqual"),
    "equal": _compared("Equal"),
    "not_equal": lambda one, other: _joined("Equal", one, other, answers="bool").made("Not"),
    "bitwise_and": _logical("And"),
    "bitwise_or": _logical("Or"),
    "bitwise_xor": _logical("Xor"),
    "logical_and": _logical("And"),
    "logical_or": _logical("Or"),
    "invert": lambda block: _inverted(block),
    "logical_not": lambda block: _inverted(block),
    "negative": lambda block: block.made("Neg"),
    "positive": lambda block: block,
    "absolute": lambda block: block.made("Abs"),
    "fabs": lambda block: _real(block).made("Abs"),
    "isnan": lambda block: _real(block).made("IsNaN", dtype="bool"),
    "isfinite": lambda block: ~(_real(block).made("IsNaN", dtype="bool") | _real(block).made("IsInf", dtype="bool")),
    "maximum": lambda one, other: _joined("Max", one, other),
    "minimum": lambda one, other: _joined("Min", one, other),
    "sign": lambda block: block.made("Sign"),
    "square": lambda block: block * block,
    "reciprocal": lambda block: 1.0 / _real(block),
    "sqrt": _of_reals("Sqrt"),
    "exp": _of_reals("Exp"),
    "log": _of_reals("Log"),
    "log2": lambda block: _real(block).made("Log") / math.log(2.0),
    "log10": lambda block: _real(block).made("Log") / math.log(10.0),
    "log1p": _log1p,
    "expm1": _expm1,
    "floor": _of_reals("Floor"),
    "ceil": _of_reals("Ceil"),
    "rint": _of_reals("Round"),
    "sin": _of_reals("Sin"),
    "cos": _of_reals("Cos"),
    "tanh": _of_reals("Tanh"),
}


def side_by_side(blocks: Sequence[Block]) -> Block:
    """Blocks of one type, their columns one after another."""
    first, *others = blocks
    if not others:
        return first
    return first.made("Concat", *(block.name for block in others), width=sum(b.width for b in blocks), axis=1)


def all_of(tests: Sequence[Block]) -> Block:
    """[rows, 1]: whether all are true."""
    first, *others = tests
    for other in others:
        first = first.made("And", other.name)
    return first
