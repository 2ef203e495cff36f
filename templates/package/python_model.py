"""How MLflow calls this model: its objects are loaded, each from its own format, and asked as the notebook asked them.

`model.json` lies beside the objects and says it all: `parts` are the objects, `container` what they are together (one
object, a tuple, list or dictionary), `asking` how they answer, and `restored` which columns become again what they
were in the notebook, because a signature has no word for their type.
"""

import contextlib
import decimal
import importlib.util
import json
import re
import sys
import warnings
from pathlib import Path

import mlflow.models
import mlflow.pyfunc
import numpy
import pandas
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

LISTED = 5
OFFSET = re.compile(r".*\d([+-]\d\d:\d\d(:\d\d)?|Z)", re.DOTALL)


# ---- the objects ----------------------------------------------------------------------------------------------------


def loaded(folder, described):
    """The model: one object, or several in the container that they had in the notebook."""
    parts = [(part["name"], LOADERS[part["format"]](folder, part)) for part in described["parts"]]
    match described["container"]:
        case "dict":
            return dict(parts)
        case "tuple":
            return tuple(value for _, value in parts)
        case "list":
            return [value for _, value in parts]
    return parts[0][1]


def from_skops(folder, part):
    import skops.io

    return skops.io.load(folder / part["file"], trusted=list(part["trusted"]))


def from_pickle(folder, part):
    import cloudpickle

    return cloudpickle.loads((folder / part["file"]).read_bytes())


def from_xgboost(folder, part):
    import xgboost

    if part["class"] not in ("Booster", *(name for name in vars(xgboost) if name.startswith("XGB"))):
        raise ValueError(f"XGBoost has no model {part['class']}")
    model = getattr(xgboost, part["class"])()
    model.load_model(folder / part["file"])
    return model


def from_lightgbm(folder, part):
    import lightgbm

    return lightgbm.Booster(model_file=folder / part["file"])


LOADERS = {
    "json": lambda folder, part: part["value"],
    "skops": from_skops,
    "cloudpickle": from_pickle,
    "statsmodels": from_pickle,
    "xgboost": from_xgboost,
    "lightgbm": from_lightgbm,
}


@contextlib.contextmanager
def own_module(folder, name):
    """The notebook's functions and classes as this package has them, whatever else in this process has their name."""
    if not name:
        yield None
        return
    spec = importlib.util.spec_from_file_location(name, folder.parents[1] / "code" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        if before is not None:
            sys.modules[name] = before


# ---- their answer ---------------------------------------------------------------------------------------------------


def answer(model, asking, function, rows):
    if function is not None:
        return function(rows, model) if asking["model_last"] else function(model, rows)
    if list(asking["methods"]) == ["predict", "predict_proba"]:
        return labels_and_probabilities(model, rows)
    method = asking["methods"][0]
    if method == "predict" and type(model).__module__ == "xgboost.core":
        import xgboost

        return model.predict(xgboost.DMatrix(rows, enable_categorical=True))
    return getattr(model, method)(rows)


def labels_and_probabilities(model, rows):
    probabilities = model.predict_proba(rows)
    columns = [f"probability_{label}" for label in model.classes_]
    return pandas.DataFrame({"prediction": model.predict(rows), **dict(zip(columns, probabilities.T, strict=True))})


# ---- columns as the model knows them --------------------------------------------------------------------------------


def restored(frame, recipes):
    """The frame with these columns in the type that they had in the notebook. Refuses what has no place there."""
    if not recipes:
        return frame
    made = frame.copy(deep=False)
    for recipe in recipes:
        name = recipe["column"]
        if name in made.columns:
            made[name] = RECIPES[recipe["as"]](made[name], recipe)
    return made


def as_category(column, recipe):
    categories = pandas.Index(recipe["categories"], dtype=recipe["dtype"])
    kind = "object" if categories.dtype.kind == "b" else "float64"
    known = column if pandas.api.types.is_string_dtype(categories.dtype) else column.astype(kind)
    made = known.astype(pandas.CategoricalDtype(categories, ordered=recipe["ordered"]))
    refuse(column, made.isna() & column.notna(), "not one of the categories that the model was fitted on")
    return made


def as_masked(column, recipe):
    values = column.astype("object").where(column.notna(), None)
    kind = pandas.api.types.pandas_dtype(recipe["dtype"]).numpy_dtype
    if kind.kind in "iu":
        limits = numpy.iinfo(kind)
        whole = [v is None or (float(v).is_integer() and limits.min <= v <= limits.max) for v in values]
        refuse(column, ~numpy.array(whole, dtype=bool), f"not a whole number of {limits.bits} bits")
        values = values.map(lambda value: None if value is None else int(value)).astype("object")
    return pandas.Series(values.array, index=column.index, dtype="object").astype(recipe["dtype"])


def as_time(column, recipe):
    """The instant that a text with an offset names, in the time zone of the notebook."""
    wrong = column.map(lambda text: text == text and text is not None and not OFFSET.fullmatch(str(text)))
    refuse(column, wrong, "not a time with an offset, such as 2024-01-31T12:30:00+01:00")
    try:
        times = pandas.to_datetime(column.astype("object"), format="ISO8601", utc=True)
    except ValueError:
        raise refusal(column.name, [], "not a time with an offset, such as 2024-01-31T12:30:00+01:00") from None
    return times.dt.tz_convert(recipe["zone"]).astype(f"datetime64[{recipe['unit']}, {recipe['zone']}]")


def as_decimal(column, recipe):
    def made(text):
        try:
            return decimal.Decimal(text)
        except (decimal.InvalidOperation, TypeError, ValueError):
            return None

    missing = float("nan") if recipe["missing"] == "nan" else None
    values = [missing if absent else made(text) for text, absent in zip(column, column.isna(), strict=True)]
    made_column = pandas.Series(values, index=column.index, dtype="object")
    refuse(column, made_column.isna() & column.notna(), "not a decimal number as text, such as 12.50")
    return made_column


def as_date(column, recipe):
    values = [None if pandas.isna(value) else pandas.Timestamp(value).date() for value in column]
    return pandas.Series(values, index=column.index, dtype="object")


def as_object(column, recipe):
    missing = float("nan") if recipe["missing"] == "nan" else None
    values = [missing if absent else value for value, absent in zip(column.tolist(), column.isna(), strict=True)]
    return pandas.Series(values, index=column.index, dtype="object")


def as_string(column, recipe):
    return column.astype(pandas.StringDtype("python", na_value=pandas.NA))


RECIPES = {
    "category": as_category,
    "masked": as_masked,
    "time": as_time,
    "decimal": as_decimal,
    "date": as_date,
    "object": as_object,
    "string": as_string,
}


def refuse(column, wrong, reason):
    places = [place for place, bad in enumerate(wrong) if bad]
    if places:
        raise refusal(column.name, places, reason)


def refusal(name, places, reason):
    where = ", ".join(map(str, places[:LISTED])) + (f" and {len(places) - LISTED} more" if places[LISTED:] else "")
    rows = f" in row {where}" if places else ""
    error = MlflowException(f"the column {name}{rows} is {reason}", error_code=INVALID_PARAMETER_VALUE)
    # for a service that answers without the data: which rows, which column, and why
    error.refused_rows, error.refused_column, error.refused_reason = places, str(name), reason
    return error


# MLflow advises type hints, from which it would make a signature; the package has one from the example. Recorded and
# not only filtered: MLflow sets a filter of its own before it warns
with warnings.catch_warnings(record=True):

    class NotebookModel(mlflow.pyfunc.PythonModel):
        def load_context(self, context):
            folder = Path(context.artifacts["model"])
            self.described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            name = self.described["asking"]["function"]
            with own_module(folder, self.described["module"]) as module:
                self.model = loaded(folder, self.described)
                self.function = getattr(module, name) if name else None

        def predict(self, context, model_input, params=None):
            rows = restored(model_input, self.described["restored"])
            return answer(self.model, self.described["asking"], self.function, rows)


mlflow.models.set_model(NotebookModel())
