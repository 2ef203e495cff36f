"""Each row of the table of removed things, by the real exception of the installed library."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from nb2prod.core.result import Failure
from nb2prod.language import failures
from nb2prod.language.failures import removed
from tests.language.failures.conftest import Explained, notebook_of

FRAME = "import pandas as pd\nframe = pd.DataFrame({'a': [1]})\nseries = pd.Series([1])\n"
CSV = "import pandas as pd, io\ntext = io.StringIO('a,b\\n1,2')\n"
# symbol: code that fails for it
REAL: dict[str, str] = {
    "DataFrame.append": FRAME + "frame.append({'a': 2}, ignore_index=True)",
    "Series.append": FRAME + "series.append(series)",
    "DataFrame.ix": FRAME + "frame.ix[0]",
    "Series.ix": FRAME + "series.ix[0]",
    "pandas.Panel": FRAME + "pd.Panel",
    "DataFrame.iteritems": FRAME + "frame.iteritems()",
    "Series.iteritems": FRAME + "series.iteritems()",
    "DataFrame.applymap": FRAME + "frame.applymap(str)",
    "*.fillna(method)": FRAME + "frame.fillna(method='ffill')",
    "DataFrame.sort": FRAME + "frame.sort('a')",
    "Series.sort": FRAME + "series.sort()",
    "Series.order": FRAME + "series.order()",
    "DataFrame.as_matrix": FRAME + "frame.as_matrix()",
    "DataFrame.get_value": FRAME + "frame.get_value(0, 'a')",
    "DataFrame.set_value": FRAME + "frame.set_value(0, 'a', 1)",
    "[DS]*.mad": FRAME + "frame.mad()",
    "DataFrame.swapaxes": FRAME + "frame.swapaxes(0, 1)",
    "pandas.Int64Index": FRAME + "pd.Int64Index([1])",
    "pandas.Float64Index": FRAME + "pd.Float64Index([1])",
    "pandas.datetime": FRAME + "pd.datetime.now()",
    "pandas.np": FRAME + "pd.np.array([1])",
    "pandas.scatter_matrix": FRAME + "pd.scatter_matrix(frame)",
    "pandas.tools*": "from pandas.tools.plotting import scatter_matrix",
    "pandas.io.data": "import pandas.io.data",
    "pandas.io.json.json_normalize": "from pandas.io.json import json_normalize",
    "pandas.util.testing": "import pandas.util.testing as tm",
    "pandas.rolling_*": FRAME + "pd.rolling_mean(series, 2)",
    "pandas.ewma": FRAME + "pd.ewma(series)",
    "read_csv(error_bad_lines)": CSV + "pd.read_csv(text, error_bad_lines=False)",
    "read_csv(warn_bad_lines)": CSV + "pd.read_csv(text, warn_bad_lines=False)",
    "read_csv(squeeze)": CSV + "pd.read_csv(text, squeeze=True)",
    "read_csv(prefix)": CSV + "pd.read_csv(text, prefix='x')",
    "read_csv(date_parser)": CSV + "pd.read_csv(text, date_parser=str)",
    "read_csv(delim_whitespace)": CSV + "pd.read_csv(text, delim_whitespace=True)",
    "read_csv(infer_datetime_format)": CSV + "pd.read_csv(text, infer_datetime_format=True)",
    "to_datetime(infer_datetime_format)": CSV + "pd.to_datetime(['2020'], infer_datetime_format=True)",
    "DatetimeArray._generate_range(closed)": CSV + "pd.date_range('2020', periods=2, closed='left')",
    "DataFrame.groupby(axis)": FRAME + "frame.groupby('a', axis=1)",
    "*.drop(positional)": FRAME + "frame.drop('a', 1)",
    "*.to_csv(line_terminator)": FRAME + "frame.to_csv('x.csv', line_terminator='\\n')",
    "read_excel(sheetname)": FRAME + "pd.read_excel('x.xlsx', sheetname='a')",
    "*.resample(how)": FRAME + "series.resample('D', how='mean')",
    "numpy.product": "import numpy as np\nnp.product([1])",
    "numpy.cumproduct": "import numpy as np\nnp.cumproduct([1])",
    "numpy.in1d": "import numpy as np\nnp.in1d([1], [1])",
    "numpy.trapz": "import numpy as np\nnp.trapz([1])",
    "numpy.asscalar": "import numpy as np\nnp.asscalar(np.array(1))",
    "numpy.rank": "import numpy as np\nnp.rank([1])",
    "numpy.math": "import numpy as np\nnp.math.pi",
    "numpy.testing.rand": "from numpy.testing import rand",
    "histogram*(normed)": "import numpy as np\nnp.histogram([1, 2], normed=True)",
    "ndarray.tostring": "import numpy as np\nnp.array([1]).tostring()",
    "ndarray.ptp": "import numpy as np\nnp.array([1]).ptp()",
    "ndarray.itemset": "import numpy as np\nnp.array([1]).itemset(0, 1)",
    "ndarray.newbyteorder": "import numpy as np\nnp.array([1]).newbyteorder()",
    "sklearn.cross_validation*": "from sklearn.cross_validation import train_test_split",
    "sklearn.grid_search*": "from sklearn.grid_search import GridSearchCV",
    "sklearn.learning_curve": "from sklearn.learning_curve import learning_curve",
    "sklearn.externals.joblib*": "from sklearn.externals import joblib",
    "sklearn.externals.six*": "from sklearn.externals.six import StringIO",
    "sklearn.preprocessing.Imputer": "from sklearn.preprocessing import Imputer",
    "sklearn.datasets.load_boston": "from sklearn.datasets import load_boston",
    "sklearn.datasets.fetch_mldata": "from sklearn.datasets import fetch_mldata",
    "sklearn.datasets.samples_generator": "from sklearn.datasets.samples_generator import make_blobs",
    "sklearn.metrics.plot_confusion_matrix": "from sklearn.metrics import plot_confusion_matrix",
    "sklearn.metrics.plot_roc_curve": "from sklearn.metrics import plot_roc_curve",
    "sklearn.metrics.plot_precision_recall_curve": "from sklearn.metrics import plot_precision_recall_curve",
    "sklearn.metrics.jaccard_similarity_score": "from sklearn.metrics import jaccard_similarity_score",
    "sklearn.metrics.scorer": "from sklearn.metrics.scorer import make_scorer",
    "sklearn.metrics.calinski_harabaz_score": "from sklearn.metrics import calinski_harabaz_score",
    "sklearn.inspection.plot_partial_dependence": "from sklearn.inspection import plot_partial_dependence",
    "sklearn.ensemble.partial_dependence": "from sklearn.ensemble.partial_dependence import plot_partial_dependence",
    "sklearn.utils.testing": "from sklearn.utils.testing import ignore_warnings",
    "sklearn.linear_model.Randomized*": "from sklearn.linear_model import RandomizedLasso",
    "sklearn.mixture.GMM": "from sklearn.mixture import GMM",
    "sklearn.lda": "from sklearn.lda import LDA",
    "sklearn.qda": "from sklearn.qda import QDA",
    "sklearn.linear_model.logistic": "from sklearn.linear_model.logistic import LogisticRegression",
    "sklearn.neighbors.classification": "from sklearn.neighbors.classification import KNeighborsClassifier",
    "sklearn.ensemble.forest": "from sklearn.ensemble.forest import RandomForestClassifier",
    "sklearn.tree.tree": "from sklearn.tree.tree import DecisionTreeClassifier",
    "sklearn.svm.classes": "from sklearn.svm.classes import SVC",
    "sklearn.preprocessing.CategoricalEncoder": "from sklearn.preprocessing import CategoricalEncoder",
    "*.get_feature_names": "from sklearn.feature_extraction.text import CountVectorizer\n"
    "CountVectorizer().fit(['dog']).get_feature_names()",
    "OneHotEncoder(sparse)": "from sklearn.preprocessing import OneHotEncoder\nOneHotEncoder(sparse=False)",
    "KMeans(n_jobs)": "from sklearn.cluster import KMeans\nKMeans(n_jobs=2)",
    "LinearRegression(normalize)": "from sklearn import linear_model as l\nl.LinearRegression(normalize=True)",
    "*Ridge*(normalize)": "from sklearn.linear_model import RidgeCV\nRidgeCV(normalize=True)",
    "Lasso*(normalize)": "from sklearn.linear_model import Lasso\nLasso(normalize=True)",
    "ElasticNet*(normalize)": "from sklearn.linear_model import ElasticNet\nElasticNet(normalize=True)",
    "*Classifier(base_estimator)": "from sklearn import ensemble as e\ne.BaggingClassifier(base_estimator=1)",
    "*Regressor(base_estimator)": "from sklearn.ensemble import AdaBoostRegressor\nAdaBoostRegressor(base_estimator=1)",
    "CalibratedClassifierCV(base_estimator)": "from sklearn.calibration import CalibratedClassifierCV\n"
    "CalibratedClassifierCV(base_estimator=1)",
    "LogisticRegression*(multi_class)": "from sklearn.linear_model import LogisticRegression\n"
    "LogisticRegression(multi_class='ovr')",
    "*Fold(n_folds)": "from sklearn.model_selection import KFold\nKFold(10, n_folds=3)",
    "(squared)": "from sklearn.metrics import mean_squared_error\nmean_squared_error([1], [2], squared=False)",
    "*(max_features='auto')": "from sklearn.ensemble import RandomForestClassifier\n"
    "RandomForestClassifier(max_features='auto').fit([[1], [2]], [0, 1])",
    "*(loss='ls')": "from sklearn.ensemble import GradientBoostingRegressor\n"
    "GradientBoostingRegressor(loss='ls').fit([[1], [2]], [0, 1])",
    "*(loss='lad')": "from sklearn.ensemble import GradientBoostingRegressor\n"
    "GradientBoostingRegressor(loss='lad').fit([[1], [2]], [0, 1])",
    "*(loss='squared_loss')": "from sklearn.linear_model import SGDRegressor\n"
    "SGDRegressor(loss='squared_loss').fit([[1], [2]], [0, 1])",
    "*(loss='deviance')": "from sklearn.ensemble import GradientBoostingClassifier\n"
    "GradientBoostingClassifier(loss='deviance').fit([[1], [2]], [0, 1])",
    "*(loss='log')": "from sklearn import linear_model as l\nl.SGDClassifier(loss='log').fit([[1], [2]], [0, 1])",
    "*(criterion='mse')": "from sklearn.tree import DecisionTreeRegressor\n"
    "DecisionTreeRegressor(criterion='mse').fit([[1], [2]], [0, 1])",
    "*(criterion='mae')": "from sklearn.tree import DecisionTreeRegressor\n"
    "DecisionTreeRegressor(criterion='mae').fit([[1], [2]], [0, 1])",
    "*(penalty='none')": "from sklearn.linear_model import LogisticRegression\n"
    "LogisticRegression(penalty='none').fit([[1], [2]], [0, 1])",
    "AgglomerativeClustering(affinity)": "from sklearn.cluster import AgglomerativeClustering\n"
    "AgglomerativeClustering(affinity='l1')",
    "scipy.interp": "from scipy import interp",
    "scipy.misc.imread": "from scipy.misc import imread",
    "scipy.misc.imresize": "import scipy.misc\nscipy.misc.imresize",
    "scipy.misc.factorial": "from scipy.misc import factorial",
    "scipy.misc.comb": "import scipy.misc\nscipy.misc.comb(3, 2)",
    "scipy.misc.logsumexp": "from scipy.misc import logsumexp",
    "scipy.misc.face": "from scipy.misc import face",
    "scipy.misc.derivative": "from scipy.misc import derivative",
    "scipy.stats.itemfreq": "from scipy.stats import itemfreq",
    "scipy.stats.betai": "from scipy.stats import betai",
    "scipy.stats.binom_test": "import scipy.stats\nscipy.stats.binom_test(3, 5)",
    "scipy.stats.median_absolute_deviation": "from scipy import stats\nstats.median_absolute_deviation([1])",
    "scipy.integrate.simps": "from scipy.integrate import simps",
    "scipy.integrate.trapz": "from scipy.integrate import trapz",
    "scipy.integrate.cumtrapz": "from scipy.integrate import cumtrapz",
    "scipy.signal.gaussian": "from scipy.signal import gaussian",
    "scipy.signal.hann": "from scipy import signal\nsignal.hann(3)",
    "scipy.linalg.pinv2": "from scipy.linalg import pinv2",
    "scipy.array": "from scipy import array",
    "scipy.mean": "import scipy as sp\nsp.mean([1])",
    "scipy.randn": "from scipy import randn",
    "scipy.sqrt": "import scipy as sp\nsp.sqrt(2)",
    "style.use('seaborn*')": "import matplotlib.pyplot as plt\nplt.style.use('seaborn-whitegrid')",
    "Rectangle.set(normed)": "import matplotlib.pyplot as plt\nplt.hist([1, 2], normed=True)",
    "FigureBase.gca(projection)": "import matplotlib.pyplot as plt\nplt.figure().gca(projection='3d')",
    "matplotlib.cm.get_cmap": "import matplotlib.pyplot as plt\nplt.cm.get_cmap('viridis')",
    "matplotlib.cm.register_cmap": "import matplotlib\nmatplotlib.cm.register_cmap",
    "matplotlib.pyplot.register_cmap": "import matplotlib.pyplot as plt\nplt.register_cmap",
    "Axes.set(axisbg)": "import matplotlib.pyplot as plt\nplt.axes(axisbg='w')",
    "Axes.set_axis_bgcolor": "import matplotlib.pyplot as plt\nplt.gca().set_axis_bgcolor('w')",
    "*boxplot(labels)": "import matplotlib.pyplot as plt\nplt.boxplot([[1, 2]], labels=['a'])",
    "grid(b)": "import matplotlib.pyplot as plt\nplt.grid(b=True)",
    "matplotlib.mlab.PCA": "from matplotlib.mlab import PCA",
    "matplotlib.mlab.normpdf": "import matplotlib.mlab as mlab\nmlab.normpdf(1, 2, 3)",
    "matplotlib.finance*": "from matplotlib.finance import candlestick",
    "IPython.core.display.display": "from IPython.core.display import display",
    "IPython.html*": "from IPython.html import widgets",
    "IPython.display.set_matplotlib_formats": "from IPython.display import set_matplotlib_formats",
    "load(missing Loader)": "import yaml\nyaml.load('a: 1')",
    "collections.Mapping": "from collections import Mapping",
    "collections.MutableMapping": "from collections import MutableMapping",
    "collections.Iterable": "import collections\ncollections.Iterable",
    "collections.Sequence": "import collections\ncollections.Sequence",
    "collections.Callable": "import collections\ncollections.Callable",
    "collections.Hashable": "import collections\ncollections.Hashable",
    "fractions.gcd": "from fractions import gcd",
    "time.clock": "import time\ntime.clock()",
    "inspect.getargspec": "import inspect\ninspect.getargspec(print)",
    "str.decode": "'a'.decode('utf8')",
    "dict.iteritems": "{}.iteritems()",
    "dict.itervalues": "{}.itervalues()",
    "dict.iterkeys": "{}.iterkeys()",
    "dict.has_key": "{}.has_key(1)",
    "sys.maxint": "import sys\nsys.maxint",
    "sys.setdefaultencoding": "import sys\nsys.setdefaultencoding('utf8')",
    "urllib.urlencode": "from urllib import urlencode",
    "urllib.quote": "from urllib import quote",
    "urllib.urlopen": "import urllib\nurllib.urlopen('x')",
    "urllib.urlretrieve": "import urllib\nurllib.urlretrieve('x')",
    "string.letters": "import string\nstring.letters",
    "string.lowercase": "import string\nstring.lowercase",
    "string.maketrans": "import string\nstring.maketrans('a', 'b')",
    "itertools.izip": "import itertools\nitertools.izip",
    "itertools.imap": "from itertools import imap",
    "itertools.ifilter": "from itertools import ifilter",
    "sort(cmp)": "sorted([1, 2], cmp=lambda a, b: 0)",
}
# what libraries said that are not installed here; recorded from real runs, those of TensorFlow from public notebooks
RECORDED: dict[str, tuple[str, str]] = {
    "seaborn.factorplot": ("import seaborn as sns", "AttributeError: module 'seaborn' has no attribute 'factorplot'"),
    "seaborn.tsplot": ("import seaborn as sns", "AttributeError: module 'seaborn' has no attribute 'tsplot'"),
    "seaborn.distplot": ("import seaborn as sns", "AttributeError: module 'seaborn' has no attribute 'distplot'"),
    "seaborn.apionly": ("import seaborn.apionly as sns", "ModuleNotFoundError: No module named 'seaborn.apionly'"),
    **{
        f"{plot}(positional)": (
            "import seaborn as sns",
            f"TypeError: {plot}() takes from 0 to 1 positional arguments but 2 were given",
        )
        for plot in ("barplot", "countplot", "scatterplot", "lineplot", "pointplot", "regplot", "lmplot", "jointplot")
    },
    **{
        f"networkx.{name}": ("import networkx as nx", f"AttributeError: module 'networkx' has no attribute '{name}'")
        for name in (
            "info",
            "from_numpy_matrix",
            "to_numpy_matrix",
            "to_scipy_sparse_matrix",
            "write_gpickle",
            "read_gpickle",
            "connected_component_subgraphs",
        )
    },
    **{
        f"*Graph.{name}": ("import networkx as nx", f"AttributeError: 'Graph' object has no attribute '{name}'")
        for name in ("node", "nodes_iter", "edges_iter")
    },
    "statsmodels.tsa.api.ARMA": (
        "import statsmodels.api as sm",
        "AttributeError: module 'statsmodels.tsa.api' has no attribute 'ARMA'",
    ),
    "statsmodels.formula.api.OLS": (
        "import statsmodels.formula.api as smf",
        "AttributeError: module 'statsmodels.formula.api' has no attribute 'OLS'",
    ),
    "plotly.plotly": ("import plotly.plotly as py", "ModuleNotFoundError: No module named 'plotly.plotly'"),
    "tensorflow.contrib*": ("import tensorflow", "ModuleNotFoundError: No module named 'tensorflow.contrib'"),
    **{
        f"tensorflow.{name}": (
            "import tensorflow as tf",
            f"AttributeError: module 'tensorflow' has no attribute '{name}'",
        )
        for name in ("placeholder", "Session", "global_variables_initializer", "app", "truncated_normal")
    },
}
ROWS = {row.symbol: row for row in removed.REMOVED}


def test_every_row_has_a_failure_that_shows_it() -> None:
    assert sorted({*REAL, *RECORDED} ^ set(ROWS)) == []


@pytest.mark.parametrize("symbol", REAL)
def test_a_removed_thing_is_explained_with_the_installed_version_and_its_replacement(
    symbol: str, explained: Explained
) -> None:
    row = ROWS[symbol]
    explanation = explained(REAL[symbol])
    assert explanation is not None
    assert explanation.fix == row.fix
    assert row.fix.startswith("use ") or row.instead.startswith("nothing: ")
    assert explanation.kind == ("python-2" if row.library == "Python" and row.since == "3.0" else "removed-api")
    if row.library != "Python":
        assert explanation.what.startswith(f"{row.library} {importlib.metadata.version(row.library)} no longer has ")
        assert explanation.what.endswith(f"(gone since {row.since})")


class Elsewhere:
    """A machine with other packages than this one."""

    pip = "pip install"

    def __init__(self, **versions: str) -> None:
        self.versions = versions

    def version(self, distribution: str) -> str:
        return self.versions.get(distribution, "")

    def names(self, folder: Path) -> tuple[str, ...]:
        return ()


@pytest.mark.parametrize("symbol", RECORDED)
def test_a_removed_thing_of_a_library_that_is_not_here(symbol: str, tmp_path: Path) -> None:
    source, message = RECORDED[symbol]
    row = ROWS[symbol]
    pipeline = notebook_of(tmp_path, ("step:a", source))
    explanation = failures.explained(Failure("cell", message, "a", 0, 1), pipeline, Elsewhere(**{row.library: "99.1"}))
    assert explanation is not None
    assert explanation.what.startswith(f"{row.library} 99.1 no longer has ")
    assert explanation.fix == row.fix
    older = failures.explained(Failure("cell", message, "a", 0, 1), pipeline, Elsewhere(**{row.library: "0.1"}))
    assert older is None or "no longer has" not in older.what


TOLD = [
    ("import numpy as np\nnp.float_", "`", "np.float_", "use `np.float64`", "2.0"),
    ("import numpy as np\nnp.NaN", "`", "np.NaN", "use `np.nan`", "2.0"),
    ("import numpy as np\nnp.float", "`", "np.float", "use `float`", "1.24"),
    ("import pandas as pd\npd.date_range('2020', periods=2, freq='M')", "'", "M", "write 'ME'", "3.0"),
    ("import pandas as pd\npd.date_range('2020', periods=2, freq='2H')", "'", "H", "write 'h'", "3.0"),
    (
        "from scipy.interpolate import interp2d\ninterp2d([1, 2], [1, 2], [[1, 2], [3, 4]])",
        "`",
        "interp2d",
        "the message",
        "1.14.0",
    ),
]


@pytest.mark.parametrize(("source", "_", "symbol", "fix", "since"), TOLD, ids=[row[2] for row in TOLD])
def test_a_library_that_says_itself_what_is_gone_is_quoted(
    source: str, _: str, symbol: str, fix: str, since: str, explained: Explained
) -> None:
    explanation = explained(source)
    assert explanation is not None
    assert explanation.kind == "removed-api"
    assert symbol in explanation.what
    assert f"(gone since {since})" in explanation.what
    assert fix.lower() in explanation.fix.lower()


NOTHING = [
    ("the author's own class", "class DataFrame: pass\nDataFrame().append(1)"),
    ("the author's own function", "def read_csv(path): return 1\nimport pandas\nread_csv('x', squeeze=True)"),
    ("an attribute that never was", "import pandas as pd\npd.DataFrame({'a': [1]}).colum"),
    ("a method of another's object", "import pandas as pd\n'text'.append(1)"),
    ("an argument that never was", "import pandas as pd, io\npd.read_csv(io.StringIO('a'), squeezed=True)"),
    ("a frequency that never was", "import pandas as pd\npd.date_range('2020', periods=2, freq='nope')"),
]


@pytest.mark.parametrize(("reason", "source"), NOTHING, ids=[row[0] for row in NOTHING])
def test_what_no_library_had_is_not_called_removed(reason: str, source: str, explained: Explained) -> None:
    explanation = explained(source)
    assert explanation is None or explanation.kind != "removed-api", explanation
