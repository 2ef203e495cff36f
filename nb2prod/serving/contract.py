"""What a package says of its columns beyond their types: `contract.json`.

    {"schema": "nb2prod/contract/1",
     "columns": {"city": {"description": "where the customer lives", "values": ["Köln", "Rome"], "enforced": true},
                 "age": {"minimum": 18, "maximum": 90}}}

With `enforced`, a row that breaks a column's rule is refused, and the schema has it as `enum`, `minimum`, `maximum`.
Without, it is what the training data had: the schema tells it (`x-seen-values`, `x-seen-range`) and nothing is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ServingError

FILE = "contract.json"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one column."""

    description: str = ""
    values: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    enforced: bool = False

    def schema(self, *, nullable: bool = False) -> dict[str, Any]:
        """The keywords of JSON Schema that say it."""
        found: dict[str, Any] = {"description": self.description} if self.description else {}
        low, high = self.minimum, self.maximum
        if self.enforced:
            found |= {"enum": [*self.values, *([None] if nullable else [])]} if self.values else {}
            return found | {n: v for n, v in (("minimum", low), ("maximum", high)) if v is not None}
        found |= {"x-seen-values": list(self.values)} if self.values else {}
        return found | ({"x-seen-range": [low, high]} if (low, high) != (None, None) else {})

    def check(self, value: Any) -> Any:
        """The value. Raises ValueError, whose text a caller may see, when it breaks a rule."""
        if value is None:
            return value
        if self.values and value not in self.values:
            raise ValueError("not one of the values that the model knows")
        is_low = self.minimum is not None and value < self.minimum
        if is_low or (self.maximum is not None and value > self.maximum):
            raise ValueError("not in the range that the model knows")
        return value


NOTHING = Facts()


@dataclass(frozen=True, slots=True)
class Contract:
    """What is known, by column."""

    columns: Mapping[str, Facts] = field(default_factory=dict)

    def of(self, column: str) -> Facts:
        return self.columns.get(column, NOTHING)


NOTHING_KNOWN = Contract()


def read_contract(content: bytes, *, where: str) -> Contract:
    """The contract in the bytes of `contract.json`. Raises ServingError for one that cannot be read."""
    try:
        stored = json.loads(content)["columns"]
        return Contract({name: _facts(facts) for name, facts in stored.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServingError("the contract cannot be read", where=where, exit_code=7) from error


def _facts(stored: Mapping[str, Any]) -> Facts:
    bounds = [stored.get("minimum"), stored.get("maximum")]
    if any(isinstance(bound, bool) or not isinstance(bound, int | float | None) for bound in bounds):
        raise ValueError("a bound that is no number")
    return Facts(
        description=str(stored.get("description", "")),
        values=tuple(stored.get("values", ())),
        minimum=bounds[0],
        maximum=bounds[1],
        enforced=stored.get("enforced", False) is True,
    )
