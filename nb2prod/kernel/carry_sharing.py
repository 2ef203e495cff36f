"""Which names of a namespace share an object: they travel together, so that what is one object stays one object.

m1 = m2 = []        one group
data = [df]         `data` and `df`
a, b = x[:5], x     two views of one buffer
"""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nb2prod.kernel.carry_pickling import InTheWay, Parts, is_constant, looker_of
from nb2prod.kernel.parcels import Kept
from nb2prod.kernel.pickling import path_to


@dataclass(slots=True)
class Look:
    """One name's value: what it consists of, and why it cannot travel, if so."""

    name: str
    parts: Parts = field(default_factory=Parts)
    kept: Kept | None = None

    @property
    def identities(self) -> set[int]:
        return self.parts.changeable | self.parts.roots.keys()


def parts_of(namespace: Mapping[str, Any], names: Iterable[str]) -> dict[str, set[int]]:
    """The identities of all that each name consists of."""
    looks = [look_at(namespace, name) for name in names]
    for look in looks:
        look.parts.alive.clear()
    return {look.name: look.identities for look in looks}


def shared_by(parts: Mapping[str, set[int]], names: Iterable[str]) -> dict[int, list[str]]:
    """What more than one of the names consists of, and of which of them."""
    found: dict[int, list[str]] = {}
    for name in names:
        for part in parts[name]:
            found.setdefault(part, []).append(name)
    return {part: having for part, having in found.items() if len(having) > 1}


def look_at(namespace: Mapping[str, Any], name: str) -> Look:
    look = Look(name)
    looker = looker_of(look.parts, namespace)
    try:
        looker.dump(namespace[name])
    except InTheWay as found:
        look.kept = kept_for(namespace, name, found)
    except Exception as error:  # noqa: BLE001 - whatever an object's own pickling raises, it stays where it is
        look.kept = unpicklable(name, error)
    finally:
        looker.clear_memo()
    if look.kept is not None:
        _look_behind(look, namespace)
    return look


def _look_behind(look: Look, namespace: Mapping[str, Any]) -> None:
    """What pickle does not show (the frame of a generator, say), the garbage collector does."""
    waiting = [namespace[look.name]]
    behind: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in behind or value is namespace or is_constant(value, namespace):
            continue
        if isinstance(value, types.FrameType) or (isinstance(value, dict) and "__builtins__" in value):
            continue  # what runs now, or the globals of a module: they lead everywhere
        behind.add(id(value))
        look.parts.alive.append(value)
        if not isinstance(value, types.ModuleType | type) or getattr(value, "__module__", "") == "__main__":
            waiting += gc.get_referents(value)
        if isinstance(value, tuple):
            waiting += value
        if isinstance(value, weakref.ref):
            waiting.append(value())
    look.parts.changeable |= behind


def unpicklable(name: str, error: Exception) -> Kept:
    return Kept(name, name, f"it cannot be pickled ({type(error).__name__}: {error})")


def kept_for(namespace: Mapping[str, Any], name: str, found: InTheWay) -> Kept:
    return Kept(name, path_to(namespace[name], found.value, name), found.reason)


def tied(looks: list[Look]) -> list[list[Look]]:
    """Names in groups that share nothing with each other, each in the order given."""
    leader = list(range(len(looks)))

    def lead(position: int) -> int:
        while leader[position] != position:
            position = leader[position]
        return position

    first: dict[int, int] = {}
    for position, look in enumerate(looks):
        for part in (*look.parts.changeable, *look.parts.roots):
            leader[lead(position)] = lead(first.setdefault(part, position))
    groups: dict[int, list[Look]] = {}
    for position, look in enumerate(looks):
        groups.setdefault(lead(position), []).append(look)
    return list(groups.values())
