"""Each class of failure by the real exception, in a real kernel; and what must stay unexplained."""

from __future__ import annotations

import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest

from nb2prod.core.result import Failure
from nb2prod.language import failures
from nb2prod.language.failures import commands, messages, modules, packages
from nb2prod.stages.explain import Here
from tests.language.failures.conftest import Explained, notebook_of

FRAME = "import pandas as pd\nframe = pd.DataFrame({'Age': [1, 2], 'name': ['x', 'y']})\n"
# IPython takes seconds to show thousands of frames
RECURSION = """import sys
before = sys.getrecursionlimit()
def f(): return f()
try:
    sys.setrecursionlimit(250)
    f()
finally:
    sys.setrecursionlimit(before)"""
# (code, kind, words of what, words of fix)
REAL: list[tuple[str, str, str, str]] = [
    # packages
    ("import cv2", "missing-package", "opencv-python", "pip install opencv-python"),
    ("import seaborn as sns", "missing-package", "the module seaborn", "pip install seaborn"),
    ("from Crypto.Cipher import AES", "missing-package", "Crypto", "pip install pycryptodome"),
    ("import google.cloud.bigquery", "missing-package", "google-cloud-bigquery", "pip install google-cloud-bigquery"),
    ("import mpl_toolkits.basemap", "missing-package", "basemap", "pip install basemap"),
    ("import google.colab", "hosted-only", "Google Colab only", "skip"),
    ("import no_such_module_anywhere", "missing-package", "neither installed nor a file", "beside the notebook"),
    ("import sklearn.no_such_part", "removed-api", "scikit-learn 1.", "release notes"),
    (
        "import pandas as pd\npd.read_html('<table><tr><td>1</td></tr></table>')",
        "missing-package",
        "lxml",
        "pip install lxml",
    ),
    ("import urllib2", "python-2", "Python 3 has no module urllib2", "urllib.request"),
    ("import cPickle", "python-2", "cPickle", "use pickle"),
    # names
    ("for i in xrange(3): pass", "python-2", "no `xrange`", "use range"),
    ("unicode('a')", "python-2", "no `unicode`", "use str"),
    ("sns.set_style('white')", "missing-import", "`sns`", "import seaborn as sns"),
    # magics and programs
    ("%nosuch x", "unknown-magic", "no magic %nosuch", "take the line off"),
    ("%timit x", "unknown-magic", "no magic %timit", "write %timeit"),
    ("%%sql\nselect 1", "unknown-magic", "the extension sql", "pip install jupysql, and put %load_ext sql"),
    ("%tensorflow_version 2.x", "unknown-magic", "Colab", "skip"),
    (
        "import subprocess\nsubprocess.run(['no-such-dot', '-V'])",
        "missing-command",
        "no-such-dot",
        "install no-such-dot",
    ),
    ("import subprocess\nsubprocess.run(['nvidia-smi'])", "missing-command", "nvidia-smi", "NVIDIA's driver"),
    (
        "import subprocess\nsubprocess.check_output('tesseract x', shell=True)",
        "missing-command",
        "tesseract",
        "apt install",
    ),
    ("%%bash\ntesseract x", "missing-command", "tesseract", "apt install"),
    # network; .invalid is a domain that never exists
    (
        "import pandas as pd\npd.read_csv('http://nohost.invalid/x.csv')",
        "network",
        "nohost.invalid cannot be found",
        "parameter",
    ),
    (
        "import requests\nrequests.get('https://nohost.invalid/x')",
        "network",
        "nohost.invalid cannot be found",
        "parameter",
    ),
    (
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/x')",
        "network",
        "no server of this machine",
        "start",
    ),
    ("import requests\nrequests.get('http://localhost:9/x')", "network", "no server of this machine", "start"),
    ("import socket\nsocket.create_connection(('127.0.0.1', 9))", "network", "refuses the connection", "parameter"),
    # files
    (
        "open('no-such-file.csv')",
        "missing-file",
        "there is no file no-such-file.csv; the kernel starts in",
        "parameter",
    ),
    (FRAME + "pd.read_csv('nowhere/x.csv')", "missing-file", "there is no folder nowhere", "os.makedirs"),
    (FRAME + "pd.read_parquet('no-such.parquet')", "missing-file", "no-such.parquet", "parameter"),
    ("open('/kaggle/input/train.csv')", "missing-file", "a path of Kaggle", "parameter"),
    ("open(r'C:\\data\\train.csv')", "missing-file", "a Windows machine", "parameter"),
    ("import os\nos.chdir('no_such_folder')", "missing-file", "no_such_folder", "parameter"),
    ("import joblib\njoblib.load('no-such.pkl')", "missing-file", "no-such.pkl", "parameter"),
    ("import os\nos.makedirs('there')\nos.makedirs('there')", "file-exists", "there already", "exist_ok=True"),
    ("open('.')", "missing-file", "is a folder", "correct the path"),
    ("open('/sys/nb2prod', 'w')", "permission", "/sys/nb2prod may not be", "chmod"),
    ("with open('/dev/full', 'w') as file: file.write('x' * 100000)", "disk-full", "no room left", "df -h"),
    ("import sqlite3\nsqlite3.connect('/no-such/x.db')", "missing-file", "the database's folder", "os.makedirs"),
    # memory, recursion
    ("import numpy as np\nnp.zeros((10**6, 10**7))", "memory", "needs 72.8 TiB", "smaller types"),
    ("bytearray(10**15)", "memory", "does not fit into memory", "smaller types"),
    (RECURSION, "recursion", "calls itself without end", "base case"),
    # pandas
    (FRAME + "frame['age']", "missing-column", "'age'; elsewhere the notebook says 'Age'", "list(df.columns)"),
    (
        FRAME + "frame[['Agee', 'name']]",
        "missing-column",
        "'Agee'; elsewhere the notebook says 'Age'",
        "list(df.columns)",
    ),
    (FRAME + "frame.drop(columns=['other'])", "missing-column", "'other'", "list(df.columns)"),
    (FRAME + "frame.set_index('other')", "missing-column", "'other'", "list(df.columns)"),
    (FRAME + "frame.groupby('other').sum()", "missing-column", "'other'", "list(df.columns)"),
    (FRAME + "frame.pivot(index='other', columns='Age')", "missing-column", "'other'", "list(df.columns)"),
    (FRAME + "pd.Series([1, 2], index=['a', 'b'])[0]", "changed-behaviour", "label of the Series", ".iloc[0]"),
    (FRAME + "frame['Age'].values[0] = 5", "changed-behaviour", "read-only view", "copy=True"),
    (FRAME + "frame.loc[0, 'Age'] = 'x'", "changed-behaviour", "a column of int64", "astype(object)"),
    (FRAME + "frame.mean()", "changed-behaviour", "no longer left out of .mean()", "numeric_only=True"),
    (FRAME + "frame.groupby('Age').mean()", "changed-behaviour", "no longer left out", "numeric_only=True"),
    (FRAME + "frame.corr()", "changed-behaviour", "no longer left out of .corr()", "numeric_only=True"),
    (FRAME + "frame['name'].astype(float)", "bad-data", "no number ('x')", "to_numeric"),
    (FRAME + "frame['Age'].str.len()", "bad-data", "wants (string)", "astype(str)"),
    (FRAME + "if frame['Age']: pass", "truth-value", "one truth value", ".any()"),
    (
        FRAME + "open('x.xlsx', 'w').write('<html>')\npd.read_excel('x.xlsx')",
        "bad-data",
        "no Excel workbook",
        "beginning",
    ),
    (
        FRAME + "import io\npd.read_csv(io.StringIO('a,b\\n1,2\\n1,2,3'))",
        "bad-data",
        "line 3 of the file has 3 fields",
        "sep=",
    ),
    (FRAME + "import io\npd.read_csv(io.StringIO(''))", "bad-data", "is empty", "write it"),
    # numpy
    ("import numpy as np\nnp.uint8(300)", "changed-behaviour", "300 is no uint8", "int64"),
    ("import numpy as np\nnp.uint8(1) + 300", "changed-behaviour", "300 is no uint8", "int64"),
    ("import numpy as np\nnp.array([1, 2.5], copy=False)", "changed-behaviour", "copy=False", "np.asarray"),
    ("import numpy as np\nnp.array([[1, 2], [3]])", "changed-behaviour", "not of one length", "dtype=object"),
    (
        "import numpy as np\nnp.save('o.npy', np.array([{}], dtype=object))\nnp.load('o.npy')",
        "changed-behaviour",
        "Python objects",
        "allow_pickle=True",
    ),
    ("import numpy as np\nnp.ones(3) + np.ones(4)", "shape", "(3,) (4,)", "print both shapes"),
    ("import numpy as np\nnp.ones((2, 3)) @ np.ones((2, 3))", "shape", "inner sides", ".T"),
    ("import numpy as np\nnp.ones((2, 3)).dot(np.ones((2, 3)))", "shape", "inner sides", ".T"),
    ("import numpy as np\nnp.arange(5).reshape(2, 3)", "shape", "5 values do not fill the shape (2,3)", "-1"),
    ("import matplotlib.pyplot as plt\nplt.plot([1, 2], [1])", "shape", "x has the shape (2,) and y (1,)", "as many"),
    # scikit-learn
    (
        "from sklearn.svm import SVC\nSVC().fit([[1], [2]], [0, 1]).predict([[1, 2]])",
        "shape",
        "SVC was fitted on 1 columns and is given 2",
        "columns",
    ),
    ("from sklearn.svm import SVC\nSVC().fit([1, 2], [0, 1])", "shape", "wants a table", "reshape(-1, 1)"),
    ("from sklearn.svm import SVC\nSVC().fit([[1], [2]], [0, 1, 2])", "shape", "[2, 3]", "dropped"),
    (
        "from sklearn.linear_model import Ridge\n" + FRAME + "model = Ridge().fit(frame[['Age']], [0, 1])\n"
        "model.predict(frame[['Age']].rename(columns={'Age': 'x'}))",
        "shape",
        "other columns",
        "feature_names_in_",
    ),
    ("from sklearn.svm import SVC\nSVC().predict([[1, 2]])", "not-fitted", "SVC is used before", ".fit("),
    (
        "from sklearn.svm import SVC\nSVC().fit([[1], [float('nan')]], [0, 1])",
        "bad-data",
        "X contains NaN",
        "SimpleImputer",
    ),
    ("from sklearn.svm import SVC\nSVC().fit([['a'], ['b']], [0, 1])", "bad-data", "(?i)number", "encode"),
    ("from sklearn.svm import SVC\nSVC().fit([[1], [2]], [.5, 1.2])", "bad-data", "fractions", "regressor"),
    (
        "from sklearn.linear_model import LogisticRegression\nLogisticRegression().fit([[1], [2]], [1, 1])",
        "bad-data",
        "one class",
        "stratify=y",
    ),
    (
        "from sklearn.model_selection import train_test_split\ntrain_test_split([1, 2, 3], stratify=[1, 2, 2])",
        "bad-data",
        "one row only",
        "stratify",
    ),
    (
        "from sklearn.compose import ColumnTransformer\n"
        + FRAME
        + "ColumnTransformer([('x', 'passthrough', ['nope'])]).fit(frame)",
        "missing-column",
        "'nope'",
        "list(df.columns)",
    ),
    # data
    ("import json\njson.loads('')", "bad-data", "empty, or no JSON", "first 200"),
    ("import json\njson.loads('{}\\n{}')", "bad-data", "more than one JSON value", "lines=True"),
    ("import json\njson.loads('{\"a\": 1,}')", "bad-data", "is no JSON: ", "at that place"),
    ("open('/bin/ls').read()", "bad-data", "no UTF-8", "latin-1"),
    (
        "import pickle\nopen('e.pkl', 'w').close()\npickle.load(open('e.pkl', 'rb'))",
        "bad-data",
        "not written to its end",
        "close",
    ),
    ("import pickle, threading\npickle.dumps(threading.Lock())", "pickle", "a _thread.lock object", "again"),
    ("import pickle\npickle.loads(b'c__main__\\nNope\\n.')", "pickle", "`Nope`", "define `Nope`"),
    ("import sqlite3\nsqlite3.connect(':memory:').execute('select * from t')", "missing-table", "no table t", "path"),
    ("import os\nos.environ['NB2PROD_NOT_SET']", "environment", "NB2PROD_NOT_SET is not set", "parameter"),
    # Python 2
    ("print 'x'", "python-2", "`print` was a statement", "print(…)"),
    ("exec 'x'", "python-2", "`exec` was a statement", "exec(…)"),
    ("try:\n    pass\nexcept ValueError, e:\n    pass", "python-2", "except ValueError, e", "as e"),
    ("x = 0777", "python-2", "leading zero", "0o777"),
    ("{}.keys()[0]", "python-2", "`dict_keys`", "list(…)"),
    ("map(str, [1])[0]", "python-2", "`map`", "list(…)"),
    # where it runs
    ("import asyncio\nasync def f(): pass\nasyncio.run(f())", "asyncio", "event loop", "await"),
    (
        "import matplotlib\nmatplotlib.use('TkAgg')\nimport matplotlib.pyplot as plt\nplt.switch_backend('TkAgg')",
        "no-display",
        "TkAgg",
        "take matplotlib.use",
    ),
    ("name = input('who?')", "input", "nobody who could", "-p name VALUE"),
    ("from getpass import getpass\nkey = getpass()", "input", "nobody who could", "-p key VALUE"),
]


def matches(words: str, text: str) -> bool:
    return words.removeprefix("(?i)").lower() in text.lower() if words.startswith("(?i)") else words in text


@pytest.mark.parametrize(("source", "kind", "what", "fix"), REAL, ids=[row[0].split("\n")[-1][:60] for row in REAL])
def test_a_failure_is_explained(source: str, kind: str, what: str, fix: str, explained: Explained) -> None:
    explanation = explained(source)
    assert explanation is not None
    assert explanation.kind == kind, explanation
    assert matches(what, explanation.what), explanation
    assert fix in explanation.fix, explanation


# no card, no company's proxy, no spaCy here: what they say, word for word
TOLD: list[tuple[str, str, str, str]] = [
    ("AssertionError: Torch not compiled with CUDA enabled", "no-gpu", "graphics card", "is_available()"),
    (
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        "no-gpu",
        "graphics card",
        "is_available()",
    ),
    (
        "RuntimeError: Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False.",
        "no-gpu",
        "was saved on a machine with",
        "map_location",
    ),
    ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "memory", "graphics card's memory", "batches"),
    (
        "OSError: [E050] Can't find model 'en_core_web_sm'. It doesn't seem to be a Python package",
        "missing-data",
        "en_core_web_sm",
        "python -m spacy download en_core_web_sm",
    ),
    (
        "LookupError: \n**********************\n  Resource 'punkt_tab' not found.\n  Please use the NLTK Downloader",
        "missing-data",
        "punkt_tab",
        "nltk.download('punkt_tab')",
    ),
    ("HTTPError: HTTP Error 404: Not Found", "network", "no longer has", "new address"),
    (
        "HTTPError: 403 Client Error: Forbidden for url: https://data.example.org/x",
        "network",
        "data.example.org does not",
        "sign in",
    ),
    (
        "HTTPError: 503 Server Error: Service Unavailable for url: https://a.example.org/x",
        "network",
        "trouble of its own",
        "later",
    ),
    (
        "ContentTooShortError: <urlopen error retrieval incomplete: got only 500 out of 1000 bytes>",
        "network",
        "half a file",
        "delete",
    ),
    (
        "RuntimeError: \nImage export requires the Kaleido package, v1.0.0 or greater,",
        "missing-package",
        "kaleido",
        "pip install kaleido",
    ),
    ("TclError: no display name and no $DISPLAY environment variable", "no-display", "no screen", "skip"),
]


@pytest.mark.parametrize(("message", "kind", "what", "fix"), TOLD, ids=[row[0][:40] for row in TOLD])
def test_a_failure_that_cannot_be_had_here_is_explained_by_its_words(
    message: str, kind: str, what: str, fix: str, kernel: SimpleNamespace
) -> None:
    explanation = failures.explained(Failure("cell", message, "a", 0, 1), notebook_of(kernel.folder, ("", "x")), Here())
    assert explanation is not None
    assert (explanation.kind, what in explanation.what, fix in explanation.fix) == (kind, True, True), explanation


def test_a_certificate_that_is_not_trusted_is_the_proxys(explained: Explained) -> None:
    reason = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)"
    assert ssl.OPENSSL_VERSION
    source = (
        f"import ssl, urllib.error\ndef get(url='https://a.example.org/x'):\n    error = ssl.SSLError(1, {reason!r})\n"
    )
    explanation = explained(f"{source}    e = urllib.error.URLError(error)\n    (_ for _ in ()).throw(e)\nget()")
    assert explanation is not None
    assert (explanation.kind, "a.example.org" in explanation.what) == ("network", True)
    assert "REQUESTS_CA_BUNDLE" in explanation.fix


UNEXPLAINED: list[tuple[str, str]] = [
    ("an assertion of the author's", "assert 1 == 2, 'the totals differ'"),
    ("an assertion of the author's in a function", "def check(x):\n    assert x, 'no rows'\ncheck(0)"),
    (
        "words of the author's that sound like a library's",
        "raise ValueError('X has 2 features, but SVC is expecting 1')",
    ),
    ("a missing file that the author reports", "raise FileNotFoundError(2, 'No such file or directory', 'x.csv')"),
    ("what the author reports in a timed cell", "%%time\nraise FileNotFoundError(2, 'No such file or directory', 'x')"),
    ("a package that the author reports", "raise ModuleNotFoundError(\"No module named 'cv2'\")"),
    ("a key of a dictionary", "{'a': 1}['b']"),
    (
        "a key of a dictionary after one of pandas' that was caught",
        FRAME + "try:\n    frame['b']\nexcept KeyError:\n    {}['b']",
    ),
    ("an index", "[1][3]"),
    ("nothing at all", "None.foo"),
    ("a division", "1 / 0"),
    ("a type", "'a' + 1"),
    ("an end by the author", "import sys\nsys.exit(0)"),
    ("a time-out that is not the network's", "import concurrent.futures as c\nc.Future().result(timeout=0.01)"),
    ("a program that failed", "import subprocess\nsubprocess.run(['false'], check=True)"),
    ("a script in which any line may have failed", "%%bash\necho a\nexit 127"),
    ("a text's attribute", "'text'.nope"),
    ("syntax of no other Python", "x = = 1"),
    ("an unknown name that is like no other", "zzz_unheard_of"),
    ("a lookup", "raise LookupError('no such thing')"),
]


@pytest.mark.parametrize(("reason", "source"), UNEXPLAINED, ids=[row[0] for row in UNEXPLAINED])
def test_where_nothing_is_known_nothing_is_said(reason: str, source: str, explained: Explained) -> None:
    assert explained(source) is None


def test_the_page_of_failures_lists_every_kind() -> None:
    page = (Path(__file__).parents[3] / "docs" / "failures.md").read_text(encoding="utf-8")
    kinds = {row[1] for row in (*REAL, *TOLD, *ENDINGS)} | {"module-elsewhere", "shadowed-module", "unbound-name"}
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in page] == []


def test_every_kind_of_message_has_a_failure_that_shows_it() -> None:
    shown = {row[1] for row in (*REAL, *TOLD)}
    assert {row.kind for row in messages.MESSAGES} - shown == set()


# -- what the notebook and its folder say ----------------------------------------------------------------------------


def test_a_name_that_a_later_or_a_skipped_cell_binds_is_said_with_its_cell(explained: Explained) -> None:
    later = explained("later_total + 1", ("step:z", "x = 1"), after=(("step:b", "y = 1\nlater_total = 2"),))
    assert later is not None
    assert (later.kind, later.what) == (
        "unbound-name",
        "`later_total` is bound in cell 2, line 2, which runs after cell 1",
    )
    skipped = explained("skipped_total + 1", ("skip", "skipped_total = 1"))
    assert skipped is not None
    assert skipped.what == "`skipped_total` is bound in cell 0, line 1, which is tagged skip"
    branch = explained("branch_total + 1", ("step:z", "if False:\n    branch_total = 1"))
    assert branch is not None
    assert branch.what == (
        "cell 0, line 2 binds `branch_total`, but in a branch that was not taken, or it was deleted since"
    )
    near = explained("train_fram.head()", ("step:z", "train_frame = 1"))
    assert near is not None
    assert (near.kind, near.fix) == ("unbound-name", "write `train_frame`")


def test_a_name_that_another_module_lacks_is_that_modules_affair(kernel: SimpleNamespace, explained: Explained) -> None:
    (kernel.folder / "broken_part.py").write_text("def f():\n    return np.zeros(3)\n")
    assert explained("import broken_part\nbroken_part.f()", ("step:z", "if False:\n    np = 1")) is None


def test_a_module_beside_the_notebooks_folder_is_found(kernel: SimpleNamespace, explained: Explained) -> None:
    source = kernel.folder.parent / "src"
    source.mkdir(exist_ok=True)
    (source / "own_features.py").write_text("x = 1\n")
    explanation = explained("import own_features")
    assert explanation is not None
    assert explanation.kind == "module-elsewhere"
    assert 'sys.path.append("../src")' in explanation.fix


def test_a_package_that_the_notebook_installs_is_proposed_as_the_notebook_wants_it(explained: Explained) -> None:
    explanation = explained("import cv2", ("imports", "%pip install -q 'opencv_python>=4.8'"))
    assert explanation is not None
    assert "which cell 0 installs and is not there" in explanation.what
    assert explanation.fix == "pip install 'opencv_python>=4.8'"


def test_a_file_that_has_the_name_of_a_library_is_in_the_way(kernel: SimpleNamespace, explained: Explained) -> None:
    """Of Python's own modules the kernel takes Python's, whatever lies beside the notebook."""
    (kernel.folder / "prettytable.py").write_text("x = 1\n")
    sources = (
        "import prettytable\nprettytable.PrettyTable()",
        "from prettytable import PrettyTable",
        "import prettytable.colortable",
    )
    for source in sources:
        explanation = explained(source)
        assert explanation is not None
        assert explanation.kind == "shadowed-module"
        assert explanation.fix == "rename prettytable.py, and delete its folder __pycache__"
    (kernel.folder / "random.py").write_text("x = 1\n")
    assert explained("import random\nrandom.no_such_function()") is None


def test_a_missing_files_neighbours_and_the_cell_that_was_to_make_it_are_named(
    kernel: SimpleNamespace, explained: Explained
) -> None:
    data = kernel.folder / "data"
    data.mkdir(exist_ok=True)
    (data / "Trips_2024.csv").write_text("a\n1\n")
    near = explained("open('data/trips_2024.csv')")
    assert near is not None
    assert "near it is data/Trips_2024.csv" in near.what
    around = explained("open('Trips_2024.csv')")
    assert around is not None
    assert "near it is data/Trips_2024.csv" in around.what
    maker = explained("open('fares.csv')", ("", "!wget -q https://example.org/fares.csv"))
    assert maker is not None
    assert "cell 0 was to make it (`!wget -q https://example.org/fares.csv`)" in maker.what
    left_out = explained("open('fares.csv')", ("skip", "save('fares.csv')"))
    assert left_out is not None
    assert "cell 0, which is tagged skip, has to do with it" in left_out.what


ENDINGS = [
    (Failure("timeout", "it did not end in time (limit 5 s)", "a", 0), "timeout", "timeout:5", "raise the number"),
    (Failure("timeout", "it did not end in time (limit 9 s)", None, 1), "timeout", "--timeout", "larger number"),
    (
        Failure("kernel", "the kernel died: it was ended by SIGKILL, which is …", "a", 0),
        "memory",
        "memory ran out",
        "smaller",
    ),
    (Failure("kernel", "the kernel died: it was ended by SIGSEGV", "a", 0), "crash", "SIGSEGV", "install the library"),
    (Failure("kernel", "the kernel died: it exited with code 3", "a", 0), "exit", "code 3", "take the call off"),
    (
        Failure("start", "the kernel did not start: No module named ipykernel"),
        "missing-package",
        "ipykernel",
        "pip install",
    ),
]


@pytest.mark.parametrize(("failure", "kind", "what", "fix"), ENDINGS, ids=[row[0].message[-30:] for row in ENDINGS])
def test_an_end_without_an_exception_is_explained(
    failure: Failure, kind: str, what: str, fix: str, kernel: SimpleNamespace
) -> None:
    pipeline = notebook_of(kernel.folder, ("step:a timeout:5", "x = 1"), ("", "x"))
    explanation = failures.explained(failure, pipeline, Here())
    assert explanation is not None
    assert (explanation.kind, what in explanation.what, fix in explanation.fix) == (kind, True, True), explanation


@pytest.mark.parametrize("message", ["interrupted", "keep", "isolation"])
def test_other_ends_speak_for_themselves(message: str, kernel: SimpleNamespace) -> None:
    failure = Failure(message, "ended", "a", 0)  # type: ignore[arg-type]
    assert failures.explained(failure, notebook_of(kernel.folder, ("step:a", "x")), Here()) is None


# -- the tables ------------------------------------------------------------------------------------------------------


def test_no_module_of_pythons_own_is_a_package() -> None:
    import sys

    assert sorted({*packages.DIFFERENT, *packages.SAME} & sys.stdlib_module_names) == []
    assert [name for name in packages.SAME if name in packages.DIFFERENT and packages.DIFFERENT[name] != name] == []
    assert packages.package_of("numpyy") == ""
    assert packages.package_of("sklearn.svm") == "scikit-learn"


def test_the_magics_that_are_known_are_those_of_ipython() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    own = InteractiveShell().magics_manager.lsmagic()
    there = {*own["line"], *own["cell"]}
    assert sorted(there - {*commands.KNOWN, "!"}) == []
    assert set(modules.PYTHON_2) & set(modules.DROPPED) == set()
