"""A pickle made in the kernel loads where the notebook is not, or is refused with the path of what is in the way."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from nb2prod.core.pipeline import HoistedModule
from nb2prod.kernel import pickling
from nb2prod.kernel.pickling import CannotPickle, dump

SOURCE = """
import enum
import functools
LIMIT = 3


def plain(x):
    return x + LIMIT


@functools.lru_cache
def cached(x):
    return x


def logged(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments)
    return inner


@logged
def decorated(x):
    return plain(x)


class Kind(enum.Enum):
    GOOD = 1


class Model:
    class Part:
        def value(self):
            return 7

    def __init__(self):
        self.part = Model.Part()
        self.kind = Kind.GOOD

    @staticmethod
    def helper(x):
        return x

    def predict(self, data):
        return [self.part.value() for _ in data]
"""
NAMES = ("plain", "cached", "logged", "decorated", "Kind", "Model")
MODULE = HoistedModule("pickled_functions", SOURCE, NAMES)


@pytest.fixture
def namespace() -> dict[str, Any]:
    """The notebook's names, in `__main__` as in a kernel."""
    made: dict[str, Any] = {"__name__": "__main__"}
    exec(SOURCE, made)
    return made


def elsewhere(tmp_path: Path, content: bytes, expression: str) -> str:
    """What `expression` says of the unpickled `value`, in a process that has the module's file alone."""
    (tmp_path / "value.pkl").write_bytes(content)
    (tmp_path / "pickled_functions.py").write_text(SOURCE)
    code = f"import pickle; value = pickle.load(open('value.pkl', 'rb')); print({expression})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


def test_what_the_notebook_defines_loads_from_its_module(tmp_path: Path, namespace: dict[str, Any]) -> None:
    """Functions, plain, cached and decorated, classes within classes, enumerations, methods, partial calls."""
    value = [namespace[name] for name in ("plain", "cached", "decorated")]
    value += [
        namespace["Model"](),
        namespace["Model"]().predict,
        namespace["Model"].helper,
        partial(namespace["plain"], 1),
    ]
    pickled = dump(value, "value", MODULE, namespace)
    assert (
        elsewhere(
            tmp_path,
            pickled.content,
            "value[0](1), value[2](1), value[3].predict('ab'), value[4]('a'), "
            "value[5](9), value[6](), value[3].kind.name",
        )
        == "4 4 [7, 7] [7] 9 4 GOOD"
    )
    assert pickled.used == ("Kind", "Model", "cached", "decorated", "plain")


def test_afterwards_everything_is_the_notebooks_again(namespace: dict[str, Any]) -> None:
    """Also when it was refused."""
    dump(namespace["Model"](), "value", MODULE, namespace)
    with pytest.raises(CannotPickle):
        dump([namespace["Model"](), threading.Lock()], "value", MODULE, namespace)
    homes = {namespace[name].__module__ for name in NAMES}
    assert homes | {namespace["Model"].Part.__module__, namespace["Model"].predict.__module__} == {"__main__"}
    assert "pickled_functions" not in sys.modules


def test_a_module_of_the_same_name_is_there_again_afterwards(
    namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = type(sys)("pickled_functions")
    monkeypatch.setitem(sys.modules, "pickled_functions", there)
    dump(namespace["plain"], "value", MODULE, namespace)
    assert sys.modules["pickled_functions"] is there


def _inner() -> Any:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("def outer(n):\n    def inner(x):\n        return x + n\n    return inner\nshort = lambda x: x", scope)
    return scope


@pytest.mark.parametrize(
    ("make", "path", "what"),
    [
        (
            lambda: make_pipeline(FunctionTransformer(_inner()["short"]), LogisticRegression()),
            ".steps[0][1].func",
            "a lambda",
        ),
        (
            lambda: {"parts": [1, _inner()["outer"](2)]},
            "['parts'][1]",
            "the function inner, which is defined inside another",
        ),
        (lambda: partial(print, file=Path("/dev/null").open()), ".keywords['file']", "an open file"),  # noqa: SIM115
        (lambda: np.array([None, threading.RLock()], dtype=object), ".ravel()[1]", "a lock"),
        (lambda: ({"db": sqlite3.connect(":memory:")},), "[0]['db']", "an open connection"),
        (lambda: [None, (n for n in [1])], "[1]", "a generator"),
    ],
)
def test_what_cannot_rest_in_a_file_is_named_by_its_path(make: Any, path: str, what: str) -> None:
    with pytest.raises(CannotPickle) as refused:
        dump(make(), "model", MODULE, {})
    assert refused.value.what.startswith(f"model{path} is {what}")


class _Careful:
    """Has a lock, and leaves it out of its state: so it is in nobody's way."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {}


def test_what_an_object_leaves_out_itself_is_not_in_the_way() -> None:
    assert isinstance(pickle.loads(dump(_Careful(), "model", MODULE, {}).content), _Careful)


def test_packages_are_those_of_the_types_in_the_value() -> None:
    assert dump([np.zeros(1), LogisticRegression()], "value", MODULE, {}).packages == ("numpy", "sklearn")


READS = """
def scaled(x):
    return x * RATE


def through(x):
    return scaled(x)


def harmless(record):
    return record.RATE


class Scaler:
    def predict(self, data):
        return [through(x) for x in data]
"""


@pytest.mark.parametrize("name", ["scaled", "through", "Scaler"])
def test_code_that_reads_what_only_the_notebook_has_is_refused(name: str) -> None:
    """However far down the name is read; the message names it, its cell, and what to do."""
    namespace: dict[str, Any] = {"__name__": "__main__", "RATE": 2}
    exec(READS, namespace)
    module = HoistedModule("m_functions", READS, ("scaled", "through", "harmless", "Scaler"), (("RATE", 7),))
    with pytest.raises(CannotPickle) as refused:
        dump(namespace[name]() if name == "Scaler" else namespace[name], "model", module, namespace)
    assert refused.value.what == (
        "model needs scaled, and that reads RATE, which cell 7 binds: elsewhere there is no RATE"
    )
    assert refused.value.fix == "move RATE to an imports or functions cell, or pass it to scaled as an argument"


def test_an_attribute_of_the_same_name_is_not_refused() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", "RATE": 2}
    exec(READS, namespace)
    module = HoistedModule("m_functions", READS, ("scaled", "through", "harmless", "Scaler"), (("RATE", 7),))
    assert dump(namespace["harmless"], "model", module, namespace).used == ("harmless",)


def test_a_function_that_was_defined_anew_is_written_as_it_was(tmp_path: Path, namespace: dict[str, Any]) -> None:
    """The model has the earlier definition, and the module only the later one: so its code goes along."""
    earlier = namespace["plain"]
    exec("def plain(x):\n    return -x", namespace)
    pickled = dump(earlier, "value", MODULE, namespace)
    assert elsewhere(tmp_path, pickled.content, "value(1)") == "4"


def test_load_gives_back_the_notebooks_own_classes(namespace: dict[str, Any]) -> None:
    pickled = dump(namespace["Model"](), "value", MODULE, namespace)
    assert type(pickling.load(pickled.content, MODULE, namespace)) is namespace["Model"]
