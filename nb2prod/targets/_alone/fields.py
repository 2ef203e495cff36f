"""The notebook's parameters as a scheduler's: typed as far as it has the type, as text or JSON where it has not."""

from __future__ import annotations

import json
import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nb2prod.core.pipeline import Parameter, ParameterType, Pipeline
from nb2prod.storage import codec
from nb2prod.targets._project.problems import Problems

PLAIN = {
    "int": "int", "float": "float", "str": "str", "bool": "bool", "list": "list", "dict": "dict", "tuple": "list",
    "path": "str", "date": "str", "datetime": "str", "enum": "str",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, as `word` to the scheduler, in letters that it takes. `type` is one of Python's plain types.

    None stands for "not given" where `may_be_missing`. `is_json`: the text of it is given.
    """

    name: str
    word: str
    type: str
    required: bool
    default: Any
    optional: bool
    may_be_missing: bool
    help: str = ""
    is_json: bool = False

    @property
    def value(self) -> str:
        """The expression of what was given."""
        if not self.is_json:
            return self.word
        return (
            f"None if {self.word} is None else json.loads({self.word})" if self.optional else f"json.loads({self.word})"
        )

    @property
    def argument(self) -> str:
        """As a function's argument."""
        kind = f"Optional[{self.type}]" if self.optional or self.may_be_missing else self.type
        return f"{self.word}: {kind}" if self.required else f"{self.word}: {kind} = {self.default!r}"


def fields_of(pipeline: Pipeline, problems: Problems) -> tuple[Field, ...]:
    """All that can be given, required ones first: secrets come from the environment, tables from nowhere."""
    words = ascii_names(parameter.name for parameter in pipeline.parameters)
    found = [_field(parameter, words, problems) for parameter in pipeline.parameters if not parameter.secret]
    given = [field for field in found if field is not None]
    return tuple(sorted(given, key=lambda field: not field.required))


def left_out(pipeline: Pipeline) -> tuple[str, ...]:
    """Parameters that keep their defaults, as no scheduler can give such a value."""
    return tuple(p.name for p in pipeline.parameters if not p.secret and not _type(p.type)[0] and not p.required)


def _field(parameter: Parameter, words: Mapping[str, str], problems: Problems) -> Field | None:
    kind, optional = _type(parameter.type)
    if not kind:
        if parameter.required:
            what = f"the parameter {parameter.name} is a {parameter.type.name}, which no scheduler can give"
            fix = "make it a path or a URL, and read it in a step"
            problems.add(parameter.cell, parameter.line, what, fix)
        return None
    if parameter.required:
        return Field(parameter.name, words[parameter.name], kind, True, None, optional, False, parameter.help)
    missing = bool(parameter.derived_from) or parameter.computed or not _is_json(_plain(parameter))
    default = None if missing else _plain(parameter)
    return Field(parameter.name, words[parameter.name], kind, False, default, optional, missing, parameter.help)


def _plain(parameter: Parameter) -> Any:
    """The default as JSON has it: an enumeration's is the name of its member."""
    value = codec.plain(parameter.default)
    if parameter.type.kind == "enum":
        return next((name for name, member in parameter.type.choices if member == value or name == value), value)
    if parameter.type.kind == "float" and isinstance(value, int):
        return float(value)
    return list(value) if isinstance(value, tuple) else value


def _is_json(value: Any) -> bool:
    """Whether JSON has the value: it has no infinity, and nothing that is not a number."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _type(kind: ParameterType) -> tuple[str, bool]:
    """(one of Python's plain types or nothing, whether None is a value)."""
    if kind.kind in PLAIN:
        return PLAIN[kind.kind], False
    if kind.kind == "literal":
        types = {type(choice).__name__ for choice in kind.choices if choice is not None}
        return (next(iter(types)) if len(types) == 1 else ""), None in kind.choices
    if kind.kind == "union":
        others = [member for member in kind.arguments if member.kind != "none"]
        if len(others) == 1:
            return _type(others[0])[0], len(others) < len(kind.arguments)
    return "", False


def ascii_names(names: Iterable[str], kind: str = "value") -> dict[str, str]:
    """Each name in letters that every scheduler takes, no two alike."""
    found: dict[str, str] = {}
    for number, name in enumerate(names):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        word = re.sub(r"\W+", "_", plain).strip("_") or f"name_{number}"
        word = f"name_{word}" if word[0].isdigit() else word
        word = f"{word}_{kind}" if keyword.iskeyword(word) or word == "self" else word
        found[name] = f"{word}_{number}" if word in found.values() else word
    return found
