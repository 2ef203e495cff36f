"""What libraries no longer have, with what to use in its place.

A failure is first given a symbol: `module 'pandas' has no attribute 'Panel'` is `pandas.Panel`, `read_csv() got an
unexpected keyword argument 'squeeze'` is `read_csv(squeeze)`, `'DataFrame' object has no attribute 'append'` is
`DataFrame.append`. The table says which library it was of, since when it is gone, and what stands in its place. A row
counts only where the installed version is not older, and where the notebook or the traceback shows that library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from nb2prod.core.result import Explanation
from nb2prod.language.failures.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Removed:
    """`symbol` may hold `*`; `instead` continues "use …", or is `nothing: ` and what to do."""

    library: str
    symbol: str
    since: str
    instead: str

    @property
    def fix(self) -> str:
        plain = self.instead.removeprefix("nothing: ")
        return plain if plain != self.instead else f"use {self.instead}"


# libraries whose frames have the names and methods of pandas' own
_LIKE_PANDAS = ("polars", "dask", "pyspark", "modin", "cudf", "geopandas")
# what is imported, where that is not the library's name
_MODULES = {"scikit-learn": "sklearn", "ipython": "IPython", "pyyaml": "yaml", "Python": ""}


def _rows(library: str, *rows: tuple[str, str, str]) -> tuple[Removed, ...]:
    return tuple(Removed(library, symbol, since, instead) for symbol, since, instead in rows)


REMOVED: tuple[Removed, ...] = (
    *_rows(
        "pandas",
        ("DataFrame.append", "2.0", "pd.concat([df, pd.DataFrame([row])], ignore_index=True)"),
        ("Series.append", "2.0", "pd.concat([a, b])"),
        ("DataFrame.ix", "1.0", ".loc for labels, .iloc for positions"),
        ("Series.ix", "1.0", ".loc for labels, .iloc for positions"),
        ("pandas.Panel", "1.0", "a DataFrame with a MultiIndex, or xarray"),
        ("DataFrame.iteritems", "2.0", ".items()"),
        ("Series.iteritems", "2.0", ".items()"),
        ("DataFrame.applymap", "3.0", ".map(function)"),
        ("*.fillna(method)", "3.0", ".ffill() or .bfill()"),
        ("DataFrame.sort", "0.20", ".sort_values(by) or .sort_index()"),
        ("Series.sort", "0.20", ".sort_values()"),
        ("Series.order", "0.20", ".sort_values()"),
        ("DataFrame.as_matrix", "1.0", ".to_numpy()"),
        ("DataFrame.get_value", "1.0", ".at[row, column]"),
        ("DataFrame.set_value", "1.0", ".at[row, column] = value"),
        ("[DS]*.mad", "2.0", "(x - x.mean()).abs().mean()"),
        ("DataFrame.swapaxes", "3.0", ".transpose()"),
        ("pandas.Int64Index", "2.0", "pd.Index(values, dtype='int64')"),
        ("pandas.Float64Index", "2.0", "pd.Index(values, dtype='float64')"),
        ("pandas.datetime", "2.0", "the standard library: from datetime import datetime"),
        ("pandas.np", "2.0", "import numpy as np"),
        ("pandas.scatter_matrix", "0.25", "pd.plotting.scatter_matrix"),
        ("pandas.tools*", "0.24", "pandas.plotting (scatter_matrix), pd.merge, pd.concat"),
        ("pandas.io.data", "0.19", "the package pandas-datareader"),
        ("pandas.io.json.json_normalize", "3.0", "pd.json_normalize"),
        ("pandas.util.testing", "2.0", "pandas.testing"),
        ("pandas.rolling_*", "0.23", "the method .rolling(window) and then .mean(), .std(), …"),
        ("pandas.ewma", "0.23", "the method .ewm(span=…).mean()"),
        ("read_csv(error_bad_lines)", "2.0", "on_bad_lines='skip' (or 'warn')"),
        ("read_csv(warn_bad_lines)", "2.0", "on_bad_lines='warn'"),
        ("read_csv(squeeze)", "2.0", ".squeeze('columns') behind the call"),
        ("read_csv(prefix)", "2.0", "df.columns = [f'X{i}' for i in range(df.shape[1])]"),
        ("read_csv(date_parser)", "3.0", "date_format=…, or pd.to_datetime on the column"),
        ("read_csv(delim_whitespace)", "3.0", "sep=r'\\s+'"),
        ("read_csv(infer_datetime_format)", "3.0", "nothing: leave the argument out"),
        ("to_datetime(infer_datetime_format)", "3.0", "nothing: leave the argument out"),
        ("DatetimeArray._generate_range(closed)", "2.0", "inclusive='left' (or 'right', 'both')"),
        ("DataFrame.groupby(axis)", "3.0", "df.T.groupby(…), and .T of what it gives"),
        ("*.drop(positional)", "2.0", "the name of the argument: drop(columns=…) or drop(index=…)"),
        ("*.to_csv(line_terminator)", "2.0", "lineterminator='\\n'"),
        ("read_excel(sheetname)", "0.25", "sheet_name=…"),
        ("*.resample(how)", "0.25", ".resample(rule).mean() (or the other function)"),
    ),
    *_rows(
        "numpy",
        ("numpy.product", "2.0", "np.prod"),
        ("numpy.cumproduct", "2.0", "np.cumprod"),
        ("numpy.in1d", "2.4", "np.isin"),
        ("numpy.trapz", "2.4", "np.trapezoid"),
        ("numpy.asscalar", "1.23", "value.item()"),
        ("numpy.rank", "1.18", "np.ndim, or np.linalg.matrix_rank for a matrix's rank"),
        ("numpy.math", "2.0", "import math"),
        ("numpy.testing.rand", "1.18", "np.random.rand"),
        ("histogram*(normed)", "1.24", "density=True"),
        ("ndarray.tostring", "2.3", ".tobytes()"),
        ("ndarray.ptp", "2.0", "np.ptp(x)"),
        ("ndarray.itemset", "2.0", "x[index] = value"),
        ("ndarray.newbyteorder", "2.0", "x.view(x.dtype.newbyteorder(order))"),
    ),
    *_rows(
        "scikit-learn",
        ("sklearn.cross_validation*", "0.20", "sklearn.model_selection"),
        ("sklearn.grid_search*", "0.20", "sklearn.model_selection"),
        ("sklearn.learning_curve", "0.20", "sklearn.model_selection"),
        ("sklearn.externals.joblib*", "0.23", "import joblib"),
        ("sklearn.externals.six*", "0.23", "import six"),
        ("sklearn.preprocessing.Imputer", "0.22", "sklearn.impute.SimpleImputer"),
        ("sklearn.datasets.load_boston", "1.2", "fetch_california_housing, or the original file for a comparison"),
        ("sklearn.datasets.fetch_mldata", "0.22", "sklearn.datasets.fetch_openml"),
        ("sklearn.datasets.samples_generator", "0.24", "sklearn.datasets"),
        ("sklearn.metrics.plot_confusion_matrix", "1.2", "ConfusionMatrixDisplay.from_estimator"),
        ("sklearn.metrics.plot_roc_curve", "1.2", "RocCurveDisplay.from_estimator"),
        ("sklearn.metrics.plot_precision_recall_curve", "1.2", "PrecisionRecallDisplay.from_estimator"),
        ("sklearn.metrics.jaccard_similarity_score", "0.23", "sklearn.metrics.jaccard_score"),
        ("sklearn.metrics.scorer", "0.24", "sklearn.metrics"),
        ("sklearn.metrics.calinski_harabaz_score", "0.23", "calinski_harabasz_score"),
        ("sklearn.inspection.plot_partial_dependence", "1.2", "PartialDependenceDisplay.from_estimator"),
        ("sklearn.ensemble.partial_dependence", "0.23", "sklearn.inspection"),
        ("sklearn.utils.testing", "0.24", "sklearn.utils._testing, or pytest"),
        ("sklearn.linear_model.Randomized*", "0.21", "sklearn.feature_selection.SelectFromModel"),
        ("sklearn.mixture.GMM", "0.20", "sklearn.mixture.GaussianMixture"),
        ("sklearn.lda", "0.19", "sklearn.discriminant_analysis.LinearDiscriminantAnalysis"),
        ("sklearn.qda", "0.19", "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis"),
        ("sklearn.linear_model.logistic", "0.24", "sklearn.linear_model"),
        ("sklearn.neighbors.classification", "0.24", "sklearn.neighbors"),
        ("sklearn.ensemble.forest", "0.24", "sklearn.ensemble"),
        ("sklearn.tree.tree", "0.24", "sklearn.tree"),
        ("sklearn.svm.classes", "0.24", "sklearn.svm"),
        ("sklearn.preprocessing.CategoricalEncoder", "0.20", "OneHotEncoder or OrdinalEncoder"),
        ("*.get_feature_names", "1.2", ".get_feature_names_out()"),
        ("OneHotEncoder(sparse)", "1.4", "sparse_output=…"),
        ("KMeans(n_jobs)", "1.0", "nothing: leave the argument out, it uses the cores by itself"),
        ("LinearRegression(normalize)", "1.2", "make_pipeline(StandardScaler(), LinearRegression())"),
        ("*Ridge*(normalize)", "1.2", "make_pipeline(StandardScaler(), Ridge())"),
        ("Lasso*(normalize)", "1.2", "make_pipeline(StandardScaler(), Lasso())"),
        ("ElasticNet*(normalize)", "1.2", "make_pipeline(StandardScaler(), ElasticNet())"),
        ("*Classifier(base_estimator)", "1.4", "estimator=…"),
        ("*Regressor(base_estimator)", "1.4", "estimator=…"),
        ("CalibratedClassifierCV(base_estimator)", "1.4", "estimator=…"),
        (
            "LogisticRegression*(multi_class)",
            "1.8",
            "OneVsRestClassifier(LogisticRegression()) for 'ovr'; else leave it out",
        ),
        ("*Fold(n_folds)", "0.20", "n_splits=…"),
        ("(squared)", "1.6", "root_mean_squared_error for squared=False"),
        ("*(max_features='auto')", "1.3", "max_features='sqrt' for a classifier, 1.0 for a regressor"),
        ("*(loss='ls')", "1.2", "loss='squared_error'"),
        ("*(loss='lad')", "1.2", "loss='absolute_error'"),
        ("*(loss='squared_loss')", "1.2", "loss='squared_error'"),
        ("*(loss='deviance')", "1.3", "loss='log_loss'"),
        ("*(loss='log')", "1.3", "loss='log_loss'"),
        ("*(criterion='mse')", "1.2", "criterion='squared_error'"),
        ("*(criterion='mae')", "1.2", "criterion='absolute_error'"),
        ("*(penalty='none')", "1.4", "penalty=None"),
        ("AgglomerativeClustering(affinity)", "1.4", "metric=…"),
    ),
    *_rows(
        "scipy",
        ("scipy.interp", "1.14", "np.interp"),
        ("scipy.misc.imread", "1.2", "imageio.v3.imread, or PIL.Image.open"),
        ("scipy.misc.imresize", "1.3", "PIL.Image.Image.resize"),
        ("scipy.misc.factorial", "1.3", "scipy.special.factorial"),
        ("scipy.misc.comb", "1.3", "scipy.special.comb"),
        ("scipy.misc.logsumexp", "1.3", "scipy.special.logsumexp"),
        ("scipy.misc.face", "1.12", "scipy.datasets.face"),
        ("scipy.misc.derivative", "1.12", "scipy.differentiate.derivative"),
        ("scipy.stats.itemfreq", "1.4", "np.unique(x, return_counts=True)"),
        ("scipy.stats.betai", "1.4", "scipy.special.betainc"),
        ("scipy.stats.binom_test", "1.12", "scipy.stats.binomtest(k, n).pvalue"),
        ("scipy.stats.median_absolute_deviation", "1.9", "scipy.stats.median_abs_deviation"),
        ("scipy.integrate.simps", "1.14", "scipy.integrate.simpson"),
        ("scipy.integrate.trapz", "1.14", "scipy.integrate.trapezoid"),
        ("scipy.integrate.cumtrapz", "1.14", "scipy.integrate.cumulative_trapezoid"),
        ("scipy.signal.gaussian", "1.13", "scipy.signal.windows.gaussian"),
        ("scipy.signal.hann", "1.13", "scipy.signal.windows.hann"),
        ("scipy.linalg.pinv2", "1.9", "scipy.linalg.pinv"),
        ("scipy.array", "1.12", "np.array"),
        ("scipy.mean", "1.12", "np.mean"),
        ("scipy.randn", "1.12", "np.random.randn"),
        ("scipy.sqrt", "1.12", "np.sqrt"),
    ),
    *_rows(
        "matplotlib",
        ("style.use('seaborn*')", "3.8", "the name with v0_8: plt.style.use('seaborn-v0_8-whitegrid')"),
        ("Rectangle.set(normed)", "3.1", "density=True"),
        ("FigureBase.gca(projection)", "3.7", "fig.add_subplot(projection='3d')"),
        ("matplotlib.cm.get_cmap", "3.9", "matplotlib.colormaps['NAME']"),
        ("matplotlib.cm.register_cmap", "3.9", "matplotlib.colormaps.register(cmap)"),
        ("matplotlib.pyplot.register_cmap", "3.9", "matplotlib.colormaps.register(cmap)"),
        ("Axes.set(axisbg)", "2.2", "facecolor=…"),
        ("Axes.set_axis_bgcolor", "2.2", ".set_facecolor(color)"),
        ("*boxplot(labels)", "3.11", "tick_labels=…"),
        ("grid(b)", "3.8", "visible=…, or the value without a name"),
        ("matplotlib.mlab.PCA", "3.1", "sklearn.decomposition.PCA"),
        ("matplotlib.mlab.normpdf", "3.1", "scipy.stats.norm.pdf"),
        ("matplotlib.finance*", "2.2", "the package mplfinance"),
    ),
    *_rows(
        "seaborn",
        ("seaborn.factorplot", "0.12", "sns.catplot"),
        ("seaborn.tsplot", "0.12", "sns.lineplot"),
        ("seaborn.distplot", "0.14", "sns.histplot or sns.displot"),
        ("seaborn.apionly", "0.12", "import seaborn as sns"),
        *(
            (f"{plot}(positional)", "0.12", f"the names of the arguments: sns.{plot}(data=df, x=…, y=…)")
            for plot in (
                "barplot",
                "countplot",
                "scatterplot",
                "lineplot",
                "pointplot",
                "regplot",
                "lmplot",
                "jointplot",
            )
        ),
    ),
    *_rows(
        "networkx",
        ("networkx.info", "3.0", "print(graph)"),
        ("networkx.from_numpy_matrix", "3.0", "nx.from_numpy_array"),
        ("networkx.to_numpy_matrix", "3.0", "nx.to_numpy_array"),
        ("networkx.to_scipy_sparse_matrix", "3.0", "nx.to_scipy_sparse_array"),
        ("networkx.write_gpickle", "3.0", "pickle.dump(graph, file)"),
        ("networkx.read_gpickle", "3.0", "pickle.load(file)"),
        ("networkx.connected_component_subgraphs", "2.4", "[g.subgraph(c) for c in nx.connected_components(g)]"),
        ("*Graph.node", "2.4", "graph.nodes[n]"),
        ("*Graph.nodes_iter", "2.0", "graph.nodes()"),
        ("*Graph.edges_iter", "2.0", "graph.edges()"),
    ),
    *_rows(
        "statsmodels",
        ("statsmodels.tsa.api.ARMA", "0.13", "statsmodels.tsa.arima.model.ARIMA with order (p, 0, q)"),
        ("statsmodels.formula.api.OLS", "0.11", "smf.ols (a formula), or sm.OLS of statsmodels.api"),
    ),
    *_rows("plotly", ("plotly.plotly", "4.0", "the package chart-studio, or plotly.graph_objects with fig.show()")),
    *_rows(
        "tensorflow",
        ("tensorflow.contrib*", "2.0", "what TensorFlow 2 has for it (tf.keras, the package tf-slim)"),
        ("tensorflow.placeholder", "2.0", "tf.compat.v1.placeholder, or a tf.keras model"),
        ("tensorflow.Session", "2.0", "tf.compat.v1.Session, or eager execution"),
        ("tensorflow.global_variables_initializer", "2.0", "tf.compat.v1.global_variables_initializer"),
        ("tensorflow.app", "2.0", "tf.compat.v1.app, or the package absl-py"),
        ("tensorflow.truncated_normal", "2.0", "tf.random.truncated_normal"),
    ),
    *_rows(
        "ipython",
        ("IPython.core.display.display", "9.0", "from IPython.display import display"),
        ("IPython.html*", "4.0", "import ipywidgets"),
        ("IPython.display.set_matplotlib_formats", "8.0", "from matplotlib_inline.backend_inline import …"),
    ),
    *_rows("pyyaml", ("load(missing Loader)", "6.0", "yaml.safe_load(text)")),
    *_rows(
        "Python",
        ("collections.Mapping", "3.10", "collections.abc.Mapping"),
        ("collections.MutableMapping", "3.10", "collections.abc.MutableMapping"),
        ("collections.Iterable", "3.10", "collections.abc.Iterable"),
        ("collections.Sequence", "3.10", "collections.abc.Sequence"),
        ("collections.Callable", "3.10", "collections.abc.Callable"),
        ("collections.Hashable", "3.10", "collections.abc.Hashable"),
        ("fractions.gcd", "3.9", "math.gcd"),
        ("time.clock", "3.8", "time.perf_counter()"),
        ("inspect.getargspec", "3.11", "inspect.getfullargspec"),
        ("str.decode", "3.0", "nothing: a str is text already (bytes have .decode)"),
        ("dict.iteritems", "3.0", ".items()"),
        ("dict.itervalues", "3.0", ".values()"),
        ("dict.iterkeys", "3.0", ".keys()"),
        ("dict.has_key", "3.0", "key in d"),
        ("sys.maxint", "3.0", "sys.maxsize"),
        ("sys.setdefaultencoding", "3.0", "nothing: text is Unicode"),
        ("urllib.urlencode", "3.0", "urllib.parse.urlencode"),
        ("urllib.quote", "3.0", "urllib.parse.quote"),
        ("urllib.urlopen", "3.0", "urllib.request.urlopen"),
        ("urllib.urlretrieve", "3.0", "urllib.request.urlretrieve"),
        ("string.letters", "3.0", "string.ascii_letters"),
        ("string.lowercase", "3.0", "string.ascii_lowercase"),
        ("string.maketrans", "3.0", "str.maketrans"),
        ("itertools.izip", "3.0", "zip"),
        ("itertools.imap", "3.0", "map"),
        ("itertools.ifilter", "3.0", "filter"),
        ("sort(cmp)", "3.0", "key=functools.cmp_to_key(…)"),
    ),
)

# (class, message, symbol made of the groups)
_SYMBOLS: tuple[tuple[str, str, str], ...] = (
    (r"ImportError", r"cannot import name '(\w+)' from '([\w.]+)'", r"\2.\1"),
    (r"ImportError", r"\s*`(load_boston)` has been removed", r"sklearn.datasets.\1"),
    (r"ModuleNotFoundError", r"No module named '([\w.]+\.\w+)'", r"\1"),
    (r"AttributeError", r"[Mm]odule '([\w.]+)' has no attribute '(\w+)'", r"\1.\2"),
    (r"AttributeError", r"'(?:[\w.]*\.)?(\w+)' object has no attribute '(\w+)'", r"\1.\2"),
    (r"TypeError|AttributeError", r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", r"\1(\2)"),
    (r"TypeError|AttributeError", r"([\w.]*)(?:\(\) )?got an unexpected keyword argument '(\w+)'", r"\1(\2)"),
    (r"TypeError", r"'(\w+)' is an invalid keyword argument for (\w+)\(\)", r"\2(\1)"),
    (r"TypeError", r"([\w.]+)\(\) takes (?:from \d+ to )?\d+ positional arguments? but \d+ w", r"\1(positional)"),
    (r"TypeError", r"(\w+)\(\) missing 1 required positional argument: '(\w+)'", r"\1(missing \2)"),
    (r"ValueError", r"keyword grid_(\w+) is not recognized", r"grid(\1)"),
    (r"OSError", r"'(seaborn[\w-]*)' is not a valid package style", r"style.use('\1')"),
    (r"InvalidParameterError", r"The '(\w+)' parameter of (\w+) must be .* Got ('\w+') instead", r"\2(\1=\3)"),
)
# (class, message, library, since, what, fix): the library says itself what is gone
_TOLD: tuple[tuple[str, str, str, str, str, str], ...] = (
    (
        "AttributeError",
        r"`(np\.\w+)` was removed in the NumPy (?P<since>[\d.]+) release\. (?P<fix>[^\n]*)",
        "numpy",
        "",
        r"\1",
        r"\g<fix>",
    ),
    (
        "AttributeError",
        r"module 'numpy' has no attribute '\w+'\.\n`(np\.\w+)` was a deprecated alias for the builtin `(\w+)`",
        "numpy",
        "1.24",
        r"\1",
        r"use `\2`",
    ),
    (
        "NotImplementedError",
        r"`(\w+)` has been removed in SciPy (?P<since>[\d.]+\d)",
        "scipy",
        "",
        r"\1",
        "see the message: it names the replacements",
    ),
    (
        "ValueError",
        r"Invalid frequency: (\d*(?:C?BM|B?[QAY]|SM|[MHTSLUN]|C?BH)S?(?:-[A-Z]{3})?)\. .*"
        r"(?:Please use |Did you mean )'?(\w+)",
        "pandas",
        "3.0",
        r"the frequency '\1'",
        r"write '\2'",
    ),
)


def explained(evidence: Evidence) -> Explanation | None:
    return _told(evidence) or _looked_up(evidence)


def _told(evidence: Evidence) -> Explanation | None:
    for error, pattern, library, since, what, fix in _TOLD:
        match = re.match(pattern, evidence.said, re.DOTALL) if evidence.error == error else None
        if match is None:
            continue
        gone = since or match["since"]
        return _gone(evidence, library, match.expand(what), gone, match.expand(fix).rstrip("."))
    return None


def _looked_up(evidence: Evidence) -> Explanation | None:
    for symbol in _symbols(evidence):
        if evidence.defines(re.split(r"[.(\[]", symbol)[0]):
            continue
        row = next((row for row in REMOVED if fnmatchcase(symbol, row.symbol) and _counts(evidence, row, symbol)), None)
        if row is not None:
            return _gone(evidence, row.library, f"`{symbol}`", row.since, row.fix)
    return None


def _symbols(evidence: Evidence) -> Iterator[str]:
    for error, pattern, symbol in _SYMBOLS:
        if re.fullmatch(error, evidence.error):
            match = re.match(pattern, evidence.said, re.DOTALL)
            if match is not None:
                yield match.expand(symbol)


def _counts(evidence: Evidence, row: Removed, symbol: str) -> bool:
    """Whether the row is about what failed here: that library, in that version or a later one."""
    module = _MODULES.get(row.library, row.library)
    if module == "":
        return True
    version = evidence.machine.version(row.library)
    if version and _numbers(version) < _numbers(row.since):
        return False
    if symbol.startswith(f"{module}.") or evidence.through(module):
        return True
    sure = _pandas_alone(evidence) if row.library == "pandas" else True
    return sure and evidence.imports(module)


def _pandas_alone(evidence: Evidence) -> bool:
    """Whether `DataFrame` and `read_csv` can only be those of pandas, although no frame of pandas shows it.

    An attribute that is missing passes through pandas' own code, so that its frame would be there.
    """
    return evidence.error != "AttributeError" and not any(evidence.imports(name) for name in _LIKE_PANDAS)


def _gone(evidence: Evidence, library: str, what: str, since: str, fix: str) -> Explanation:
    if library == "Python" and since == "3.0":
        return Explanation("python-2", f"the notebook was written for Python 2: Python 3 has no {what}", fix)
    version = "" if library == "Python" else evidence.machine.version(library)
    installed = f"{library} {version}" if version else library
    return Explanation("removed-api", f"{installed} no longer has {what} (gone since {since})", fix)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
