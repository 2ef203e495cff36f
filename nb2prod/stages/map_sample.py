"""The proof of a map's package: rows of some items' examples, and what these items' own models said of them in the run.

The items brought them along (`kernel/map_proof.py`). Put together they are the package's example: the key's columns,
then those that the models take.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.distribution import title
from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.mapping import ItemResult, MapPlan
from nb2prod.kernel import map_proof
from nb2prod.kernel.map_proof import Proof
from nb2prod.stages.routes import Fallback, routed_model
from nb2prod.storage import shards


@dataclass(frozen=True, slots=True)
class Sample:
    """`inputs` are the columns that every model takes, `packages` what loading the sampled models needs. `items` are
    titles with how many of the example's rows are of that item, in order; `answer` are the columns of an answer with
    room for a reason, and numpy's kind of each.
    """

    example: Any
    predictions: Any
    inputs: tuple[str, ...]
    packages: frozenset[str]
    model_type: str
    items: tuple[tuple[str, int], ...]
    answer: tuple[tuple[str, str], ...] = ()


def sample(plan: MapPlan, keys: Sequence[str], good: Sequence[ItemResult], fallback: Fallback) -> Sample:
    """Raises NotProved when nothing can be proved of the models, UsageError when they do not fit together."""
    proofs = _proofs(plan, good)
    example, inputs = _example(keys, proofs)
    said = [brought for _, brought in proofs]
    packages = frozenset(name for brought in said for name in brought.packages)
    items = tuple((title(result), len(brought.example)) for result, brought in proofs)
    answer = _answered(said)
    model_type = said[0].model_type
    if fallback.kind != "null":
        return Sample(example, answer, inputs, packages, model_type, items)
    roomy, kinds = _with_room(answer)
    return Sample(example, roomy, inputs, packages, model_type, items, kinds)


def _proofs(plan: MapPlan, good: Sequence[ItemResult]) -> list[tuple[ItemResult, Proof]]:
    """The sampled items with what their models said. Raises NotProved when a proof cannot be made of them."""
    kept = shards.proofs(Path(plan.directory))
    found = [(result, map_proof.load(kept[result.number])) for result in good if result.number in kept]
    if not found:
        raise NotProved(
            "none of the items that were to bring a proof is ok, so nothing can be proved of the models",
            fix="run the map again on the items that are ok (--only)",
        )
    for result, brought in found:
        _refuse_useless(result, brought)
    return found


def _refuse_useless(result: ItemResult, brought: Proof) -> None:
    where = title(result)
    if brought.problem:
        raise NotProved(brought.problem, where=where, fix="tag as example what the model's predict takes")
    if brought.stochastic:
        raise NotProved(
            "the model predicts something else each time, so nothing can be proved of it",
            where=where,
            fix="give it a random_state, or make predict deterministic",
        )
    if not len(brought.example):
        raise NotProved("the example has no rows, so nothing can be proved with it", where=where)
    if len(brought.predictions) != len(brought.example):
        raise NotProved("predict does not give one answer a row", where=where)
    _refuse_other_environment(brought)


def _refuse_other_environment(brought: Proof) -> None:
    """The package is proved with the libraries that are here; they must be those of the map's workers."""
    here, there = platform.python_version_tuple()[:2], tuple(brought.python.split(".")[:2])
    found = [("Python", ".".join(there), ".".join(here))]
    found += [(name, version, _version(name)) for name, version in brought.packages.items() if version]
    for name, then, now in found:
        if then != now:
            raise UsageError(
                f"the map ran with {name} {then}, and here is {now or 'none'}",
                fix="run nb2prod in the environment of the map's workers",
            )


def _version(name: str) -> str:
    try:
        return str(getattr(importlib.import_module(name), "__version__", ""))
    except ImportError:
        return ""


def _example(keys: Sequence[str], proofs: Sequence[tuple[ItemResult, Proof]]) -> tuple[Any, tuple[str, ...]]:
    """The rows of all samples as one frame with the key before them, and the columns that a model takes."""
    import pandas

    inputs = _inputs(proofs)
    rows = pandas.concat([brought.example for _, brought in proofs], ignore_index=True)
    made = {}
    for name in keys:
        values = [{**r.given, **r.key}[name] for r, brought in proofs for _ in range(len(brought.example))]
        made[name] = pandas.Series(values)
        if name in inputs and list(map(str, rows[name])) != list(map(str, values)):
            raise UsageError(
                f"the model takes a column {name} that is not the key's {name}",
                fix="give one of the two another name",
            )
    own = {name: rows[name] for name in inputs if name not in keys}
    return pandas.DataFrame({**made, **own}), inputs


def _inputs(proofs: Sequence[tuple[ItemResult, Proof]]) -> tuple[str, ...]:
    first = None
    for result, brought in proofs:
        columns = getattr(brought.example, "columns", None)
        if columns is None or not all(isinstance(name, str) for name in columns):
            raise UsageError(
                f"the example is a {type(brought.example).__name__} whose columns have no names, "
                "so that a key cannot stand beside them",
                where=title(result),
                fix="fit the model on a frame, and tag that frame as example",
            )
        first = first or tuple(columns)
        if tuple(columns) != first:
            raise UsageError(
                f"the models take different columns: {', '.join(first)}, and here {', '.join(columns)}",
                where=title(result),
                fix="give every item's example the same columns in the same order",
            )
    assert first is not None  # there is a proof
    return first


def _answered(proofs: Sequence[Proof]) -> Any:
    """What the items' models said in the run, one after the other, as the package has to say it."""
    import numpy
    import pandas

    said = [brought.predictions for brought in proofs]
    kinds = sorted({type(answer).__name__ for answer in said})
    if len(kinds) > 1:
        raise UsageError(f"the models answer in different ways: {', '.join(kinds)}", fix="let all answer in one way")
    if isinstance(said[0], pandas.Series | pandas.DataFrame):
        answer = pandas.concat(said, ignore_index=True)
    elif isinstance(said[0], list):
        answer = [one for answer in said for one in answer]
    else:
        answer = numpy.concatenate([numpy.asarray(one) for one in said])
    if pandas.isna(numpy.asarray(answer, dtype=object)).any():
        raise NotProved("some of the models' predictions on their examples are missing (NaN)")
    return answer


def _with_room(answer: Any) -> tuple[Any, tuple[tuple[str, str], ...]]:
    """The answer with a reason beside each row, and the kinds of its columns."""
    import numpy
    import pandas

    if numpy.ndim(answer) > 1 and not hasattr(answer, "columns"):
        raise UsageError(
            "a model that answers a row with several numbers leaves no room for a reason", fix="--fallback refuse"
        )
    columns = {name: answer[name] for name in answer} if hasattr(answer, "columns") else {"prediction": answer}
    missing = numpy.zeros(len(answer), dtype=bool)
    made = {name: routed_model()["with_room"](values, missing) for name, values in columns.items()}
    kinds = tuple((str(name), numpy.asarray(values).dtype.kind) for name, values in columns.items())
    return pandas.DataFrame({**made, "reason": numpy.full(len(answer), "", dtype=object)}), kinds
