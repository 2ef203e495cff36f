"""Typed parameters: what a cell declares, what a caller may give, and what is injected."""

from __future__ import annotations

import ast
import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb2prod.core.errors import BadParameter
from nb2prod.core.pipeline import Parameter
from nb2prod.language import parameters
from nb2prod.language.names import functions_of
from nb2prod.language.parameter_types import EnumMember, enums_of, source_of
from nb2prod.language.parameter_values import resolve

ENUM = "from enum import Enum\nclass Color(Enum):\n    RED = 1\n    BLUE = 'b'\n"


def declare(source: str) -> tuple[Parameter, ...]:
    enums = enums_of([ast.parse(ENUM)])
    return parameters.declared(ast.parse(source), source, cell=1, enums=enums)


def give(source: str, **texts: str) -> dict[str, Any]:
    return resolve(declare(source), {}, texts)


GIVEN = [
    ("n = 3", "7", 7),
    ("n: int = 3", "-1", -1),
    ("x: float = 0.5", "1", 1.0),
    ("x: float = 0.5", "1e-3", 1e-3),
    ("s: str = 'a'", "001", "001"),
    ("s = 'a'", "None", "None"),
    ("s: str = 'a = b'", "c = d", "c = d"),
    ("flag: bool = True", "false", False),
    ("flag = False", "yes", True),
    ("xs: list[int] = [1]", "[2, 3]", [2, 3]),
    ("xs: list = []", "['a', 1]", ["a", 1]),
    ("xs: list[int] = [1]", "1,2", [1, 2]),
    ("d: dict[str, float] = {}", '{"a": 1}', {"a": 1.0}),
    ("d: dict[int, str] = {}", "{1: 'a'}", {1: "a"}),
    ("t: tuple[int, str] = (1, 'a')", "[2, 'b']", (2, "b")),
    ("t: tuple[int, ...] = ()", "(1, 2, 3)", (1, 2, 3)),
    ("m: int | None = None", "none", None),
    ("m: int | None = None", "4", 4),
    ("m: Optional[float] = None", "0.5", 0.5),
    ("m: Union[int, str] = 1", "x", "x"),
    ("k: Literal['l1', 'l2'] = 'l1'", "l2", "l2"),
    ("k: Literal[1, 2] = 1", "2", 2),
    ("c: Color = Color.RED", "BLUE", "BLUE"),
    ("c: Color = Color.RED", "Color.BLUE", "BLUE"),
    ("p: Path = Path('a')", "b/c", PurePosixPath("b/c")),
    ("day: date = date(2020, 1, 2)", "2021-02-03", datetime.date(2021, 2, 3)),
    ("at: datetime = datetime(2020, 1, 2)", "2021-02-03T04:05", datetime.datetime(2021, 2, 3, 4, 5)),
    ("a: Annotated[int, 'ge=0'] = 1", "2", 2),
    ("z = None", "[1]", [1]),
    ("z = None", "word", "word"),
    ("m: int | str = 1", "001", "001"),
    ("m: str | int = 1", "7", 7),
    ("m: float | str = 1.0", "nan", "nan"),
    ("m: bool | str = 'a'", "no", "no"),
    ("m: bool | str = 'a'", "true", True),
    ("m: bool | int = 1", "1", 1),
    ("m: float | int = 1", "1", 1),
    ("m: datetime | date = None", "2020-01-02", datetime.date(2020, 1, 2)),
    ("where = os.path.join('a', 'b')", "7", "7"),
    ("where = Path('a') / 'b'", "c", PurePosixPath("c")),
    ("day = date.today()", "2020-01-02", datetime.date(2020, 1, 2)),
    ("label = f'a-{1}'", "007", "007"),
    ("seconds = 60 * 60", "5", 5),
    ("z = None", "-" * 100_000 + "1", "-" * 100_000 + "1"),
]


@pytest.mark.parametrize(("source", "text", "value"), GIVEN, ids=[f"{s} -p {t[:30]}" for s, t, _ in GIVEN])
def test_a_text_becomes_a_value_of_the_declared_type(source: str, text: str, value: Any) -> None:
    (made,) = give(source, **{declare(source)[0].name: text}).values()
    assert made == value
    assert type(made) is type(value) or isinstance(made, EnumMember)


REFUSED = [
    ("n: int = 3", "7.5", "expects int"),
    ("n: int = 3", "true", "expects int"),
    ("n: int = 3", "1_000", "write a number as digits"),
    ("x: float = 1.0", "abc", "expects float"),
    ("flag: bool = True", "maybe", "write true or false"),
    ("xs: list[int] = [1]", "['a']", "expects list[int]"),
    ("xs: list[int] = [1]", "1 2", "write it as JSON"),
    ("t: tuple[int, str] = (1, 'a')", "[1]", "it has 1 items"),
    ("k: Literal['l1', 'l2'] = 'l1'", "l3", "expects one of 'l1', 'l2'"),
    ("c: Color = Color.RED", "GREEN", "expects one of RED, BLUE"),
    ("day: date = date(2020, 1, 2)", "3 May", "expects date"),
    ("f: np.ndarray = None", "1", "a type that cannot be given from outside"),
    ("w = np.array([1])", "[2]", "a type that it does not declare"),
    ("s = {1, 2}", "[2]", "a type that it does not declare"),
    ("f = compute()", "1", "a type that it does not declare"),
    ("x: float = 1.0", "1e400", "larger than a float can be"),
    ("d: dict = {}", '{"a": 1, "a": 2}', "a key stands in it twice"),
    ("xs: list = []", "[" * 100_000, "expects list"),
    ("xs: list = []", "-" * 100_000 + "1", "expects list"),
]


@pytest.mark.parametrize(("source", "text", "reason"), REFUSED, ids=[f"{s} -p {t[:30]}" for s, t, _ in REFUSED])
def test_a_text_of_another_type_is_refused_with_what_was_expected(source: str, text: str, reason: str) -> None:
    with pytest.raises(BadParameter) as refused:
        give(source, **{declare(source)[0].name: text})
    assert reason in str(refused.value)
    assert "cell 1, line 1" in str(refused.value)


@pytest.mark.parametrize("name", ['a=1;open("x","w");b', "class", "__import__", "import os", "", "a b"])
def test_a_name_is_never_code(name: str) -> None:
    with pytest.raises(BadParameter):
        resolve(declare("n = 1"), {}, {name: "5"})


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadParameter, match="unknown parameter tset_size") as refused:
        give("test_size = 0.3", tset_size="0.2")
    assert refused.value.fix == "did you mean test_size?"


def test_a_required_parameter_is_named_when_it_is_missing() -> None:
    with pytest.raises(BadParameter, match="parameters a, b must be given"):
        give("a: int\nb: str = ...\nc = 1")


def test_typed_values_are_not_converted_between_kinds() -> None:
    declared = declare("n: int = 1\nx: float = 1.0\ns: str = ''\nb: bool = True")
    assert resolve(declared, {"n": 2, "x": 3, "s": "4", "b": False}) == {
        "n": 2,
        "x": 3.0,
        "s": "4",
        "b": False,
    }
    for name, value in (("n", True), ("n", 1.5), ("n", "1"), ("x", "1"), ("s", 1), ("b", 1)):
        with pytest.raises(BadParameter):
            resolve(declared, {name: value})


def test_a_comment_is_the_help() -> None:
    declared = declare("alpha: float = 0.5  # strength\nn = 2  # type: int how many\nurl = 'a#b'")
    assert [parameter.help for parameter in declared] == ["strength", "how many", ""]


def test_a_secret_is_known_by_its_name_or_its_type_and_is_never_in_the_source() -> None:
    declared = declare("api_key = ''\ndb: Annotated[str, 'secret'] = ''\nkeyboard = ''")
    assert [parameter.secret for parameter in declared] == [True, True, False]
    source = parameters.injected(declared, {"api_key": "hunter2"}, secret_variable=lambda name: f"SECRET_{name}")
    assert "hunter2" not in source
    assert "SECRET_api_key" in source


def test_the_value_of_a_secret_is_not_in_the_error() -> None:
    with pytest.raises(BadParameter) as refused:
        resolve(declare("token: int = 1"), {}, {"token": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_what_derives_from_a_given_parameter_is_computed_again_and_nothing_else() -> None:
    declared = declare("n = 3\nm = 4\ntotal = n * 10\ntwice = total * 2\nother = m + 1")
    source = parameters.injected(declared, {"n": 5}, secret_variable=str)
    assert source == "n = 5\ntotal = n * 10\ntwice = total * 2"
    source = parameters.injected(declared, {"n": 5, "total": 1}, secret_variable=str)
    assert source == "n = 5\ntotal = 1\ntwice = total * 2"
    assert parameters.injected(declared, {}, secret_variable=str) == ""


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.dates()
    | st.datetimes()
    | st.builds(PurePosixPath, st.text("abc/.", min_size=1)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_injected_source_makes_the_same_value_again(value: Any) -> None:
    made = eval(source_of(value))
    plain = made if not isinstance(made, Path) else PurePosixPath(made)
    assert plain == value
    assert repr(source_of(value)) == repr(source_of(plain))


@given(st.text(max_size=200))
def test_no_text_makes_a_conversion_fail_but_with_a_refusal(text: str) -> None:
    source = "a: int = 1\nb: list[float] = []\nc: dict = {}\nd: bool = True\ne: date = date(2020, 1, 1)\nf = None"
    for parameter in declare(source):
        try:
            made = resolve([parameter], {}, {parameter.name: text})
        except BadParameter:
            continue
        assert list(made) == [parameter.name]


class Rude(str):
    def __repr__(self) -> str:
        return "__import__('os').abort()"


def test_a_value_is_written_as_what_it_is_and_never_as_what_it_prints() -> None:
    """numpy's numbers are floats and texts that print as code, and so may an object of the caller's."""
    import numpy as np

    declared = declare("z = None\nxs: list = []\nx: float = 1.0")
    given = resolve(declared, {"z": {Rude("k"): np.str_("v")}, "xs": [np.float64(1.5), Rude("a")], "x": np.float64(2)})
    source = parameters.injected(declared, given, secret_variable=str)
    assert source == "z = {'k': 'v'}\nxs = [1.5, 'a']\nx = 2.0"


def test_a_time_that_the_standard_library_cannot_hold_is_refused() -> None:
    import pandas as pd

    declared = declare("at: datetime = None\nz = None")
    given = resolve(declared, {"at": pd.Timestamp("2020-01-02 03:04:05.000006")})
    assert given == {"at": datetime.datetime(2020, 1, 2, 3, 4, 5, 6)}
    for value in (pd.Timestamp("2020-01-01 00:00:00.123456789"), pd.NaT):
        for name in ("at", "z"):
            with pytest.raises(BadParameter):
                resolve(declared, {name: value})


def test_an_enum_member_is_told_by_its_name_before_its_value() -> None:
    source = "class C(Enum):\n  A = 'B'\n  B = 'A'\n  ONE: int = 1\n  X, Y = 2, 3\n  _ignore_ = 'z'\n"
    enums = enums_of([ast.parse(source)])
    assert [name for name, _ in enums["C"].choices] == ["A", "B", "ONE", "X", "Y"]
    declared = parameters.declared(ast.parse("c: C = C.A"), "", cell=1, enums=enums)
    chosen = [resolve(declared, {}, {"c": text})["c"] for text in ("A", "B", "C.B", "1", "ONE", "X")]
    assert chosen == ["A", "B", "B", "ONE", "ONE", "X"]
    for value in (True, Path("x/A"), ["A"]):
        with pytest.raises(BadParameter):
            resolve(declared, {"c": value})


def test_what_derives_from_a_secret_is_secret() -> None:
    declared = declare("token = 'x'\nn = 1\nurl = f'https://{token}@h'\nheaders = {'u': url}\nlabel = f'{n}'")
    assert [parameter.name for parameter in declared if parameter.secret] == ["token", "url", "headers"]


def test_a_secret_of_any_type_comes_out_of_its_environment_variable_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "password: date = None\ntoken: Path = None\nToken: float = 1.0\nsecret: str = ''"
    given: dict[str, Any] = {"password": "2020-01-02", "token": "a/b", "Token": "inf", "secret": "1"}
    values = give(source, **given)
    for name, value in values.items():
        monkeypatch.setenv(f"V_{name}", parameters.in_environment(value))
    namespace: dict[str, Any] = {}
    exec(parameters.injected(declare(source), values, secret_variable="V_{}".format), namespace)
    assert {name: namespace[name] for name in given} == values | {"token": Path("a/b")}


def early(source: str, *given: str, functions: str = "") -> list[tuple[int, str]]:
    above = functions_of([ast.parse(functions)])
    declared = parameters.declared(ast.parse(source), source, cell=1, enums={}, functions=above)
    return [(line, name) for line, _, name in parameters.used_too_early(ast.parse(source), declared, given, above)]


EARLY = [
    ("seed = 1\nrandom.seed(seed)", [(2, "seed")]),
    ("seed = 1\nother = 2\nrandom.seed(other)", []),
    ("seed = 1\nif seed > 2:\n    k = seed", [(2, "seed")]),
    ("seed = 1\na, b = seed, 2", [(2, "seed")]),
    ("seed = 1\nxs = []\nxs.append(seed)", [(3, "seed")]),
    ("seed = 1\ntotal = seed * 2\nassert total > 1", [(3, "total")]),
    ("seed = 1\nseed += 1", [(2, "seed")]),
    ("seed = 1\ntotal = seed * 2\nprint(f'{total}')\ntotal", []),
    ("seed = 1\ndef f(n=seed): ...", [(2, "seed")]),
    ("seed = 1\ndef f(): return seed", []),
    ("seed = 1\ncall_me()", [(2, "seed")]),
]


@pytest.mark.parametrize(("source", "found"), EARLY, ids=[source for source, _ in EARLY])
def test_what_a_parameters_cell_does_with_a_default_is_found(source: str, found: list[tuple[int, str]]) -> None:
    assert early(source, "seed", functions="def call_me(): draw(seed)") == found
    assert early(source) == []


def test_a_default_derives_from_what_its_function_reads() -> None:
    above = functions_of([ast.parse("def rows(): return n * 10\ndef total(): return rows()")])
    source = "n = 1\nt = total()"
    declared = parameters.declared(ast.parse(source), source, cell=1, enums={}, functions=above)
    assert declared[1].derived_from == ("n",)
    assert parameters.injected(declared, {"n": 5}, secret_variable=str) == "n = 5\nt = total()"
