"""Ambient state: what cells change that is no name of the notebook, and that every later cell sees.

Each row of STATES is one such thing: how to take it from the process, and how to put it into another. The random
streams are rows like the others: a step that draws leaves a changed stream, and the next one goes on from there, so
that isolated steps draw what the notebook drew.

A library's state is taken only when something has imported the library.
"""

from __future__ import annotations

import copy
import decimal
import locale
import os
import random
import sys
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENT = "<environment>"
# set for each cell by the engine and the tracker; not the notebook's
OURS = ("MLFLOW_", "NB2PROD_", "PYTEST_", "JPY_", "COLUMNS", "LINES")


@dataclass(frozen=True, slots=True)
class State:
    """`module` must be loaded for `take` and `put` to make sense; `what` is what a person calls it."""

    name: str
    what: str
    module: str
    take: Callable[[], Any]
    put: Callable[[Any], None]


def taken() -> dict[str, Any]:
    """The whole ambient state of this process, by name."""
    return {state.name: copy.deepcopy(state.take()) for state in STATES if state.module in sys.modules}


def put(values: Mapping[str, Any]) -> None:
    """Put states into this process. A library that has some is imported for it."""
    import importlib

    for state in STATES:
        if state.name in values:
            importlib.import_module(state.module)
            state.put(values[state.name])


def _numpy_random(value: Any = None) -> Any:
    import numpy

    return numpy.random.get_state(legacy=False) if value is None else numpy.random.set_state(value)


def _torch_random(value: Any = None) -> Any:
    import importlib

    torch = importlib.import_module("torch")
    return torch.get_rng_state() if value is None else torch.set_rng_state(value)


_inherited: dict[str, str] = {}


def inherit() -> None:
    """The environment as it is now is what every process of the run begins with: only what differs is carried."""
    _inherited.update(_variables())


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def _environment() -> dict[str, Any]:
    """What was set and what was removed: the rest may hold what is no affair of a file's."""
    now = _variables()
    put = {name: value for name, value in now.items() if _inherited.get(name) != value}
    return {"set": put, "removed": sorted(_inherited.keys() - now.keys())}


def _put_environment(value: Mapping[str, Any]) -> None:
    wanted = {name: text for name, text in _inherited.items() if name not in value["removed"]} | value["set"]
    for name in _variables().keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


def _put_filters(value: list[Any]) -> None:
    warnings.filters[:] = value  # type: ignore[index]  # a list, whatever its stub says
    warnings._filters_mutated()  # type: ignore[attr-defined]  # or old decisions stay in force


def _put_locale(value: str) -> None:
    locale.setlocale(locale.LC_ALL, value)


def _numpy_options(value: Any = None) -> Any:
    import numpy

    if value is None:
        return numpy.get_printoptions(), numpy.geterr()
    numpy.set_printoptions(**value[0])
    numpy.seterr(**value[1])
    return None


def _pandas_options(value: Any = None) -> Any:
    import importlib

    import pandas

    # there is no public list of their names
    names = sorted(importlib.import_module("pandas._config.config")._registered_options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if value is None:
            return {name: pandas.get_option(name) for name in names}
        for name in names:
            if name in value and pandas.get_option(name) != value[name]:
                pandas.set_option(name, value[name])
    return None


def _plot_options(value: Any = None) -> Any:
    import matplotlib

    # as a plain dictionary: asking for the backend in the ordinary way would choose one
    parameters: Any = matplotlib.rcParams
    raw: dict[str, Any] = dict(dict.items(parameters))
    backend = raw.get("backend")
    chosen = backend if isinstance(backend, str) else ""
    if value is None:
        return {name: item for name, item in raw.items() if not name.startswith("backend")}, chosen
    dict.update(parameters, value[0])
    if value[1] and value[1] != chosen:
        matplotlib.use(value[1])
    return None


def _learn_options(value: Any = None) -> Any:
    import sklearn

    return sklearn.get_config() if value is None else sklearn.set_config(**value)


def _put_path(value: list[str]) -> None:
    sys.path[:] = value


def _put_context(value: decimal.Context) -> None:
    decimal.setcontext(value.copy())


STATES: tuple[State, ...] = (
    State("<random>", "the random stream of random", "random", random.getstate, random.setstate),
    State("<numpy.random>", "the random stream of numpy", "numpy.random", _numpy_random, _numpy_random),
    State("<torch.random>", "the random stream of torch", "torch", _torch_random, _torch_random),
    State(ENVIRONMENT, "the environment", "os", _environment, _put_environment),
    State("<folder>", "the working folder", "os", lambda: str(Path.cwd()), os.chdir),
    State("<path>", "the import path", "sys", lambda: list(sys.path), _put_path),
    State("<warnings>", "the filters of warnings", "warnings", lambda: list(warnings.filters), _put_filters),
    State("<locale>", "the locale", "locale", lambda: locale.setlocale(locale.LC_ALL), _put_locale),
    State("<decimal>", "the decimal context", "decimal", lambda: decimal.getcontext().copy(), _put_context),
    State("<recursion>", "the recursion limit", "sys", sys.getrecursionlimit, sys.setrecursionlimit),
    State("<numpy>", "numpy's options", "numpy", _numpy_options, _numpy_options),
    State("<pandas>", "pandas' options", "pandas", _pandas_options, _pandas_options),
    State("<matplotlib>", "matplotlib's options", "matplotlib", _plot_options, _plot_options),
    State("<sklearn>", "scikit-learn's options", "sklearn", _learn_options, _learn_options),
)
WHAT: Mapping[str, str] = {state.name: state.what for state in STATES}
RANDOM = frozenset(state.name for state in STATES if state.name.endswith("random>"))


def changed(before: Mapping[str, Any], after: MutableMapping[str, Any]) -> dict[str, Any]:
    """The states of `after` that are not as they were. One that came with a library is new only if it was `before`."""
    return {name: value for name, value in after.items() if name not in before or _differs(before[name], value)}


def _differs(one: Any, other: Any) -> bool:
    from nb2prod.storage import digests

    try:
        return digests.digest(one) != digests.digest(other)
    except digests.CannotDigest:
        return repr(one) != repr(other)
