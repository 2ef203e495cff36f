"""Many models as one: each item's model in the package's own shards, and `routes.json`, which says whose is where.

`templates/package/routed_model.py` reads both; how a key is spelled is defined there, once for both sides.
"""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from nb2prod.core.distribution import Judgement, title
from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.mapping import ItemResult, MapPlan, ModelReference
from nb2prod.stages.provenance.steady_pickle import steady_pickle
from nb2prod.storage import shards, templates
from nb2prod.storage.files import write_text

FALLBACKS = ("refuse", "null", "item:NUMBER", "pooled")
ROUTES = "routes.json"
TOLD_EACH = 2_000
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fallback:
    """What answers a key without a model; `number` is the item whose model does, for the kind `item`."""

    kind: Literal["refuse", "null", "item", "pooled"] = "refuse"
    number: int | None = None

    @property
    def text(self) -> str:
        return f"item:{self.number}" if self.kind == "item" else self.kind


REFUSE = Fallback()


@dataclass(frozen=True, slots=True)
class Finished:
    """A map that ran: its plan, every item's result, when it began, and how many items there are.

    `judged` are its floors, `tracked` says where MLflow was told of it. `pooled` is the model that the notebook fits on
    the whole table, pickled, where it is wanted, and `told` what is to be said of it.
    """

    plan: MapPlan
    results: Sequence[ItemResult]
    started: float
    total: int
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    judged: Sequence[Judgement] = ()
    tracked: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pooled: bytes | None = None
    told: str = ""


def fallback_of(text: str) -> Fallback:
    """Raises UsageError for a text that names none."""
    kind, _, number = text.partition(":")
    if kind in ("refuse", "null", "pooled") and not number:
        return Fallback(kind)  # type: ignore[arg-type]  # one of the three
    if kind == "item" and number.isdecimal():
        return Fallback("item", int(number))
    advice = "; a mean of other models would be a guess" if kind == "mean" else ""
    raise UsageError(f"there is no fallback {text!r}{advice}", fix=f"one of {', '.join(FALLBACKS)}")


def refuse_fallback(finished: Finished, good: Sequence[ItemResult], fallback: Fallback) -> None:
    if fallback.kind == "item" and fallback.number not in {result.number for result in good}:
        raise UsageError(
            f"item {fallback.number} has no model that others could fall back on",
            fix="name the number of an item that is ok, see the run's results.parquet",
        )
    if fallback.kind == "pooled" and finished.pooled is None:
        raise UsageError(
            "there is no pooled model", fix="a pooled model needs a map with --by; choose another fallback"
        )


def keys_of(plan: MapPlan, good: Sequence[ItemResult]) -> tuple[str, ...]:
    """The columns that tell one item from another. Raises UsageError when they do not."""
    names = plan.by or tuple(good[0].key) or tuple(good[0].given)
    hidden = {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}
    if hidden.intersection(names):
        raise UsageError(f"the key {sorted(hidden.intersection(names))[0]} is a secret, and a package would show it")
    if not names:
        raise UsageError("the items have no key, so that nothing could say which model a row belongs to")
    seen: dict[str, int] = {}
    for result in good:
        own = spelled(result, names)
        if own in seen:
            raise UsageError(
                f"items {seen[own]} and {result.number} have one key, {own}, and each a model",
                fix="run the map with --by COLUMNS that tell items apart",
            )
        seen[own] = result.number
    return names


def spelled(result: ItemResult, names: Sequence[str]) -> str:
    """A key as the routed model spells it: one function for both sides."""
    values = {**result.given, **result.key}
    return str(routed_model()["said"]([values[name] for name in names]))


@cache
def routed_model() -> Mapping[str, Any]:
    """The names of `routed_model.py`, run as MLflow would run it."""
    return runpy.run_path(str(templates.folder("package") / "routed_model.py"))


class _Noting(pickle.Unpickler):
    """Loads a model, and notes which top-level packages it comes from, none of which may be the `plain` one."""

    def __init__(self, content: bytes, packages: set[str], plain: str) -> None:
        super().__init__(io.BytesIO(content))
        self._packages, self._plain = packages, plain

    def find_class(self, module: str, name: str) -> Any:
        if module == self._plain:
            raise _Earlier(module)
        self._packages.add(module.partition(".")[0])
        return super().find_class(module, name)


class _Earlier(Exception):
    """The model names the notebook's functions by the notebook's plain name, which every version of it has."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The models in the package's own shards: `places` by item, and the packages that loading them all needed."""

    folder: Path
    places: Mapping[int, ModelReference]
    pooled: ModelReference | None
    packages: frozenset[str]


def pack(scratch: Path, finished: Finished, good: Sequence[ItemResult], tell: Tell) -> Packed:
    """Copy every model, made the same bytes wherever it was fitted, and load that once. Raises NotProved for one that
    cannot be loaded.
    """
    packages: set[str] = set()
    places: dict[int, ModelReference] = {}
    plain = finished.plan.pipeline.module.name
    with shards.ShardReader(Path(finished.plan.directory)) as reader, shards.open_shards(scratch) as writer:
        for done, result in enumerate(good, start=1):
            assert result.kept is not None  # only those are good
            content = steady_pickle(reader.read(result.kept))
            _load(content, packages, plain, title(result))
            places[result.number] = writer.put(content, result.number)
            if done % TOLD_EACH == 0:
                tell(f"{done:,} of {len(good):,} models loaded and packed")
        pooled = None
        if finished.pooled is not None:
            content = steady_pickle(finished.pooled)
            _load(content, packages, plain, "the pooled model")
            pooled = writer.put(content)
    (scratch / shards.FOLDER / shards.LOCK).unlink(missing_ok=True)
    return Packed(scratch / shards.FOLDER, places, pooled, frozenset(packages))


def _load(content: bytes, packages: set[str], plain: str, where: str) -> None:
    try:
        _Noting(content, packages, plain).load()
    except _Earlier as error:
        raise NotProved(
            f"an earlier nb2prod ran the map: its models name the notebook's functions as those of {error}, "
            "which another version of the notebook may mean as well",
            where=where,
            fix="run the map again",
        ) from error
    except Exception as error:
        raise NotProved(
            f"the model cannot be loaded here: {type(error).__name__}: {error}",
            where=where,
            fix="let it need nothing of the notebook but its functions and imports cells",
        ) from error


def write_routes(
    packed: Packed,
    good: Sequence[ItemResult],
    keys: Sequence[str],
    inputs: Sequence[str],
    fallback: Fallback,
    answer: Sequence[tuple[str, str]] = (),
) -> None:
    """`answer` are the columns of an answer with numpy's kind of each, where rows without a prediction are answered."""
    instead = (
        packed.pooled
        if fallback.kind == "pooled"
        else packed.places.get(-1 if fallback.number is None else fallback.number)
    )
    content = {
        "schema": "nb2prod/routes/1",
        "keys": keys,
        "inputs": inputs,
        "fallback": fallback.text,
        "fallback_model": None if instead is None else dataclasses.astuple(instead),
        "answer": answer,
        "models": {spelled(r, keys): dataclasses.astuple(packed.places[r.number]) for r in good},
    }
    write_text(packed.folder / ROUTES, json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")
