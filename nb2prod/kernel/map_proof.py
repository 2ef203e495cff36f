"""What a map's item brings along so that a package can be proved: rows of its example, and what its model said of them.

Made in the worker, right after the item's cells, by the notebook's own model. Only some items bring one
(`core.mapping.sample_of`). Nothing here can make an item fail: what is in the way of a proof is said in it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nb2prod.core.pipeline import HoistedModule
from nb2prod.kernel import keep, pickling
from nb2prod.storage.digests import digest
from nb2prod.storage.model_formats import type_name

ROWS = 5


@dataclass(frozen=True, slots=True)
class Proof:
    """`problem` says why there is none; then the rest is empty.

    `packages` are the top-level packages that loading the model needs, with the versions that the worker had.
    """

    example: Any = None
    predictions: Any = None
    stochastic: bool = False
    model_type: str = ""
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def proof_of(
    model: Any, example: Any, pickled: pickling.Pickled, module: HoistedModule, namespace: Mapping[str, Any]
) -> bytes:
    """`model` and `example` as the item's cells left them, `pickled` the model as it was just kept."""
    try:
        with keep.undisturbed(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            proof = _proof(model, example, pickled, module)
            # the notebook's own classes may be in a frame of objects; elsewhere nobody has them
            return pickling.dump(proof, "the proof", module, namespace).content
    except pickling.CannotPickle as error:
        return pickle.dumps(Proof(problem=error.what))
    except Exception as error:  # noqa: BLE001 - the model's predict may raise anything
        return pickle.dumps(Proof(problem=f"the model cannot predict on the example: {type(error).__name__}: {error}"))


def load(content: bytes) -> Proof:
    """What `proof_of` made; the notebook's module must be importable when the model needs it."""
    found = pickle.loads(content)
    assert isinstance(found, Proof)
    return found


def _proof(model: Any, example: Any, pickled: pickling.Pickled, module: HoistedModule) -> Proof:
    rows = copy.deepcopy(example.head(ROWS) if hasattr(example, "head") else example[:ROWS])
    # code of the notebook's may change the model when it predicts; the next cells must find it as it was
    model = copy.deepcopy(model) if pickled.used else model
    first, second = (model.predict(copy.deepcopy(rows)) for _ in range(2))
    needed = {*pickled.packages, *(module.imports if pickled.used else ())}
    kind = type_name(type(model)).replace(f"{pickling.MAIN}.", f"{module.name}.")
    return Proof(rows, first, digest(first) != digest(second), kind, platform.python_version(), versions(needed))


def versions(packages: Iterable[str]) -> dict[str, str]:
    """What these packages say of themselves: to ask for their distributions takes a third of a second an item."""
    return {name: str(getattr(sys.modules.get(name), "__version__", "")) for name in sorted(packages)}
