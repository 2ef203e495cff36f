"""A table that writes down what a function does to it: the notebook's functions become part of the graph.

The function is called once with a `Table` in place of a DataFrame. Columns are `Block`s; choosing, adding, dropping and
renaming columns is done at once, arithmetic adds operators to the graph. A function that looks at the values (`if`, a
loop over rows) or uses anything that has no translation ends in `Untranslatable`; a branch cannot be missed, because
there are no values to branch on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nb2prod.stages.translating.blocks import Block, side_by_side
from nb2prod.stages.translating.graph import Graph, Untranslatable


class Table:
    """Columns by name, in order."""

    __array_priority__ = 1000

    def __init__(self, columns: Mapping[Any, Block]) -> None:
        object.__setattr__(self, "_columns", dict(columns))

    @property
    def columns(self) -> list[Any]:
        return list(self._columns)

    @property
    def graph(self) -> Graph:
        found: Graph = next(iter(self._columns.values())).graph
        return found

    def block(self) -> Block:
        """All columns side by side: text as text, everything else as the numbers that estimators compute with."""
        blocks = list(self._columns.values())
        if not blocks:
            raise Untranslatable("a table without columns")
        if any(block.dtype == "text" for block in blocks):
            if not all(block.dtype == "text" for block in blocks):
                raise Untranslatable("text and numbers go into one step")
            return side_by_side(blocks)
        return side_by_side([block.real for block in blocks])

    def chosen(self, wanted: Sequence[Any]) -> Table:
        names = self.columns
        named = [
            names[one] if isinstance(one, int | np.integer) and one not in self._columns else one for one in wanted
        ]
        return Table({name: self[name] for name in named})

    def __getitem__(self, wanted: Any) -> Any:
        if isinstance(wanted, list):
            return self.chosen(wanted)
        if isinstance(wanted, Block | slice) or wanted not in self._columns:
            raise Untranslatable("it chooses rows, or a column that is not there")
        return self._columns[wanted]

    def __setitem__(self, name: Any, value: Any) -> None:
        self._columns[name] = self._as_column(value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._columns)

    def __contains__(self, name: Any) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        raise Untranslatable("it asks how many rows there are")

    def __bool__(self) -> bool:
        raise Untranslatable("it decides by the values of the data (if, and, or)")

    def __getattr__(self, name: str) -> Any:
        if name in self._columns:
            return self._columns[name]
        raise Untranslatable(f"it uses .{name}, which has no translation")

    def __setattr__(self, name: str, value: Any) -> None:
        raise Untranslatable(f"it sets .{name}, which has no translation")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Table:
        def of(name: Any) -> Any:
            parts = [value._columns[name] if isinstance(value, Table) else value for value in inputs]
            return getattr(ufunc, method)(*parts, **kwargs)

        return Table({name: of(name) for name in self._columns})

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise Untranslatable(f"numpy's {function.__name__} of a whole table has no translation")

    def assign(self, **columns: Any) -> Table:
        made = self.copy()
        for name, value in columns.items():
            made[name] = value(made) if callable(value) else value
        return made

    def copy(self, deep: bool = True) -> Table:
        return Table(self._columns)

    def drop(self, labels: Any = None, *, axis: Any = 0, columns: Any = None) -> Table:
        dropped = columns if columns is not None else labels if axis in (1, "columns") else None
        if dropped is None:
            raise Untranslatable("it drops rows")
        names = [dropped] if isinstance(dropped, str) else list(dropped)
        return Table({name: block for name, block in self._columns.items() if name not in names})

    def rename(self, *, columns: Mapping[Any, Any]) -> Table:
        return Table({columns.get(name, name): block for name, block in self._columns.items()})

    def _as_column(self, value: Any) -> Block:
        if isinstance(value, Block):
            return value
        if not isinstance(value, bool | int | float | str):
            raise Untranslatable(f"a column is made from a {type(value).__name__}")
        # a constant, once for each row
        like = next(iter(self._columns.values()))
        count = like.graph.add("Shape", like.name, end=1)
        shape = like.graph.add("Concat", count, like.graph.constant(np.array([1], dtype="int64")), axis=0)
        dtype = "text" if isinstance(value, str) else np.asarray(value).dtype.name
        content = like.graph.constant(np.asarray([[value]], dtype=object if dtype == "text" else dtype))
        return Block(like.graph, like.graph.add("Expand", content, shape), dtype, 1)


def followed(function: Callable[..., Any], value: Table | Block, arguments: Mapping[str, Any]) -> Table | Block:
    """What the function makes of a table or of numbers. Raises Untranslatable."""
    name = getattr(function, "__name__", type(function).__name__)
    given = value.copy() if isinstance(value, Table) else value
    try:
        found = function(given, **arguments)
    except Untranslatable as error:
        raise Untranslatable(f"the function {name}: {error}") from error
    except Exception as error:  # a function may do anything with a table that is none
        raise Untranslatable(f"the function {name} cannot be followed ({type(error).__name__}: {error})") from error
    if not isinstance(found, Table | Block):
        raise Untranslatable(f"the function {name} gives a {type(found).__name__}")
    return found
