"""What a cell reads from outside, binds, and may change in place: one row a rule of Python's scoping."""

from __future__ import annotations

import pytest

from nb2prod.language.names import names_of
from nb2prod.language.plain import plain

# source, names read from outside, names bound for certain, names that may be changed
CASES: list[tuple[str, set[str], set[str], set[str]]] = [
    ("df = clean(df)", {"clean", "df"}, {"df"}, set()),
    ("x = 1\ny = x", set(), {"x", "y"}, set()),
    ("x += 1", {"x"}, {"x"}, {"x"}),
    ("x: int", {"int"}, set(), set()),
    ("x: int = y", {"int", "y"}, {"x"}, set()),
    ("a, (b, *c) = d", {"d"}, {"a", "b", "c"}, set()),
    ("df['z'] = 1", {"df"}, set(), {"df"}),
    ("df.loc[mask, 'z'] = 1", {"df", "mask"}, set(), {"df"}),
    ("a.b.c = 1", {"a"}, set(), {"a"}),
    ("del d['k']", {"d"}, set(), {"d"}),
    ("model.fit(X, y)", {"model", "X", "y"}, set(), {"model"}),
    ("model = Model().fit(X)", {"Model", "X"}, {"model"}, set()),
    ("y = model.predict(X)", {"model", "X"}, {"y"}, set()),
    ("df.drop(columns='a')", {"df"}, set(), set()),
    ("df.drop(columns='a', inplace=True)", {"df"}, set(), {"df"}),
    ("df.drop(columns='a', inplace=False)", {"df"}, set(), set()),
    ("df = load()\ndf['z'] = 1", {"load"}, {"df"}, set()),
    ("if c:\n    x = 1", {"c"}, set(), set()),
    ("if c:\n    x = 1\nelse:\n    x = 2", {"c"}, {"x"}, set()),
    ("if c:\n    x = 1\nelse:\n    x = x + 1", {"c", "x"}, {"x"}, set()),
    ("for i in xs:\n    s = i", {"xs"}, set(), set()),
    ("while c:\n    x = 1", {"c"}, set(), set()),
    ("try:\n    x = f()\nexcept E as e:\n    x = e", {"f", "E"}, {"x"}, set()),
    ("try:\n    x = f()\nexcept E:\n    pass", {"f", "E"}, set(), set()),
    ("try:\n    import a\nexcept ImportError:\n    import b as a", {"ImportError"}, {"a"}, set()),
    ("with open(p) as f:\n    t = f.read()", {"open", "p"}, {"f", "t"}, set()),
    ("[x for x in xs if x > k]", {"xs", "k"}, set(), set()),
    ("{k: v for k, v in d.items()}", {"d"}, set(), set()),
    ("[(z := x) for x in xs]", {"xs"}, set(), set()),
    ("if (n := len(a)) > 1:\n    pass", {"len", "a"}, {"n"}, set()),
    ("[[y for y in x] for x in xs]", {"xs"}, set(), set()),
    ("xs.apply(lambda r: r * k)", {"xs", "k"}, set(), set()),
    ("def f(v, w=d):\n    return v * k", {"d"}, {"f"}, set()),
    ("def f(v):\n    return v * k\ny = f(2)", {"k"}, {"f", "y"}, set()),
    ("k = 3\ndef f(v):\n    return v * k\ny = f(2)", set(), {"k", "f", "y"}, set()),
    ("def f():\n    return g()\ndef g():\n    return k\nf()", {"k"}, {"f", "g"}, set()),
    ("def put(k, v):\n    cache[k] = v\nput(1, 2)", {"cache"}, {"put"}, {"cache"}),
    ("g = lambda v: v * k", {"k"}, {"g"}, set()),  # perhaps: nothing is wrong yet when nothing binds k
    ("class A(B):\n    q = 1\n    def m(self):\n        return k", {"B"}, {"A"}, set()),
    ("class A:\n    def m(self):\n        return k\nA()", {"k"}, {"A"}, set()),
    ("@wrap\ndef f(): ...", {"wrap"}, {"f"}, set()),
    ("import a.b\nimport c as d\nfrom e import f as g", set(), {"a", "d", "g"}, set()),
    ("match p:\n    case [x, *rest]:\n        pass", {"p"}, set(), set()),
    ("match p:\n    case {'k': v, **rest}:\n        q = v\n    case _:\n        q = 0", {"p"}, {"q"}, set()),
    ("x = 1\ndel x", set(), set(), set()),
    ("x = await f()", {"f"}, {"x"}, set()),
    ("print(f'{x!r:{w}}')", {"print", "x", "w"}, set(), set()),
    ("a and (b := c)", {"a", "c"}, set(), set()),
    ("größe = 数 + 1", {"数"}, {"größe"}, set()),
    ("%time x = f(y)", {"f", "y"}, {"x"}, set()),
    ("%%time\nx = y", {"y"}, {"x"}, set()),
    ("%%capture out\nx = y", {"y"}, {"out", "x"}, set()),
    ("files = !ls", {"get_ipython"}, {"files"}, set()),
    ("%%bash\nx = y", set(), set(), set()),
]


@pytest.mark.parametrize(("source", "read", "bound", "changed"), CASES, ids=[case[0] for case in CASES])
def test_names(source: str, read: set[str], bound: set[str], changed: set[str]) -> None:
    tree = plain(source).tree
    assert tree is not None
    names = names_of(tree)
    assert {use.name for use in names.reads if not use.inside} == read
    assert names.bound == bound
    assert {name for name, _ in names.changes} == changed


def test_a_function_of_an_earlier_cell_brings_what_it_reads_and_changes() -> None:
    """The calling cell reads the function's globals, under the function's name."""
    first = plain("cache = {}\ndef put(k):\n    cache[k] = scale").tree
    second = plain("put('a')").tree
    assert first is not None
    assert second is not None
    names = names_of(second, names_of(first).functions)
    assert {(use.name, use.through) for use in names.reads} == {("put", ""), ("cache", "put"), ("scale", "put")}
    assert names.changes == (("cache", 1),)


def test_lines_are_the_cells_own_also_behind_magics() -> None:
    tree = plain("%matplotlib inline\n\nx = y\n%time z = x").tree
    assert tree is not None
    names = names_of(tree)
    assert [(bind.name, bind.line) for bind in names.binds] == [("x", 3), ("z", 4)]
