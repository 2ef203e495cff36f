"""How a model is written: skops when every type in it is on our list, else cloudpickle, and the reason for either.

A skops file holds no code, only names of types with their state, and loading it makes nothing but the types that the
reader trusts. MLflow's default trusts what skops trusts, which leaves out trees, forests, neighbours, searches and
everything of the notebook; the policy here is our own:

* classes of scikit-learn, scipy and numpy (`FAMILIES`), because they are libraries that the model needs anyway;
* functions of these only when they compute and do nothing else: not those that read, write, load or run something;
* the few builtins that models hold;
* classes and functions of the notebook's own module, which travels in the package beside the model.

What is trusted is written down by name in the package. A model that skops cannot write, or that comes back from skops
as something else, is written with cloudpickle, whose files can run any code when they are loaded.
"""

from __future__ import annotations

import copy
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.core.model_package import FormatChoice
from nb2prod.core.pipeline import HoistedModule
from nb2prod.storage.digests import digest

FAMILIES = ("sklearn", "numpy", "scipy")
BUILTINS = re.compile(
    r"builtins\.(bool|bytes|complex|dict|float|frozenset|int|list|range|set|slice|str|tuple|type|abs|len|max|min|round)"
    r"|collections\.(OrderedDict|defaultdict)|functools\.partial"
)
# what exists to read, write, fetch, compile, test or run something, or calls a function that it is given
REFUSED_MODULES = re.compile(
    r"(numpy\.(testing|f2py|ctypeslib|distutils|lib\._?(npyio|format|utils|datasource)\w*|_?core\._?internal)"
    r"|scipy\.(io|datasets|_lib)|sklearn\.(datasets|externals|utils\._testing|utils\._show_versions))(\.|$)"
)
REFUSED_NAMES = re.compile(
    r"numpy\.(load|loadtxt|save|savetxt|savez|savez_compressed|fromfile|fromregex|genfromtxt|memmap"
    r"|frompyfunc|vectorize|apply_along_axis|apply_over_axes|fromfunction|fromiter|piecewise)"
)


def choose(model: Any, module: HoistedModule | None = None, example: Any = None) -> FormatChoice:
    """The format of a fitted model. `module` is the notebook's, when the model needs it, and is importable now.

    With an `example`, the model that skops gives back must predict on it what the model predicts.
    """
    sklearn_base = sys.modules.get("sklearn.base")
    if sklearn_base is None or not isinstance(model, sklearn_base.BaseEstimator):
        kind = type_name(type(model))
        return FormatChoice("cloudpickle", f"{kind} is no scikit-learn estimator, and skops is for those")
    try:
        raw, needed = _dumped(model)
    except Exception as error:  # noqa: BLE001 - skops says in many ways that it cannot write a type
        return FormatChoice("cloudpickle", f"skops cannot write it: {_first_line(error)}")
    refused = [name for name in needed if not is_trusted(name, module)]
    if refused:
        listed = ", ".join(refused)
        return FormatChoice("cloudpickle", f"it holds what is not on the list of types to trust: {listed}")
    difference = _difference(model, raw, needed, example)
    if difference:
        return FormatChoice("cloudpickle", difference)
    trusted = f", {len(needed)} of them beyond skops' own list" if needed else ""
    return FormatChoice("skops", f"every type in it is on the list of types to trust{trusted}", needed)


def is_trusted(name: str, module: HoistedModule | None = None) -> bool:
    """Whether a type or function, by its full name, may be loaded from a skops file of ours."""
    home, _, last = name.rpartition(".")
    if module is not None and home == module.name:
        return last in module.names
    if BUILTINS.fullmatch(name):
        return True
    if home.partition(".")[0] not in FAMILIES or REFUSED_MODULES.match(name) or REFUSED_NAMES.fullmatch(name):
        return False
    return _computes(home, last)


def type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


@contextmanager
def importable(module: HoistedModule) -> Iterator[types.ModuleType | None]:
    """The notebook's module can be imported meanwhile, from its source; None when it is empty.

    Raises NotProved when its source does not run by itself.
    """
    if not module.source:
        yield None
        return
    made = types.ModuleType(module.name)
    before = sys.modules.get(module.name)
    sys.modules[module.name] = made
    try:
        _run(module, made)
        yield made
    finally:
        if before is None:
            sys.modules.pop(module.name, None)
        else:
            sys.modules[module.name] = before


def _run(module: HoistedModule, made: types.ModuleType) -> None:
    try:
        exec(compile(module.source, f"{module.name}.py", "exec"), made.__dict__)
    except Exception as error:
        unresolved = ", ".join(name for name, _ in module.unresolved)
        raise NotProved(
            f"the notebook's functions and classes, moved to a module of their own, cannot be imported: "
            f"{type(error).__name__}: {error}",
            where=f"{module.name}.py",
            fix=f"define in an imports or functions cell: {unresolved}" if unresolved else "",
        ) from error


def _dumped(model: Any) -> tuple[bytes, tuple[str, ...]]:
    import skops.io

    raw = skops.io.dumps(model)
    return raw, tuple(skops.io.get_untrusted_types(data=raw))


def _difference(model: Any, raw: bytes, trusted: tuple[str, ...], example: Any) -> str:
    """What makes the model that skops gives back another one; empty when nothing does."""
    import skops.io

    try:
        loaded = skops.io.loads(raw, trusted=list(trusted))
    except Exception as error:  # noqa: BLE001 - it may fail in the loading of any type
        return f"skops cannot read what it wrote: {_first_line(error)}"
    if type(loaded) is not type(model):
        return f"skops gives back a {type_name(type(loaded))}"
    lost = sorted(vars(model).keys() - vars(loaded).keys())
    if lost:
        return f"skops loses the attribute {lost[0]}"
    if example is None or _predicted(loaded, example) == _predicted(model, example):
        return ""
    return "the model that skops gives back predicts something else"


def _predicted(model: Any, example: Any) -> str:
    return digest(model.predict(copy.deepcopy(example)))


def _computes(home: str, last: str) -> bool:
    """Whether a name of one of the families is a class, or a function that is part of its public interface."""
    try:
        found = getattr(sys.modules.get(home) or __import__(home, fromlist=[last]), last)
    except (ImportError, AttributeError):
        return False
    if isinstance(found, type):
        return True
    public = not any(part.startswith("_") for part in (*home.split("."), last))
    return callable(found) and public


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
