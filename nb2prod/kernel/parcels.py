"""What comes of packing the values of a process: parcels that travel, and values that stay."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parcel:
    """`content` is the pickle of `{name: value}`; `needs` are names of the notebook that its functions read.

    `identity` is the digest of the values without where in the notebook their functions stand, empty when there are
    none. `lasting` is False when a process of another run could not read it as it is meant: a set whose order hangs on
    where objects lie in memory.
    """

    names: tuple[str, ...]
    content: bytes
    needs: frozenset[str] = frozenset()
    identity: str = ""
    lasting: bool = True

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """A value that stays in its process: `path` leads from the name to what is in the way.

    `names` are all that share something with it, so that they stay too.
    """

    name: str
    path: str
    reason: str
    names: tuple[str, ...] = ()
