"""How a model is written, and why: skops when every type in it is on our list, a library's own format, or cloudpickle.

A skops file holds no code, only names of types with their state, and loading it makes nothing but the types that the
reader trusts. MLflow's default trusts what skops trusts, which leaves out trees, forests, neighbours, searches and
everything of the notebook; the policy here is our own:

* classes of scikit-learn, scipy and numpy, because they are libraries that the model needs anyway, and functions of
  these, but only what computes and does nothing else (`trusted_names`);
* the models of LightGBM and XGBoost by their names, within a pipeline or a search, and nothing else of these;
* the few builtins that models hold;
* classes and functions of the notebook's own module, which travels in the package beside the model.

What is trusted is written down by name in the package. A model that skops cannot write, or that comes back from skops
as something else, is written with cloudpickle, whose files can run any code when they are loaded.

Models of XGBoost and boosters of LightGBM are written in the formats of these libraries, which hold no code either.
Statsmodels has none but a pickle.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.core.model_package import FormatChoice
from nb2prod.core.pipeline import HoistedModule
from nb2prod.storage import skops_file, trusted_names
from nb2prod.storage.digests import digest

Answer = Callable[[Any, Any], Any]  # of a model and rows
BUILTINS = re.compile(
    r"builtins\.(bool|bytearray|bytes|complex|dict|float|frozenset|int|list|range|set|slice|str|tuple|type|abs|len|max|min|round)"
    r"|collections\.(OrderedDict|defaultdict)|functools\.partial"
)
# what a booster within a scikit-learn model is made of
BOOSTERS = re.compile(
    r"lightgbm\.(sklearn\.LGBM(Classifier|Regressor|Ranker|Model)|basic\.Booster)"
    r"|xgboost\.(sklearn\.XGB(RF)?(Classifier|Regressor|Ranker|Model)|core\.Booster)"
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A format, and for skops the file: it is read again and compared once, and these bytes are what a package gets.

    `files` has it by the name of the object within a model of several, else by "". `again` is the model that it gave
    back, None for any other format.
    """

    choice: FormatChoice
    files: Mapping[str, bytes] = field(default_factory=dict)
    again: Any = None


def predict(model: Any, rows: Any) -> Any:
    return model.predict(rows)


def choose(
    model: Any,
    module: HoistedModule | None = None,
    example: Any = None,
    *,
    answer: Answer = predict,
    answered: str = "",
) -> Chosen:
    """The format of a fitted model. `module` is the notebook's, when the model needs it, and is importable now.

    With an `example`, the model that skops gives back must give the `answer` on it that the model gives, of which
    `answered` is the digest where it is known.
    """
    own = _own_format(model)
    if own is not None:
        return Chosen(own)
    if not is_estimator(model) and not _is_collection(model):
        kind = type_name(type(model))
        return _pickled(f"{kind} is no scikit-learn estimator, and skops is for those")
    try:
        raw = skops_file.dumps(model)
        opened = skops_file.opened(raw)
    except Exception as error:  # noqa: BLE001 - skops says in many ways that it cannot write a type
        return _pickled(f"skops cannot write it: {_first_line(error)}")
    needed = opened.untrusted
    refused = [name for name in needed if not is_trusted(name, module)]
    if refused:
        listed = ", ".join(refused)
        return _pickled(f"it holds what is not on the list of types to trust: {listed}")
    try:
        again = opened.make()
    except Exception as error:  # noqa: BLE001 - it may fail in the loading of any type
        return _pickled(f"skops cannot read what it wrote: {_first_line(error)}")
    difference = _difference(model, again) or _other_answer(model, again, example, answer, answered)
    if difference:
        return _pickled(difference)
    trusted = f", {len(needed)} of them beyond skops' own list" if needed else ""
    return Chosen(
        FormatChoice("skops", f"every type in it is on the list of types to trust{trusted}", needed), {"": raw}, again
    )


def _pickled(reason: str) -> Chosen:
    return Chosen(FormatChoice("cloudpickle", reason))


def is_trusted(name: str, module: HoistedModule | None = None) -> bool:
    """Whether a type or function, by its full name, may be loaded from a skops file of ours."""
    home, _, last = name.rpartition(".")
    if module is not None and home == module.name:
        return last in module.names
    if BUILTINS.fullmatch(name) or BOOSTERS.fullmatch(name):
        return True
    return trusted_names.computes(name)


def is_booster(name: str) -> bool:
    """Whether this is a model of XGBoost or LightGBM, which MLflow's flavor for it may make by its name."""
    return BOOSTERS.fullmatch(name) is not None


def type_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def of_its_own(module: HoistedModule) -> HoistedModule:
    """The module under a name that no other package's has, unless its source is the same.

    MLflow imports it by its name: of two packages in one process the second would silently get the first one's code.
    """
    mark = hashlib.sha256(module.source.encode()).hexdigest()[:8]
    return dataclasses.replace(module, name=f"{module.name}_{mark}")


@contextmanager
def importable(module: HoistedModule, *, also: str = "") -> Iterator[types.ModuleType | None]:
    """The notebook's module can be imported meanwhile, from its source; None when it is empty.

    What was pickled of a module named `also` comes back as this one's. Raises NotProved when its source does not run by
    itself.
    """
    if not module.source:
        yield None
        return
    made = types.ModuleType(module.name)
    names = [name for name in (module.name, also) if name]
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(dict.fromkeys(names, made))
    try:
        _run(module, made)
        yield made
    finally:
        for name, earlier in before.items():
            if earlier is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = earlier


def _run(module: HoistedModule, made: types.ModuleType) -> None:
    try:
        exec(compile(module.source, f"{module.name}.py", "exec", dont_inherit=True), made.__dict__)
    except Exception as error:
        unresolved = ", ".join(name for name, _ in module.unresolved)
        raise NotProved(
            f"the notebook's functions and classes, moved to a module of their own, cannot be imported: "
            f"{type(error).__name__}: {error}",
            where=f"{module.name}.py",
            fix=f"define in an imports or functions cell: {unresolved}" if unresolved else "",
        ) from error


def _difference(model: Any, again: Any) -> str:
    """What makes the model that skops gives back another one; empty when nothing does that can be seen."""
    if type(again) is not type(model):
        return f"skops gives back a {type_name(type(again))}"
    lost = sorted(vars(model).keys() - vars(again).keys()) if is_estimator(model) else ()
    return f"skops loses the attribute {lost[0]}" if lost else ""


def _other_answer(model: Any, again: Any, example: Any, answer: Answer, answered: str) -> str:
    """The digest that is known may be of another process, where even the last bit of a sum is another's."""
    if example is None:
        return ""
    found = digest(answer(again, copy.deepcopy(example)))
    if found == answered or found == digest(answer(model, copy.deepcopy(example))):
        return ""
    return "the model that skops gives back predicts something else"


def is_estimator(model: Any) -> bool:
    sklearn_base = sys.modules.get("sklearn.base")
    return sklearn_base is not None and isinstance(model, sklearn_base.BaseEstimator)


def _is_collection(value: Any) -> bool:
    """Of estimators, arrays and plain values, which skops writes as well; as a model only beside a function."""
    numpy = sys.modules.get("numpy")
    arrays = (numpy.ndarray, numpy.generic) if numpy is not None else ()
    return type(value) in (dict, list, tuple, set) or isinstance(value, arrays)


def _own_format(model: Any) -> FormatChoice | None:
    """The format of the library that the model is of."""
    home, name = type(model).__module__, type(model).__name__
    if home in ("xgboost.sklearn", "xgboost.core") and BOOSTERS.fullmatch(f"{home}.{name}"):
        return FormatChoice("xgboost", "XGBoost's own format (ubj) holds the model, and no code")
    if (home, name) == ("lightgbm.basic", "Booster"):
        return FormatChoice("lightgbm", "LightGBM's own format (text) holds the model, and no code")
    if home.startswith("statsmodels.") and hasattr(model, "remove_data"):
        return FormatChoice("statsmodels", "statsmodels has no format of its own but a pickle")
    return None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
