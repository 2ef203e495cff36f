"""Portraits are painted: by the first rule that means a value, any other object by its attributes.

What cannot be looked at becomes a `Blank`: a comparison names it, and does not pass it over in silence.
"""

from __future__ import annotations

import copyreg
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nb2prod.kernel.portrait import ATOMS, Blank, Thing, kind_of

Ours = Callable[[type], bool]  # whether a class is written in the notebook or beside it
Rule = tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]  # what is meant, and how a painter paints it


class Painter:
    """Makes portraits; of one object one, however often it is met. The first of the rules that means a value counts."""

    def __init__(self, ours: Ours, rules: Sequence[Rule]) -> None:
        self.ours = ours
        self.rules = rules
        self.blanks: list[str] = []
        self.done: dict[int, Any] = {}
        self.alive: list[Any] = []  # so that no identity is given out twice meanwhile

    def paint(self, value: Any) -> Any:
        if type(value) in ATOMS:
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        self.alive.append(value)
        try:
            return self._painted(value)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an object raises when it is looked at
            return self.remember(
                value, self.blank(f"a {kind_of(value)} that cannot be written ({type(error).__name__})")
            )

    def _painted(self, value: Any) -> Any:
        for meant, paint in self.rules:
            if meant(value):
                return self.remember(value, paint(self, value))
        return thing(self, value)

    def remember(self, value: Any, made: Any) -> Any:
        """Known from now on, so that what contains itself comes to an end."""
        self.done[id(value)] = made
        return made

    def blank(self, reason: str) -> Blank:
        self.blanks.append(reason)
        return Blank(reason)


HOLDING = (list, tuple, deque, dict, set, frozenset, str, bytes, int, float, complex)
OWN_WAY = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")


def thing(painter: Painter, value: Any) -> Any:
    """An object by its attributes; one of a library that says how it is pickled, by what it says."""
    kind = type(value)
    made = painter.remember(value, Thing(kind_of(value)))
    attributes = _attributes(value)
    written = _has_own_way(kind) and not painter.ours(kind)
    if written or (not attributes and not painter.ours(kind) and not hasattr(value, "__dict__")):
        _reduced(painter, value, made)
        return made
    made.parts |= {f".{name}": painter.paint(item) for name, item in attributes}
    held = next((base for base in HOLDING if isinstance(value, base)), None)
    if held is not None:
        made.parts["'s content"] = painter.paint(_content(value, held))
    return made


def _attributes(value: Any) -> list[tuple[str, Any]]:
    slots = [names for kind in type(value).__mro__ for names in [vars(kind).get("__slots__", ())]]
    names = [name for found in slots for name in ((found,) if isinstance(found, str) else found)]
    inside = [(name, getattr(value, name)) for name in names if not name.startswith("__") and hasattr(value, name)]
    return [*inside, *getattr(value, "__dict__", {}).items()]


def _content(value: Any, held: type) -> Any:
    if held is dict:
        return dict(dict.items(value))
    plain: Any = held
    return plain.__new__(held, value) if held in (str, bytes, int, float, complex) else plain(plain.__iter__(value))


def _has_own_way(kind: type) -> bool:
    return any(name in vars(base) for base in kind.__mro__ if base is not object for name in OWN_WAY)


def _reduced(painter: Painter, value: Any, made: Thing) -> None:
    """By what pickle would write. Raises what the object's own pickling raises."""
    own = copyreg.dispatch_table.get(type(value))
    reduced: Any = own(value) if own is not None else value.__reduce_ex__(4)
    if isinstance(reduced, str):
        made.parts["'s name"] = reduced
        return
    made_by, arguments, state, items, pairs = (tuple(reduced) + (None,) * 5)[:5]
    made.parts["'s maker"] = painter.paint(made_by)
    made.parts |= {f"'s argument {n}": painter.paint(item) for n, item in enumerate(arguments or ())}
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        state = {**(state[0] or {}), **state[1]} if isinstance(state[0] or {}, dict) else state
    if isinstance(state, dict) and all(isinstance(name, str) for name in state):
        made.parts |= {f".{name}": painter.paint(item) for name, item in state.items()}
    elif state is not None:
        made.parts["'s state"] = painter.paint(state)
    if items is not None:
        made.parts["'s content"] = painter.paint(list(items))
    if pairs is not None:
        made.parts["'s content"] = painter.paint(dict(pairs))


def plain_parts(painter: Painter, kind: str, parts: Iterable[tuple[str, Any]]) -> Thing:
    """An object of which only these parts count."""
    return Thing(kind, {name: painter.paint(part) for name, part in parts})
