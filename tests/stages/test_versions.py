"""What steps take from each other through aliases, functions, random streams, tests and shared cells: a row a rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod import plugins
from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import RANDOM, Pipeline
from nb2prod.stages import check as stage
from nb2prod.stages.compile import compile

Rows = list[tuple[str, str]]
IMPORTS = (
    "imports",
    "import random, heapq, functools, sqlite3, threading, csv\nimport numpy as np\nimport pandas as pd\n"
    "from sklearn.ensemble import RandomForestClassifier\nfrom sklearn.linear_model import LinearRegression\n"
    "from sklearn.model_selection import train_test_split, cross_val_score",
)


def compiled(rows: Rows) -> Pipeline:
    cells = tuple(Cell(i, "code", source, tuple(tags.split())) for i, (tags, source) in enumerate(rows))
    return compile(Notebook(Path("nb.ipynb"), cells))


def check(pipeline: Pipeline) -> tuple[Finding, ...]:
    return stage.check(pipeline, [module for _, module in plugins.every("checks")])


def sources(pipeline: Pipeline, step: str) -> dict[str, str]:
    return {edge.name: edge.source for edge in pipeline.step(step).edges}


# why, step a, step b (which changes something), what c reads, and the step that c must take it from
CHANGED: list[tuple[str, str, str, str, str]] = [
    ("two names for a list", "m1 = m2 = []", "m2.append(1)", "m1", "b"),
    ("a plain alias", "x = [1]\ny = x", "y += [2]", "x", "b"),
    ("a list of frames", "u = [1]\nv = [2]", "for d in [u, v]:\n    d.append(3)", "v", "b"),
    ("a list of frames made before", "u = [1]\nv = [2]\ndata = [u, v]", "for d in data:\n    d.append(3)", "v", "b"),
    ("a view of an array", "arr = np.zeros(3)", "s = arr[0:2]\ns[0] = 9", "arr", "b"),
    ("a view made before", "arr = np.zeros(3)\ns = arr[0:2]", "arr[0] = 9", "s", "b"),
    ("a column", "df = pd.read_csv('a')\ns = df['a']", "s.iloc[0] = 9", "df", "b"),
    ("an attribute", "class A: pass\no = A()\no.v = []\nw = o.v", "w.append(1)", "o", "b"),
    ("a dictionary that holds it", "df = []\nd = {'k': df}", "d['k'].append(1)", "df", "b"),
    ("an unknown function gives it back", "from lib import f\nx = []\ny = f(x)", "y.append(1)", "x", "b"),
    ("an object that keeps it", "from lib import Keeper\nmodel = LinearRegression()\nk = Keeper(model)", "k.fit()",
     "model", "b"),
    ("a conditional expression", "x = []\ny = x if x else [1]", "y.append(1)", "x", "b"),
    ("unpacking", "p = ([1], [2])\nx, y = p", "y.append(1)", "p", "b"),
    ("a walrus", "x = []\nif (y := x) is not None:\n    pass", "y.append(1)", "x", "b"),
    ("with", "x = []\nclass C:\n    def __init__(self, v):\n        self.v = v\n    def __enter__(self):\n        "
     "return self.v\n    def __exit__(self, *a): ...", "with C(x) as y:\n    y.append(1)", "x", "b"),
    ("inplace", "df = pd.read_csv('a')", "df.drop(columns='b', inplace=True)", "df", "b"),
    ("out", "arr = np.zeros(3)", "np.add(1, 2, out=arr)", "arr", "b"),
    ("shuffle", "xs = [1, 2]", "random.shuffle(xs)", "xs", "b"),
    ("a heap", "h = []", "heapq.heappush(h, 1)", "h", "b"),
    ("setattr", "class A: pass\no = A()", "setattr(o, 'x', 1)", "o", "b"),
    ("an iterator moves on", "it = iter([1, 2])", "next(it)", "it", "b"),
    ("a comprehension that changes", "d = {}", "[d.update(k=i) for i in range(3)]", "d", "b"),
    ("a function changes its argument", "def f(p):\n    p.append(1)\nx = []", "f(x)", "x", "b"),
    ("by keyword", "def f(q, *, p):\n    p.append(1)\nx = []", "f(1, p=x)", "x", "b"),
    ("in turn", "def f(p):\n    p['a'] = 1\ndef g(q):\n    f(q)\nx = {}", "g(x)", "x", "b"),
    ("recursion that swaps", "def f(p, q, n=1):\n    p.append(n)\n    if n: f(q, p, 0)\nx, y = [], []", "f(x, y)", "y",
     "b"),
    ("a function changes a global", "cache = {}\ndef put(k):\n    cache[k] = 1", "put(1)", "cache", "b"),
    ("global", "n = 0\ndef up():\n    global n\n    n += 1\ndef twice():\n    up()\n    up()", "twice()", "n", "b"),
    ("a method", "class A:\n    def __init__(self):\n        self.xs = []\n    def add(self):\n        "
     "self.xs.append(1)\no = A()", "o.add()", "o", "b"),
    ("an inherited method", "class A:\n    def add(self):\n        self.n = 1\nclass B(A): pass\no = B()", "o.add()",
     "o", "b"),
    ("a method that changes its argument", "class A:\n    def add(self, p):\n        p.append(1)\no = A()\nx = []",
     "o.add(x)", "x", "b"),
    ("partial", "def f(p):\n    p.append(1)\nx = []\ng = functools.partial(f, x)", "g()", "x", "b"),
    ("a decorated function", "@functools.lru_cache\ndef f():\n    x.append(1)\nx = []", "f()", "x", "b"),
    ("a function in a dictionary", "def f(p):\n    p.append(1)\nfs = {'f': f}\nx = []", "fs['f'](x)", "x", "b"),
    ("nonlocal", "def tally():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n"
     "    return up\nu = tally()", "u()", "u", "b"),
    ("a callback", "xs = [[1]]", "list(map(lambda v: v.append(2), xs))", "xs", "b"),
    ("a generator function", "def g(p):\n    p.append(1)\n    yield 1\nx = []", "list(g(x))", "x", "b"),
    ("a copy is another", "x = [1]\ny = x.copy()", "y.append(1)", "x", "a"),
    ("arithmetic makes a new one", "x = np.zeros(3)\ny = x * 2", "y[0] = 1", "x", "a"),
    ("a list of columns copies", "df = pd.read_csv('a')\nX = df[['a', 'b']]", "X['c'] = 1", "df", "a"),
    ("a mask copies", "df = pd.read_csv('a')\nX = df[df['a'] > 1]", "X['c'] = 1", "df", "a"),
    ("a new column leaves a column taken out", "df = pd.read_csv('a')\ny = df['t']", "df['n'] = 1", "y", "a"),
    ("the parts of a split are apart", "df = pd.read_csv('a')\ntrain, test = train_test_split(df, random_state=1)",
     "train['n'] = 1", "test", "a"),
    ("pure methods change nothing", "df = pd.read_csv('a')", "df.groupby('a')['b'].mean().plot()", "df", "a"),
    ("drawing from a frame changes no frame", "df = pd.read_csv('a')", "df.sample(3, random_state=1)", "df", "a"),
    ("fitting changes the model alone", "X = pd.read_csv('a')\nm = LinearRegression()", "m.fit(X, X)", "X", "a"),
    ("plotting changes the axes alone", "xs = [1]\nimport matplotlib.pyplot as plt\nf, ax = plt.subplots()",
     "ax.plot(xs)", "xs", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("why", "first", "second", "name", "source"), CHANGED, ids=[row[0] for row in CHANGED])
def test_a_change_is_a_change_of_everything_that_reaches_it(
    why: str, first: str, second: str, name: str, source: str
) -> None:
    pipeline = compiled([IMPORTS, ("step:a", first), ("step:b", second), ("step:c", f"print({name})")])
    assert sources(pipeline, "c")[name] == source
    if source == "b":
        assert name in pipeline.step("b").changes or (name in pipeline.step("b").outputs and why == "global")
        assert name in pipeline.step("b").inputs


def test_what_hangs_together_comes_from_one_step() -> None:
    """b puts df into a list, c changes both: had c taken df from a, it would be another object than the list's."""
    rows = [("step:a", "df = []"), ("step:b", "held = [df]"), ("step:c", "df.append(1)"), ("step:d", "print(held)")]
    pipeline = compiled(rows)
    assert sources(pipeline, "c") == {"df": "b", "held": "b"}
    assert sources(pipeline, "d") == {"held": "c"}
    assert pipeline.step("b").outputs == ("held", "df")


def test_an_alias_that_nobody_reads_later_adds_nothing() -> None:
    rows = [("step:a", "x = []\ny = x"), ("step:b", "x.append(1)"), ("step:c", "print(x)")]
    pipeline = compiled(rows)
    assert pipeline.step("b").inputs == ("x",)
    assert pipeline.step("a").outputs == ("x",)


def test_steps_that_use_their_own_variables_stay_parallel() -> None:
    rows = [
        ("step:a", "X = [1]\ny = [2]\nm1, m2 = object(), object()"),
        ("step:b", "m1.fit(X, y)\nfor i in range(3):\n    part = i\nfig = 1"),
        ("step:c", "m2.fit(X, y)\nfor i in range(3):\n    part = i\nfig = 2"),
    ]
    pipeline = compiled(rows)
    assert pipeline.step("c").upstream == ("a",)


def test_a_function_reads_what_its_names_are_when_it_is_called() -> None:
    rows = [
        ("step:a", "k = 3\ndef f(v):\n    return v * k\nfs = {'f': f, 'g': lambda: k}"),
        ("step:b", "k = 5"),
        ("step:c", "print(fs['f'](2))"),
    ]
    assert sources(compiled(rows), "c") == {"fs": "a", "k": "b"}


# why, cells: no cell reads a name that nothing binds
FINE: list[tuple[str, Rows]] = [
    ("partial of a function above its global",
     [IMPORTS, ("step:a", "def f(v):\n    return v * k\ng = functools.partial(f, 1)\nk = 2\nprint(g())")]),
    ("a lambda above its global", [("step:a", "g = lambda: k\nfs = [lambda: k]\nk = 1\nprint(g())")]),
    ("except NameError",
     [("step:a", "x = 1"), ("step:b", "del x"), ("step:c", "try:\n    x\nexcept NameError:\n    1")]),
    ("deleted perhaps", [("step:a", "x = 1"), ("step:b", "if len('a') > 1:\n    del x"), ("step:c", "print(x)")]),
    ("awk's braces", [("step:a", "!ls | awk '{nothing}' $nothing")]),
    ("a class body's own names", [("step:a", "class A:\n    q = 1\n    r = q + 1")]),
    ("a walrus in a comprehension", [("step:a", "ys = [z for x in range(3) if (z := x)]\nprint(z)")]),
    ("exception names", [("step:a", "try:\n    1\nexcept ValueError as e:\n    print(e)")]),
    ("a default argument", [("step:a", "def f(v=1):\n    return v\nf()")]),
    ("recursion", [("step:a", "def f(n):\n    return f(n - 1) if n else 0\nf(3)")]),
    ("what timeit binds is not bound, and needs nothing",
     [("step:a", "x = 1\n%timeit -n 2 y = x"), ("step:b", "%%timeit\nw = x")]),
]  # fmt: skip


@pytest.mark.parametrize(("why", "rows"), FINE, ids=[row[0] for row in FINE])
def test_nothing_is_undefined(why: str, rows: Rows) -> None:
    assert [f.message for f in check(compiled(rows)) if f.code == "undefined-name"] == []


def test_timeit_keeps_no_names() -> None:
    found = check(compiled([("step:a", "x = 1\n%timeit y = x"), ("step:b", "print(y)")]))
    assert [(f.code, f.cell) for f in found if f.severity == "error"] == [("undefined-name", 1)]


@pytest.mark.parametrize(
    "source",
    ["!ls {path}", "%cd $path", "%time f = path", "files = !ls {path}", "%env X={path}", "%%bash -s $path\necho $1",
     "%%writefile {path}\nx", "print(f'{path!r:>{width}}')", "%%timeit\nlen(path)", "%%capture out\npath"],
)  # fmt: skip
def test_magics_and_shell_lines_read_names(source: str) -> None:
    pipeline = compiled([("step:a", "path = 'x'\nwidth = 3"), ("step:b", source)])
    assert "path" in pipeline.step("b").inputs


# why, what each of three steps does, and from which step the last one takes its random numbers
DRAWS: list[tuple[str, str, str, str, str | None]] = [
    ("a seed reaches the draw", "random.seed(0)", "y = 1", "x = random.random()", "a"),
    ("each draw moves the stream", "np.random.seed(0)", "y = np.random.rand(3)", "x = np.random.rand(3)", "b"),
    ("a frame's sample", "np.random.seed(0)", "y = 1", "x = pd.DataFrame([1]).sample(1)", "a"),
    ("with random_state it draws elsewhere", "np.random.seed(0)", "y = 1",
     "x = pd.DataFrame([1]).sample(1, random_state=2)", None),
    ("a split", "np.random.seed(0)", "y = 1", "x = train_test_split([1, 2])", "a"),
    ("a split with random_state", "np.random.seed(0)", "y = 1", "x = train_test_split([1, 2], random_state=1)", None),
    ("fitting a forest", "np.random.seed(0)", "m = RandomForestClassifier()", "m.fit([[1]], [1])", "a"),
    ("predicting draws nothing", "np.random.seed(0)", "m = RandomForestClassifier()", "m.predict([[1]])", None),
    ("a model that draws, in another's hands", "np.random.seed(0)", "m = RandomForestClassifier()",
     "s = cross_val_score(m, [[1]], [1])", "a"),
    ("through a function", "np.random.seed(0)\ndef f():\n    return np.random.rand()", "y = 1", "x = f()", "a"),
    ("a generator of one's own is a value", "rng = np.random.default_rng(0)", "y = 1", "x = rng.normal()", None),
]  # fmt: skip


@pytest.mark.parametrize(("why", "first", "second", "third", "source"), DRAWS, ids=[row[0] for row in DRAWS])
def test_steps_that_draw_follow_each_other(why: str, first: str, second: str, third: str, source: str | None) -> None:
    pipeline = compiled([IMPORTS, ("step:a", first), ("step:b", second), ("step:c", third)])
    assert sources(pipeline, "c").get(RANDOM) == source
    assert RANDOM not in {*pipeline.step("c").inputs, *pipeline.step("a").outputs, *pipeline.step("a").changes}


def test_a_seed_in_setup_is_no_step_and_orders_nothing() -> None:
    pipeline = compiled([IMPORTS, ("setup", "np.random.seed(0)"), ("step:a", "x = np.random.rand()")])
    assert sources(pipeline, "a") == {RANDOM: "setup"}
    assert pipeline.step("a").upstream == ()


def test_steps_that_draw_in_turn_are_a_warning_and_no_error() -> None:
    rows = [IMPORTS, ("step:a", "random.seed(1)"), ("step:b", "x = random.random()"), ("step:a", "y = random.random()")]
    assert [(f.code, f.severity) for f in check(compiled(rows)) if f.code in ("cycle", "interleaved-step")] == [
        ("cycle", "warning")
    ]


def test_an_exploration_cell_that_changes_or_draws_refuses_isolated_steps() -> None:
    rows = [
        IMPORTS,
        ("step:a", "xs = [1]"),
        ("", "xs.append(random.random())"),
        ("step:b", "print(xs, random.random())"),
    ]
    found = [(f.code, f.severity, f.cell, f.isolated) for f in check(compiled(rows)) if f.isolated]
    assert found == [("exploration-random", "warning", 2, True), ("exploration-name", "warning", 3, True)]


def test_tests_make_known_what_they_read_from_other_steps() -> None:
    rows = [
        ("parameters", "least = 1"),
        ("step:a", "x = 1\nunread = 2"),
        ("step:b", "y = 2"),
        ("test:b", "def test_y():\n    assert y > x >= least"),
    ]
    pipeline = compiled(rows)
    assert (pipeline.step("b").inputs, pipeline.step("b").test_inputs) == ((), ("x", "least"))
    assert pipeline.step("a").outputs == ("x",)
    assert pipeline.step("b").upstream == ()


def test_parameters_reach_steps_through_shared_cells() -> None:
    rows = [
        ("parameters", "k = 3\nseed = 1\nwide = 80\nother = 2"),
        IMPORTS,
        ("setup", "half = k / 2\nnp.random.seed(seed)"),
        ("functions", "def f(v, scale=other):\n    return v * scale"),
        ("step:a", "x = half"),
        ("step:b", "y = np.random.rand()"),
        ("step:c", "z = f(1)"),
        ("step:d", "w = 1"),
    ]
    pipeline = compiled(rows)
    assert [step.parameters for step in pipeline.steps] == [("k",), ("seed",), ("other",), ()]
    ambient = compiled([*rows[:3], ("setup", "pd.set_option('display.width', wide)"), *rows[3:]])
    assert [step.parameters for step in ambient.steps] == [
        ("wide", "k"),
        ("wide", "seed"),
        ("wide", "other"),
        ("wide",),
    ]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("r = open('a')", "open file"),
        ("r = sqlite3.connect('a')", "database connection"),
        ("r = threading.Lock()", "lock"),
        ("r = (x for x in [1])", "generator"),
        ("def g():\n    yield 1\nr = g()", "generator"),
        ("r = iter([1])", "iterator"),
        ("r = csv.reader(open('a'))", "iterator"),
        ("r = {'db': sqlite3.connect('a')}", "database connection"),
    ],
)
def test_what_cannot_leave_its_process_is_told(source: str, what: str) -> None:
    found = check(compiled([IMPORTS, ("step:a", source), ("step:b", "print(r)")]))
    (finding,) = [f for f in found if f.code == "cannot-cross"]
    assert (finding.cell, finding.line, finding.severity, finding.isolated) == (2, 1, "note", False)
    assert f"({what})" in finding.message


@pytest.mark.parametrize(
    "source", ["with open('a') as r:\n    t = r.read()", "t = open('a').read()", "t = list(x for x in [1])"]
)
def test_a_resource_that_is_used_up_where_it_is_made_is_no_matter(source: str) -> None:
    found = check(compiled([("step:a", source), ("step:b", "print(t)")]))
    assert [f for f in found if f.code == "cannot-cross"] == []


HIDDEN: list[tuple[str, list[str]]] = [
    ("y = _ + 1", ["output-history"]),
    ("y = Out[1]", ["output-history"]),
    ("y = _5", ["output-history"]),
    ("y = _i", ["output-history"]),
    ("for _ in range(3):\n    pass\nprint(_)", []),
    ("a, _ = 1, 2\nprint(_)", []),
    ("globals()['x'] = 1", ["hidden-names"]),
    ("x = locals()", ["hidden-names"]),
    ("def f():\n    return locals()", []),
    ("x = vars(object)", []),
    ("eval('1 + x')", []),
    ("x = eval(input)", ["hidden-names"]),
    ("exec('x = 1')", ["hidden-names"]),
    ("import __main__", ["hidden-names"]),
    ("if __name__ == '__main__':\n    x = 1", []),
    ("get_ipython().user_ns['x'] = 1", ["hidden-names"]),
    ("get_ipython().run_cell('x = 1')", ["hidden-names"]),
    ("%run other.py", ["hidden-names"]),
    ("%load other.py", ["hidden-names"]),
    ("%store x", ["hidden-names"]),
    ("%reset -f", ["hidden-names"]),
    ("%who", []),
    ("%matplotlib inline", []),
]


@pytest.mark.parametrize(("source", "codes"), HIDDEN, ids=[row[0] for row in HIDDEN])
def test_hidden_access_is_found_and_refuses_isolated_steps(source: str, codes: list[str]) -> None:
    found = [f for f in check(compiled([("step:a", source)])) if f.code in ("output-history", "hidden-names")]
    assert [f.code for f in found] == codes
    assert all(f.isolated and f.fix and f.severity == "warning" for f in found)


def test_a_star_import_says_what_to_write() -> None:
    found = check(compiled([("imports", "from math import *"), ("step:a", "x = sqrt(4)\nprint(x, pi)")]))
    assert [(f.code, f.fix) for f in found if f.code in ("star-import", "undefined-name")] == [
        ("star-import", "write from math import pi, sqrt")
    ]
