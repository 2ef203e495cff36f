"""The words by which a cell shows what it does: one row an act, with the reason that a person is told.

A row's pattern is matched against the dotted name of everything that a cell calls (`pd.read_csv`, `df.dropna`,
`accuracy_score`), from its start to its end. They are guesses about meaning, never about names: which cell needs which
is the compiler's to say, so a wrong guess gives a step a poor name and loses nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Act(NamedTuple):
    """One thing that a call may be. `phase` is the step that it makes of a cell, empty when it makes none."""

    name: str
    phase: str
    reason: str
    pattern: re.Pattern[str]


def _act(name: str, phase: str, reason: str, pattern: str) -> Act:
    return Act(name, phase, reason, re.compile(rf"(?:{pattern})\Z"))


ACTS: tuple[Act, ...] = (
    _act(
        "load",
        "load",
        "reads data",
        r"(.*\.)?(read_(csv|excel|json|parquet|table|sql\w*|feather|pickle|html|stata|hdf|fwf|clipboard)|fetch_\w+"
        r"|load_(iris|wine|digits|diabetes|breast_cancer|linnerud|boston|files|dataset|data)|load_svmlight_file"
        r"|make_(classification|regression|blobs|moons|circles|friedman\d|s_curve|swiss_roll)|loadtxt|genfromtxt"
        r"|urlopen|urlretrieve|scan_csv|scan_parquet|data_loader)"
        r"|(np|numpy|joblib|pickle|json|yaml)\.(load|loads|safe_load)|requests\.get",
    ),
    _act(
        "split", "split", "divides the rows into those to learn from and those to judge by", r"(.*\.)?train_test_split"
    ),
    _act(
        "clean",
        "clean",
        "cleans",
        r".*\.(dropna|fillna|drop_duplicates|ffill|bfill|interpolate|astype|rename|replace|strip|to_datetime"
        r"|to_numeric|clip|convert_dtypes|isna|isnull|duplicated|set_index|reset_index|sort_values|asfreq)",
    ),
    _act(
        "features",
        "features",
        "makes features",
        r".*\.(get_dummies|fit_transform|transform|factorize|cut|qcut|rolling|shift|map|apply|assign|merge|join|concat"
        r"|pivot_table|resample|toarray|groupby)|get_dummies",
    ),
    _act(
        "score",
        "evaluate",
        "scores the model",
        r"(.*\.)?(?!cross_)\w+_score|(.*\.)?(mean|median|max|root_mean)_\w+_error|(.*\.)?\w+_loss|(.*\.)?auc|.*\.score"
        r"|.*\.evaluate|(.*\.)?classification_report|(.*\.)?confusion_matrix|(.*\.)?roc_curve"
        r"|(.*\.)?precision_recall_(curve|fscore_support)",
    ),
    _act("predict", "evaluate", "predicts with the model", r".*\.(predict|predict_proba|decision_function|forecast)"),
    _act("cross", "evaluate", "cross-validates", r"(.*\.)?cross_(val_score|validate|val_predict)"),
    _act(
        "save",
        "save",
        "writes a file",
        r".*\.to_(csv|parquet|excel|pickle|feather|sql|hdf|json)|(joblib|pickle|json|np|torch)\.(dump|save|savez)"
        r"|.*\.(save|save_model|write_text|write_bytes)|dump",
    ),
    _act(
        "draw",
        "",
        "draws",
        r"(plt|sns|seaborn|px|go|alt|pyplot)\.\w+(\.\w+)*|.*\.(plot|hist|boxplot|pairplot|heatmap|scatter|bar|barh"
        r"|set_title|set_xlabel|set_ylabel|legend|imshow)(\.\w+)?|plot_\w+|ConfusionMatrixDisplay.*|RocCurveDisplay.*",
    ),
)
# what of several acts of one cell gives its step the name
PHASES: tuple[str, ...] = ("train", "evaluate", "load", "split", "save")
LEARNED = re.compile(r"(.*_)?(train|tr|learn|app|past|fit)\w*\Z", re.IGNORECASE)
HELD_OUT = re.compile(r"(.*_)?(test|te|val|valid|holdout|future)\w*\Z", re.IGNORECASE)

SETTINGS = re.compile(
    r"(?:(pd|pandas)\.(set_option|options.*|plotting\..*)|(plt|matplotlib|mpl|pylab)\.(style\.use|rc|rcParams.*|use|ion)"
    r"|rcParams.*|(sns|seaborn)\.set\w*|warnings\.(filterwarnings|simplefilter)|(np|numpy)\.(set_printoptions|seterr)"
    r"|logging\.(basicConfig|disable|getLogger.*)|os\.(environ.*|putenv|chdir)|sys\.path\.\w+|locale\.setlocale"
    r"|load_dotenv|pio\.\w+.*|tqdm\.pandas|(sklearn\.)?set_config|tf\.get_logger.*|torch\.set_\w+|getcontext\(\).*"
    r"|register_matplotlib_converters|(set_)?matplotlib_formats|plt\.rcParams\.update)\Z"
)
SEEDS = re.compile(r"(?:(.*\.)?(seed|manual_seed|manual_seed_all|set_seed|set_random_seed|seed_everything))\Z")
DOWNLOADS = re.compile(r"\s*(wget|curl|unzip|tar|git\s+clone|gdown|kaggle|mkdir|cp|mv|aws\s+s3|gsutil)\b")

# classes that make data for a model, and are none to package
TRANSFORMER = re.compile(
    r".*(Scaler|Encoder|Vectorizer|Transformer|Imputer|Binarizer|Binarize|Normalizer|PCA|SVD|Selector|SelectKBest"
    r"|SelectPercentile|SelectFromModel|PolynomialFeatures|Discretizer|Tokenizer|UMAP|TSNE|NMF|RFE|Isomap|MDS"
    r"|LatentDirichletAllocation|SMOTE|Sampler|FeatureUnion)\Z"
)
# what a transformer of text makes is sparse, so that no signature describes it
VECTORIZER = re.compile(r".*(Vectorizer|TfidfTransformer|OneHotEncoder)\Z")
COMBINED = frozenset({"make_pipeline", "Pipeline"})
# calls that give one number which says how good something is, and calls that leave such a number one
SCORING = re.compile(
    r"(?:(.*\.)?(?!cross_)\w+_score|(.*\.)?(mean|median|max|root_mean)_\w+_error|(.*\.)?\w+_loss|(.*\.)?auc|.*\.score)\Z"
)
WRAPPERS = ("float", "round", "abs", "np.sqrt", "math.sqrt", "sqrt", "np.mean", "np.abs", "np.round")
FITTED_NUMBERS = frozenset({"inertia_", "best_score_", "oob_score_", "rsquared", "aic", "bic", "lower_bound_"})
