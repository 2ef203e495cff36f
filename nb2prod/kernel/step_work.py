"""What an engine tells a step's process, and what the process answers: plain values that travel over a socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nb2prod.kernel.parcels import Kept
from nb2prod.kernel.watching import Seen


@dataclass(frozen=True, slots=True)
class CellWork:
    """One cell to run: `position` in the executed notebook, `index` in the author's (None: injected parameters)."""

    position: int
    index: int | None
    source: str
    count: int
    is_test: bool = False
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Packed:
    """A parcel at rest: the names in it, its file, the SHA-256 of that, and what its functions read.

    `identity` is its digest without where in the notebook its functions stand.
    """

    names: tuple[str, ...]
    path: str
    digest: str
    needs: frozenset[str] = frozenset()
    identity: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Work:
    """Cells to run one after the other, in a fresh process or in one that was kept (`stale` names go first).

    `live` are the names that anything later may read; `own` those that the notebook binds itself, among them some like
    `_` that are IPython's otherwise. `sources` are earlier cells that define something, with their numbers, for
    tracebacks. `kept` are the run's artifacts so far, as lines of its journal. `magics` are line magics that earlier
    cells used to set IPython up, `imports` their import statements, and `imported` the names that nothing but these
    bind: those are imported anew in every process. `libraries` have a state that must be there from the beginning.
    `names_indexes` says that the notebook gives an index of pandas a name, which all tables that have it see.
    `values` is the folder for parcels. `keeps` says why
    the process has to be kept whatever its values are. `watched`: the report has to say what the cells saw and did.
    `cluster` is the address of a Dask scheduler that joblib's jobs go to.
    """

    directory: str
    step: str
    cells: tuple[CellWork, ...]
    values: str
    parcels: tuple[Packed, ...] = ()
    ambient: tuple[Packed, ...] = ()
    stale: frozenset[str] = frozenset()
    live: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    sources: tuple[tuple[int, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    magics: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    imported: frozenset[str] = frozenset()
    libraries: tuple[str, ...] = ()
    names_indexes: bool = False
    keeps: str = ""
    watched: bool = False
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a piece of work left behind.

    `parcels` hold what is new or changed and what shares an object with it, `gone` names that were deleted, `same`
    delivered names whose values are what they were. When something cannot leave (`stays`), all of `hosted` stays with
    it in the process. `left_out` are names that are bound but in no parcel, because nothing reads them later. `seen` is
    what the cells saw and did, when that was asked for.
    """

    parcels: tuple[Packed, ...] = ()
    ambient: tuple[Packed, ...] = ()
    gone: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    stays: tuple[Kept, ...] = ()
    hosted: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    seen: Seen | None = None
