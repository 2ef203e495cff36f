"""Values on their way to another process: what is one object stays one, what cannot go is named, nothing changes."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nb2prod.kernel import ambient, carry

Namespace = dict[str, Any]


@pytest.fixture
def main() -> Iterator[list[types.ModuleType]]:
    """The module `__main__` as a step's process has it; afterwards pytest's own again."""
    own = sys.modules["__main__"]
    yield []
    sys.modules["__main__"] = own


def namespace_of(source: str) -> Namespace:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    exec(compile(source, "<cell>", "exec"), vars(module))
    return vars(module)


def sent(namespace: Namespace, *names: str) -> Namespace:
    """What arrives in a namespace of its own."""
    parcels, kept = carry.pack(namespace, names)
    assert kept == []
    arrived = namespace_of("")
    for parcel in parcels:
        arrived.update(carry.unpack(parcel.content, arrived))
    return arrived


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize(
    ("source", "names", "groups"),
    [
        ("a = b = []", "a b", [("a", "b")]),
        ("a = []\nb = [a]\nc = 1", "a b c", [("a", "b"), ("c",)]),
        ("a = 'x'\nb = a", "a b", [("a",), ("b",)]),
        ("class A: pass\na = A()\nb = A()", "A a b", [("A", "a", "b")]),
        ("def f(): return k\nk = []", "f k", [("f",), ("k",)]),
        ("import numpy as np\na = np.arange(9)\nb = a[2:]\nc = a.copy()", "a b c", [("a", "b"), ("c",)]),
        ("import pandas as pd\ndf = pd.DataFrame({'x': [1]})\ns = df['x']", "df s", [("df",), ("s",)]),
        ("import pandas as pd\nx = []\ndf = pd.DataFrame({'x': [x]})", "df x", [("df", "x")]),
        ("import math, numpy\nx = float('nan')\nxs = [x]\ny = math.nan\nz = [y]", "x xs y z", None),
    ],
)
def test_names_that_share_what_can_change_travel_together(
    source: str, names: str, groups: list[tuple[str, ...]] | None
) -> None:
    parcels, _ = carry.pack(namespace_of(source), names.split())
    assert [parcel.names for parcel in parcels] == (groups or [("x", "xs"), ("y",), ("z",)])


@pytest.mark.usefixtures("main")
def test_a_change_through_one_name_is_seen_through_the_other() -> None:
    there = sent(namespace_of("import numpy as np\na = np.zeros(6)\nb = a[2:4]\nc = a[::2]"), "a", "b", "c")
    there["b"][0] = 7
    assert (there["a"].tolist(), there["c"].tolist()) == ([0, 0, 7, 0, 0, 0], [0, 7, 0])


@pytest.mark.usefixtures("main")
def test_a_function_reads_the_globals_of_where_it_arrives() -> None:
    here = namespace_of("k = 1\ndef f(x, *, y=2):\n    'doc'\n    return x * k + y\ng = lambda x: f(x) + k\nf.seen = 3")
    there = sent(here, "f", "g")
    there["k"] = 10
    assert (there["f"](1), there["g"](1), there["f"].__doc__, there["f"].seen) == (12, 22, "doc", 3)
    assert next(p.needs for p in carry.pack(here, ["g"])[0]) == {"f", "k"}


@pytest.mark.usefixtures("main")
def test_closures_share_their_cells_and_may_hold_themselves() -> None:
    source = (
        "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n"
        "    def get(): return n\n    def own(): return own\n    return up, get, own\nup, get, own = make()"
    )
    there = sent(namespace_of(source), "up", "get", "own")
    there["up"]()
    assert (there["get"](), there["own"]() is there["own"]) == (1, True)


@pytest.mark.usefixtures("main")
def test_classes_instances_and_isinstance_arrive_as_they_left() -> None:
    source = "class A:\n    n = []\n    def __init__(self): super().__init__(); self.v = 1\na = A()\nA.n.append(a)"
    there = sent(namespace_of(source), "A", "a")
    assert (isinstance(there["a"], there["A"]), there["A"].n[0] is there["a"], there["A"]().v) == (True, True, 1)


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize(
    ("source", "path", "reason"),
    [
        ("x = {'a': [i for i in range(2)], 'g': (i for i in range(2))}", "x['g']", "a generator"),
        ("import os\nx = [open(os.devnull)]", "x[0]", "an open file"),
        ("d = {}\nx = d.keys()", "x", "a view of a dictionary"),
        ("x = memoryview(bytearray(2))", "x", "a view of another object's memory"),
        ("x = set(range(0, 999, 3)) ^ {0, 1, 64, 8192}\nfor i in range(0, 900, 3): x.discard(i)", "x", "a set whose"),
        ("x = {object(), object()}", "x", "a set whose order would change"),
        ("try: 1 / 0\nexcept ZeroDivisionError as e: x = e", "x", "an exception with its traceback"),
        ("class A:\n    def __del__(self): pass\nx = [A()]", "x[0]", "an object that does something when it ends"),
        ("class A:\n    __slots__ = ('y',)\nx = A", "x", "a class with slots"),
        ("class D(dict):\n    def __setitem__(self, k, v): pass\nx = D()", "x", "a container that is filled"),
        ("import functools\n@functools.lru_cache\ndef x(n): return n\nx(1)", "x", "a function that has remembered"),
    ],
)
def test_what_would_not_arrive_as_it_left_stays_and_is_named(source: str, path: str, reason: str) -> None:
    parcels, kept = carry.pack(namespace_of(source), ["x"])
    assert parcels == []
    assert kept[0].path == path
    assert kept[0].reason.startswith(reason)


@pytest.mark.usefixtures("main")
def test_arrays_keep_layout_writeability_and_ownership() -> None:
    here = namespace_of("")
    here["f"], here["r"] = np.asfortranarray(np.random.rand(3, 4)), np.arange(3.0)
    here["t"] = np.arange(12.0)[::3]
    here["d"] = np.array(["2026-01-01", "NaT"], dtype="datetime64[D]")
    here["r"].flags.writeable = False
    there = sent(here, "f", "r", "t", "d")
    assert (there["f"].flags.f_contiguous, there["f"].flags.owndata, there["r"].flags.writeable) == (True, True, False)
    assert (there["t"].strides, there["f"].tolist()) == ((24,), here["f"].tolist())
    assert there["d"].tolist() == here["d"].tolist()


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize(
    ("source", "change", "same"),
    [
        ("x = [1, [2]]", "x[1].append(3)", False),
        ("x = [1, [2]]", "x[1]", True),
        ("x = {'b', 'a'}", "sorted(x)", True),
        ("import pandas as pd\nx = pd.DataFrame({'a': [1.0, 2.0], 'b': [1, 2]})", "x.to_numpy().sum()", True),
        ("import pandas as pd\nx = pd.DataFrame({'a': [1.0, 2.0]})", "x.loc[1, 'a'] = 3.0", False),
        ("x = [[]]\ny = x[0]", "x[0] = []", False),
        ("import numpy as np\nx = np.random.default_rng(0)", "x.random()", False),
    ],
)
def test_a_fingerprint_tells_whether_anything_changed(source: str, change: str, same: bool) -> None:
    namespace = namespace_of(source)
    names = [name for name in ("x", "y") if name in namespace]
    before = carry.fingerprint(namespace, names)
    exec(change, namespace)
    assert (carry.fingerprint(namespace, names) == before) == same


@pytest.mark.usefixtures("main")
def test_what_the_notebook_deletes_ends_then() -> None:
    """Looking at values must not keep them alive."""
    import weakref

    namespace = namespace_of("class A: pass\nx = [A()]")
    ended = weakref.ref(namespace["x"][0])
    carry.pack(namespace, ["x"])
    carry.fingerprint(namespace, ["x"])
    del namespace["x"]
    assert ended() is None


def test_ambient_state_is_taken_and_put_back() -> None:
    import decimal
    import os
    import random
    import warnings

    import pandas as pd

    before = ambient.taken()
    try:
        os.environ["CASE_OF_AMBIENT"] = "1"
        decimal.getcontext().prec = 5
        random.random()
        np.random.rand()
        warnings.simplefilter("error")
        pd.set_option("display.max_rows", 7)
        changed = ambient.changed(before, ambient.taken())
    finally:
        ambient.put(before)
    expected = {"<environment>", "<decimal>", "<random>", "<numpy.random>", "<warnings>", "<pandas>"}
    assert set(changed) == expected
    assert ambient.changed(before, ambient.taken()) == {}
