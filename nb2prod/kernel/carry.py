"""Values on their way from one process of a run to the next, with everything that they share.

    parcels, kept = pack(namespace, names)      at the end of a step
    namespace |= unpack(parcel, namespace)      at the beginning of the next

Names that share an object which can change (`m1 = m2 = []`, `data = [df]`, two views of one array) travel in one
parcel, so that what is one object stays one object. Functions and classes of the notebook travel with their values:
a function's code is bound to the namespace where it arrives, so that it sees a global that is bound again later, just
as in the notebook; `Parcel.needs` lists the globals that it reads.

What cannot leave its process unharmed (a generator, an open file, a lock, a set whose order would change) is `Kept`:
the reason, and the path of the object inside the value.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from nb2prod.kernel import carry_arrays
from nb2prod.kernel.carry_functions import arriving
from nb2prod.kernel.carry_pickling import Hash, InTheWay, Unpickler, pickler_of
from nb2prod.kernel.carry_sharing import Look, kept_for, look_at, parts_of, shared_by, tied, unpicklable
from nb2prod.kernel.parcels import Kept, Parcel


def pack(
    namespace: Mapping[str, Any], names: Iterable[str], fresh: Iterable[str] | None = None
) -> tuple[list[Parcel], list[Kept]]:
    """The values of `names` (those that are bound) in parcels, and what cannot be packed.

    With `fresh`, only those parcels that hold one of these names: the others rest as they are.
    """
    chosen = None if fresh is None else set(fresh)
    looks = [look_at(namespace, name) for name in names if name in namespace]
    parcels: list[Parcel] = []
    kept: list[Kept] = []
    for group in tied(looks):
        together = tuple(look.name for look in group)
        obstacle = next((look.kept for look in group if look.kept is not None), None)
        if obstacle is None and chosen is not None and chosen.isdisjoint(together):
            continue
        packed = obstacle or _packed(namespace, group)
        if isinstance(packed, Parcel):
            parcels.append(packed)
        else:
            kept.append(dataclasses.replace(packed, names=together))
    for look in looks:
        look.parts.alive.clear()  # what the notebook deletes must end then, and not when we are done with it
    return parcels, kept


def unpack(content: bytes, namespace: MutableMapping[str, Any]) -> dict[str, Any]:
    """The values of a parcel. Functions of the notebook read and write `namespace` from now on."""
    with arriving(namespace):
        found: dict[str, Any] = Unpickler(io.BytesIO(content)).load()
    return found


def fingerprint(namespace: Mapping[str, Any], names: Iterable[str]) -> str:
    """A digest of the values as they are now, with what they share: equal before and after means nothing changed.

    Only meant for comparing within one process. Empty when there is none: then nobody can tell.
    """
    sink = Hash()
    pickler = pickler_of(sink, namespace, carry_arrays.by_digest)
    try:
        pickler.dump({name: namespace[name] for name in names})
    except Exception:  # noqa: BLE001 - a value without a fingerprint is taken for changed
        return ""
    finally:
        pickler.clear_memo()
    return sink.hash.hexdigest()


class Before:
    """Values of one parcel as they were, to tell later which of them are not what they were.

    `values` must hold all of its names as they are bound in `namespace` now.
    """

    def __init__(self, namespace: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._values = values
        self.names = tuple(values)
        self._together = fingerprint(namespace, self.names)
        several = len(self.names) > 1
        self._each = {name: fingerprint(namespace, [name]) for name in self.names} if several else {}
        self._parts = parts_of(namespace, self.names) if several else {}

    def changed(self, namespace: Mapping[str, Any]) -> set[str]:
        """Names that are bound to something else, that hold something else, or that share something else."""
        there = [name for name in self.names if namespace.get(name, self) is self._values[name]]
        if len(there) == len(self.names) and self._together and fingerprint(namespace, there) == self._together:
            return set()
        kept = [name for name in there if (old := self._each.get(name)) and old == fingerprint(namespace, [name])]
        now = parts_of(namespace, kept)
        # the names that something else is shared between now are not what they were, though each looks the same
        return set(self.names) - set(kept) if shared_by(self._parts, kept) == shared_by(now, kept) else set(self.names)


def _packed(namespace: Mapping[str, Any], group: list[Look]) -> Parcel | Kept:
    roots: dict[int, int] = {}
    for look in group:
        for root, count in look.parts.roots.items():
            roots[root] = roots.get(root, 0) + count
    shared = {root for root, count in roots.items() if count > 1}
    file = io.BytesIO()
    pickler = pickler_of(file, namespace, carry_arrays.with_views(shared))
    names = tuple(look.name for look in group)
    try:
        pickler.dump({name: namespace[name] for name in names})
    except InTheWay as found:
        return kept_for(namespace, names[0], found)
    except Exception as error:  # noqa: BLE001 - whatever an object's own pickling raises, it stays where it is
        return unpicklable(names[0], error)
    finally:
        pickler.clear_memo()
    content = file.getvalue()
    identity = _identity(namespace, names, shared) if pickler.codes else ""
    return Parcel(names, content, frozenset(pickler.needs), identity, pickler.lasting)


def _identity(namespace: Mapping[str, Any], names: tuple[str, ...], shared: set[int]) -> str:
    """The digest of what was just packed, with the code of its functions as if it stood nowhere."""
    sink = Hash()
    pickler = pickler_of(sink, namespace, carry_arrays.with_views(shared))
    pickler.placeless = True
    try:
        pickler.dump({name: namespace[name] for name in names})
    finally:
        pickler.clear_memo()
    return sink.hash.hexdigest()
