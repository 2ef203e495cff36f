"""A call that the installed version of its library does not have any more.

    df = df.append(row)        AttributeError since pandas 2.0: pd.concat([df, row])

Most notebooks that fail on a new machine fail like this. The version that counts is the one installed where the check
runs; the library itself is not imported. Write what the fix says, or install the version that the notebook was written
for. `--fix` rewrites what has a new name and is otherwise the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata

from nb2prod.core.edit import Edit
from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.imported import dotted, imported
from nb2prod.language.kinds import kind_of, kinds_of
from nb2prod.language.places import replaced

CODE = "removed-call"
SEVERITY: Severity = "warning"


@dataclass(frozen=True, slots=True)
class Removed:
    """`since` is the first version without it. `same` is a dotted name that does the same, for `--fix`."""

    library: str
    since: str
    instead: str
    same: str = ""


def _each(names: str, library: str, since: str, instead: str) -> dict[str, Removed]:
    return {name: Removed(library, since, instead) for name in names.split()}


def _renamed(library: str, since: str, pairs: Mapping[str, str]) -> dict[str, Removed]:
    return {old: Removed(library, since, f"write {new}", new) for old, new in pairs.items()}


# functions, classes and modules, by dotted name
NAMES: dict[str, Removed] = {
    **_renamed("numpy", "1.24", {f"numpy.{kind}": kind for kind in ("int", "float", "complex", "object", "str")}),
    **_renamed("numpy", "2.0", {"numpy.float_": "numpy.float64", "numpy.complex_": "numpy.complex128"}),
    **_renamed("numpy", "2.0", {"numpy.unicode_": "numpy.str_", "numpy.string_": "numpy.bytes_"}),
    **_renamed("numpy", "2.0", {"numpy.NaN": "numpy.nan", "numpy.NAN": "numpy.nan", "numpy.Inf": "numpy.inf"}),
    **_renamed("numpy", "2.0", {"numpy.infty": "numpy.inf", "numpy.PINF": "numpy.inf", "numpy.Infinity": "numpy.inf"}),
    **_renamed("numpy", "2.0", {"numpy.product": "numpy.prod", "numpy.cumproduct": "numpy.cumprod"}),
    **_renamed("numpy", "2.0", {"numpy.sometrue": "numpy.any", "numpy.alltrue": "numpy.all"}),
    **_renamed("numpy", "2.0", {"numpy.round_": "numpy.round", "numpy.asfarray": "numpy.asarray"}),
    **_renamed("scipy", "1.14", {"scipy.integrate.cumtrapz": "scipy.integrate.cumulative_trapezoid"}),
    **_renamed("scipy", "1.14", {"scipy.integrate.simps": "scipy.integrate.simpson"}),
    **_renamed("scipy", "1.14", {"scipy.integrate.trapz": "scipy.integrate.trapezoid"}),
    **_each("numpy.msort", "numpy", "2.0", "write np.sort(a, axis=0)"),
    **_each("numpy.find_common_type", "numpy", "2.0", "write np.result_type or np.promote_types"),
    **_each("numpy.in1d", "numpy", "2.4", "write np.isin"),
    **_each("numpy.trapz", "numpy", "2.4", "write np.trapezoid"),
    **_each("pandas.Panel", "pandas", "1.0", "use a frame with a MultiIndex, or xarray"),
    **_each("pandas.rolling_mean", "pandas", "0.23", "write series.rolling(n).mean()"),
    **_each("pandas.ewma", "pandas", "0.23", "write series.ewm(…).mean()"),
    **_each("pandas.Int64Index pandas.Float64Index", "pandas", "2.0", "write pd.Index(…, dtype=…)"),
    **_each("pandas.datetime", "pandas", "2.0", "write from datetime import datetime"),
    **_each("pandas.io.json.json_normalize", "pandas", "2.0", "write pd.json_normalize"),
    **_each("pandas.value_counts", "pandas", "3.0", "write pd.Series(values).value_counts()"),
    **_each(
        "sklearn.datasets.load_boston",
        "scikit-learn",
        "1.2",
        "use fetch_california_housing, or fetch the data from their source",
    ),
    **_each("sklearn.externals.joblib", "scikit-learn", "0.23", "write import joblib"),
    **_each("sklearn.externals.six", "scikit-learn", "0.23", "write import six, or drop it"),
    **_each("sklearn.cross_validation sklearn.grid_search", "scikit-learn", "0.20", "use sklearn.model_selection"),
    **_each("sklearn.learning_curve", "scikit-learn", "0.20", "use sklearn.model_selection.learning_curve"),
    **_each("sklearn.preprocessing.Imputer", "scikit-learn", "0.22", "use sklearn.impute.SimpleImputer"),
    **_each("sklearn.preprocessing.CategoricalEncoder", "scikit-learn", "0.22", "use OneHotEncoder or OrdinalEncoder"),
    **_each(
        "sklearn.metrics.plot_confusion_matrix", "scikit-learn", "1.2", "use ConfusionMatrixDisplay.from_estimator"
    ),
    **_each("sklearn.metrics.plot_roc_curve", "scikit-learn", "1.2", "use RocCurveDisplay.from_estimator"),
    **_each(
        "sklearn.metrics.plot_precision_recall_curve",
        "scikit-learn",
        "1.2",
        "use PrecisionRecallDisplay.from_estimator",
    ),
    **_each("sklearn.inspection.plot_partial_dependence", "scikit-learn", "1.2", "use PartialDependenceDisplay"),
    **_each("sklearn.metrics.jaccard_similarity_score", "scikit-learn", "0.23", "use jaccard_score"),
    **_each("sklearn.linear_model.RandomizedLasso", "scikit-learn", "0.21", "use SelectFromModel"),
    **_each("sklearn.datasets.fetch_mldata", "scikit-learn", "0.22", "use fetch_openml"),
    **_each("sklearn.datasets.samples_generator", "scikit-learn", "0.24", "import from sklearn.datasets"),
    **_each("sklearn.utils.testing", "scikit-learn", "0.24", "use numpy.testing"),
    **_each("sklearn.mixture.GMM", "scikit-learn", "0.20", "use GaussianMixture"),
    **_each("sklearn.lda sklearn.qda", "scikit-learn", "0.19", "use sklearn.discriminant_analysis"),
    **_each("scipy.misc.imread", "scipy", "1.2", "use imageio.imread"),
    **_each("scipy.misc.imresize scipy.misc.imsave", "scipy", "1.3", "use Pillow or scikit-image"),
    **_each("scipy.misc.logsumexp", "scipy", "1.3", "use scipy.special.logsumexp"),
    **_each("scipy.misc.comb scipy.misc.factorial", "scipy", "1.3", "use scipy.special"),
    **_each("scipy.misc.derivative", "scipy", "1.12", "use scipy.differentiate or numdifftools"),
    **_each("scipy.stats.median_absolute_deviation", "scipy", "1.11", "use scipy.stats.median_abs_deviation"),
    **_each("matplotlib.finance", "matplotlib", "2.2", "use mplfinance"),
    **_each("matplotlib.cm.get_cmap", "matplotlib", "3.9", "write matplotlib.colormaps[name]"),
    **_each("matplotlib.mlab.normpdf", "matplotlib", "3.1", "use scipy.stats.norm.pdf"),
    **_each("networkx.from_numpy_matrix", "networkx", "3.0", "use from_numpy_array"),
    **_each("keras.utils.np_utils", "keras", "3.0", "use keras.utils.to_categorical"),
    **_each("tensorflow.placeholder tensorflow.Session", "tensorflow", "2.0", "use eager execution, or tf.compat.v1"),
}
# arguments of a callable that are gone: (dotted name, argument)
_READ_CSV = ("error_bad_lines", "warn_bad_lines", "squeeze", "prefix", "mangle_dupe_cols")
KEYWORDS: dict[tuple[str, str], Removed] = {
    ("sklearn.preprocessing.OneHotEncoder", "sparse"): Removed("scikit-learn", "1.4", "write sparse_output="),
    ("sklearn.preprocessing.OneHotEncoder", "categorical_features"): Removed(
        "scikit-learn", "0.22", "use ColumnTransformer"
    ),
    ("sklearn.preprocessing.OneHotEncoder", "n_values"): Removed("scikit-learn", "0.22", "write categories="),
    ("sklearn.metrics.mean_squared_error", "squared"): Removed("scikit-learn", "1.6", "use root_mean_squared_error"),
    ("sklearn.linear_model.LinearRegression", "normalize"): Removed(
        "scikit-learn", "1.2", "put a StandardScaler first"
    ),
    ("sklearn.linear_model.Ridge", "normalize"): Removed("scikit-learn", "1.2", "put a StandardScaler first"),
    ("sklearn.linear_model.Lasso", "normalize"): Removed("scikit-learn", "1.2", "put a StandardScaler first"),
    ("sklearn.ensemble.AdaBoostClassifier", "base_estimator"): Removed("scikit-learn", "1.4", "write estimator="),
    ("sklearn.ensemble.BaggingClassifier", "base_estimator"): Removed("scikit-learn", "1.4", "write estimator="),
    ("sklearn.ensemble.BaggingRegressor", "base_estimator"): Removed("scikit-learn", "1.4", "write estimator="),
    ("sklearn.model_selection.GridSearchCV", "iid"): Removed("scikit-learn", "0.24", "leave it out"),
    ("sklearn.cluster.AgglomerativeClustering", "affinity"): Removed("scikit-learn", "1.4", "write metric="),
    ("sklearn.cluster.KMeans", "n_jobs"): Removed("scikit-learn", "1.0", "leave it out"),
    ("sklearn.cluster.KMeans", "precompute_distances"): Removed("scikit-learn", "1.0", "leave it out"),
    ("sklearn.manifold.TSNE", "n_iter"): Removed("scikit-learn", "1.7", "write max_iter="),
    ("pandas.to_datetime", "infer_datetime_format"): Removed("pandas", "3.0", "leave it out: it is the rule since 2.0"),
    ("pandas.date_range", "closed"): Removed("pandas", "2.0", "write inclusive="),
    ("pandas.concat", "join_axes"): Removed("pandas", "1.0", "reindex the result"),
    ("pandas.read_excel", "sheetname"): Removed("pandas", "1.0", "write sheet_name="),
    **{("pandas.read_csv", word): Removed("pandas", "2.0", "use on_bad_lines=, or leave it out") for word in _READ_CSV},
}
# methods of frames and series, and their arguments
FRAME: dict[str, Removed] = {
    **_each("append", "pandas", "2.0", "write pd.concat([df, more])"),
    **_each("ix", "pandas", "1.0", "write .loc or .iloc"),
    **_each("iteritems", "pandas", "2.0", "write .items()"),
    **_each("lookup", "pandas", "2.0", "use factorize and to_numpy indexing"),
    **_each("mad", "pandas", "2.0", "write (df - df.mean()).abs().mean()"),
    **_each("as_matrix get_values", "pandas", "1.0", "write .to_numpy()"),
    **_each("sort", "pandas", "0.20", "write .sort_values(…)"),
    **_each("tshift slice_shift", "pandas", "2.0", "write .shift(…, freq=…)"),
    **_each("applymap", "pandas", "3.0", "write .map(…)"),
    **_each("swapaxes", "pandas", "3.0", "write .transpose()"),
    **_each("first last", "pandas", "3.0", "write .loc[start:end]"),
    **_each("pad backfill", "pandas", "3.0", "write .ffill() or .bfill()"),
}
ON_SERIES = frozenset(
    {"append", "ix", "iteritems", "mad", "as_matrix", "get_values", "tshift", "slice_shift", "swapaxes"}
)
FRAME_KEYWORDS: dict[tuple[str, str], Removed] = {
    ("fillna", "method"): Removed("pandas", "3.0", "write .ffill() or .bfill()"),
    ("replace", "method"): Removed("pandas", "3.0", "write .ffill() or .bfill()"),
    ("to_csv", "line_terminator"): Removed("pandas", "2.0", "write lineterminator="),
    ("groupby", "axis"): Removed("pandas", "3.0", "transpose first"),
    ("drop_duplicates", "take_last"): Removed("pandas", "0.20", "write keep="),
}
FEATURE_NAMES = Removed("scikit-learn", "1.2", "write .get_feature_names_out()")
NAMED_FEATURES = ("CountVectorizer", "TfidfVectorizer", "DictVectorizer", "OneHotEncoder", "PolynomialFeatures")


@dataclass(frozen=True, slots=True)
class Use:
    """One use of what may be gone."""

    written: str
    node: ast.expr | ast.stmt
    removed: Removed


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell, use in _uses(pipeline):
        gone = use.removed
        message = f"`{use.written}` is not in {gone.library} {_installed(gone.library)} (gone since {gone.since})"
        yield Finding(CODE, SEVERITY, message, gone.instead, cell.index, cell.line(use.node))


def fixes(pipeline: Pipeline, finding: Finding) -> tuple[Edit, ...]:
    """A new name in the old one's place, where the notebook can write it with the imports that it has."""
    for cell, use in _uses(pipeline):
        at = (cell.index, cell.line(use.node))
        if at == (finding.cell, finding.line) and f"`{use.written}`" in finding.message and use.removed.same:
            text = _spelled(use, imported(tuple(code_cells(pipeline))))
            return replaced(cell, use.node, text) if text else ()
    return ()


def _spelled(use: Use, names: Mapping[str, str]) -> str:
    """`np.float64` for `numpy.float64` where the notebook writes `np.float_`; a builtin as it is."""
    same = use.removed.same
    if "." not in same:
        return same if names.get(same) == same else ""
    if not isinstance(use.node, ast.Attribute):
        return ""
    module, _, last = same.rpartition(".")
    return f"{ast.unparse(use.node.value)}.{last}" if dotted(use.node.value, names) == module else ""


def _uses(pipeline: Pipeline) -> Iterator[tuple[CodeCell, Use]]:
    cells = tuple(code_cells(pipeline))
    names = imported(cells)
    kinds = kinds_of(cells, names)
    guarded = {id(part) for cell in cells for block in cell.every(ast.Try) for part in ast.walk(block)}
    for cell in cells:
        for use in (*_imports(cell), *_names(cell, names), *_calls(cell, names), *_methods(cell, kinds, names)):
            # in a `try` the notebook says itself what to do without it
            if id(use.node) not in guarded and _is_gone(use.removed):
                yield cell, use


def _imports(cell: CodeCell) -> Iterator[Use]:
    for statement in cell.every(ast.ImportFrom):
        for alias in statement.names:
            whole = f"{statement.module}.{alias.name}"
            gone = NAMES.get(whole) or NAMES.get(statement.module or "")
            if gone:
                yield Use(whole, statement, gone)
    for plain in cell.every(ast.Import):
        for alias in plain.names:
            if alias.name in NAMES:
                yield Use(alias.name, plain, NAMES[alias.name])


def _names(cell: CodeCell, names: Mapping[str, str]) -> Iterator[Use]:
    for node in cell.every(ast.Attribute):
        whole = dotted(node, names)
        if whole in NAMES:
            yield Use(ast.unparse(node), node, NAMES[whole])


def _calls(cell: CodeCell, names: Mapping[str, str]) -> Iterator[Use]:
    for call in cell.every(ast.Call):
        name = dotted(call.func, names)
        for keyword in call.keywords if name else ():
            gone = KEYWORDS.get((name, keyword.arg or ""))
            if gone:
                yield Use(f"{ast.unparse(call.func)}({keyword.arg}=…)", call, gone)


def _methods(cell: CodeCell, kinds: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Use]:
    for node in cell.top(ast.Attribute):
        if node.attr in FRAME or node.attr == "get_feature_names":
            kind = kind_of(node.value, kinds, names)
            if node.attr in FRAME and (kind == "frame" or (kind == "series" and node.attr in ON_SERIES)):
                yield Use(_short(node), node, FRAME[node.attr])
            elif node.attr == "get_feature_names" and kind.rpartition(".")[2] in NAMED_FEATURES:
                yield Use(_short(node), node, FEATURE_NAMES)
    for call in cell.top(ast.Call):
        if isinstance(call.func, ast.Attribute):
            for keyword in call.keywords:
                gone = FRAME_KEYWORDS.get((call.func.attr, keyword.arg or ""))
                if gone and kind_of(call.func.value, kinds, names) == "frame":
                    yield Use(f"{_short(call.func)}({keyword.arg}=…)", call, gone)


def _short(node: ast.Attribute) -> str:
    """`df.append`; `….append` where the object is a longer expression."""
    owner = node.value.id if isinstance(node.value, ast.Name) else "…"
    return f"{owner}.{node.attr}"


@cache
def _installed(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def _is_gone(removed: Removed) -> bool:
    there = _installed(removed.library)
    return bool(there) and _numbers(there) >= _numbers(removed.since)


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 4) of `2.4.0rc1`: the two numbers that deprecations go by."""
    parts = version.split(".")[:2]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)
