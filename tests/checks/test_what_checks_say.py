"""Each check in a table: the notebooks that make it speak, with the places, and those of which it must say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nb2prod import api, plugins
from nb2prod.core.finding import Finding
from tests.notebook_maker import Row, write_notebook

PD = ("imports", "import pandas as pd\nimport numpy as np")
READ = 'df = pd.read_csv("a.csv")'
P = ("parameters", "n: int = 1\ndata: str = 'a.csv'")
AWS = "AKIA" + "ABCDEFGHIJ234567"
GITHUB = "ghp_" + "a1B2" * 9

# code: (why, rows of the notebook, (cell, line) of each finding)
SPEAKS: dict[str, list[tuple[str, list[Row], list[tuple[int, int | None]]]]] = {
    "parameter-reassigned": [
        ("a plain value", [P, ("step:a", "m = 2\nn = 50")], [(1, 2)]),
        ("in an exploration cell too", [P, ("", "n = 50")], [(1, 1)]),
        ("by unpacking", [P, ("step:a", "n, m = 1, 2")], [(1, 1)]),
        ("by a loop", [P, ("step:a", "for n in range(3):\n    print(n)")], [(1, 1)]),
    ],
    "kind-changed": [
        (
            "a number becomes a frame",
            [PD, ("", "rate = 0.3"), ("", "print(rate)"), ("", "rate = pd.read_csv('r.csv')"), ("", "rate.head()")],
            [(3, 1)],
        ),
        ("text becomes a list", [("", "x = 'a'"), ("", "print(x)"), ("", "x = ['a']"), ("", "print(x)")], [(2, 1)]),
    ],
    "fitted-twice": [
        (
            "a scaler on training and on test data",
            [
                ("imports", "from sklearn.preprocessing import StandardScaler"),
                ("step:a", "s = StandardScaler()\nA = s.fit_transform([[1.0], [2.0]])"),
                ("step:b", "B = s.fit_transform([[3.0], [4.0]])"),
            ],
            [(2, 1)],
        ),
        (
            "a model, chained where it is made",
            [
                ("imports", "from sklearn.linear_model import Ridge"),
                ("step:a", "m = Ridge()\nm.fit([[1.0]], [1.0])"),
                ("step:b", "m.fit([[2.0]], [2.0])"),
            ],
            [(2, 1)],
        ),
    ],
    "absolute-path": [
        ("a home", [("step:a", "x = open('/home/ada/data/loans.csv')")], [(0, 1)]),
        ("a Mac", [("step:a", "x = open('/Users/ada/loans.csv')")], [(0, 1)]),
        ("Windows", [("step:a", "x = open(r'C:\\Users\\ada\\loans.csv')")], [(0, 1)]),
        ("Windows with slashes", [("step:a", "x = open('D:/data/loans.csv')")], [(0, 1)]),
        ("a share", [("step:a", "x = open(r'\\\\server\\share\\loans.csv')")], [(0, 1)]),
        ("a platform's own", [("", "x = open('/kaggle/input/loans.csv')")], [(0, 1)]),
        ("in an f-string", [("step:a", "n = 1\nx = open(f'/home/ada/{n}.csv')")], [(0, 2)]),
    ],
    "url": [
        ("read", [PD, ("step:a", "df = pd.read_csv('https://example.org/a.csv')")], [(1, 1)]),
        ("by name", [PD, ("step:a", "URL = 'https://example.org/a.csv'\ndf = pd.read_csv(URL)")], [(1, 1)]),
        (
            "requests",
            [("imports", "import requests"), ("step:a", "r = requests.get('http://example.org/x')")],
            [(1, 1)],
        ),
        ("a bucket", [PD, ("step:a", "df = pd.read_parquet('s3://bucket/a.parquet')")], [(1, 1)]),
    ],
    "secret": [
        ("AWS", [("", f"key = '{AWS}'")], [(0, 1)]),
        ("in a comment", [("", f"x = 1\n# {GITHUB}")], [(0, 2)]),
        ("in a shell line", [("", f"!git clone https://ada:{GITHUB}@example.org/x.git")], [(0, 1)]),
        ("in markdown", [("md", f"use {AWS}")], [(0, 1)]),
        ("a password in an address", [("", "db = 'postgresql://ada:tr0ub4dor@db.local/loans'")], [(0, 1)]),
        ("a password by name", [("", "DB_PASSWORD = 'tr0ub4dor'")], [(0, 1)]),
        ("an argument", [("", "connect(password='tr0ub4dor')")], [(0, 1)]),
        ("the environment", [("", "import os\nos.environ['API_KEY'] = 'a1b2c3d4e5f6g7'")], [(0, 2)]),
        ("a key in a dictionary", [("", "c = {'password': 'tr0ub4dor'}")], [(0, 1)]),
        ("a private key", [("", "k = '''-----BEGIN RSA PRIVATE KEY-----\nMII'''")], [(0, 1)]),
    ],
    "overwrites-input": [
        ("a frame", [PD, ("step:a", READ), ("step:b", "df.to_csv('a.csv')")], [(2, 1)]),
        ("spelled otherwise", [PD, ("step:a", READ), ("step:b", "df.to_csv('./a.csv', index=False)")], [(2, 1)]),
        ("by name", [PD, P, ("step:a", "df = pd.read_csv(data)"), ("step:b", "df.to_csv(data)")], [(3, 1)]),
        ("open", [("step:a", "t = open('a.txt').read()"), ("step:b", "open('a.txt', 'w').write(t)")], [(1, 1)]),
    ],
    "input": [
        ("input", [("step:a", "city = input('where? ')")], [(0, 1)]),
        ("getpass", [("", "from getpass import getpass\np = getpass()")], [(0, 2)]),
        ("in a function that is used", [("", "def ask():\n    return input()\nx = ask()")], [(0, 2)]),
        ("a breakpoint", [("", "breakpoint()")], [(0, 1)]),
    ],
    "skipped-name": [
        ("another value headless", [("", "t = 1"), ("skip", "t = 2"), ("step:a", "x = t")], [(1, 1)]),
        ("no value headless", [("skip", "x = 1\nt = 2"), ("step:a", "y = t")], [(0, 2)]),
        ("a function", [("skip", "def f():\n    pass"), ("step:a", "y = f()")], [(0, 1)]),
    ],
    "ambient-state": [
        ("an option", [PD, ("step:a", "pd.set_option('display.width', 9)")], [(1, 1)]),
        ("an option as an attribute", [PD, ("step:a", "pd.options.display.width = 9")], [(1, 1)]),
        ("the environment", [("imports", "import os"), ("step:a", "os.environ['A'] = '1'")], [(1, 1)]),
        ("warnings", [("imports", "import warnings as w"), ("step:a", "w.filterwarnings('ignore')")], [(1, 1)]),
        ("the folder", [("imports", "import os"), ("step:a", "x = 1\nos.chdir('data')")], [(1, 2)]),
        ("a magic", [("step:a", "%cd data")], [(0, 1)]),
    ],
    "sys-path": [
        ("append", [("", "import sys\nsys.path.append('../src')")], [(0, 2)]),
        ("insert", [("imports", "import sys\nsys.path.insert(0, '..')")], [(0, 2)]),
        ("plus", [("imports", "import sys\nsys.path += ['..']")], [(0, 2)]),
    ],
    "clock": [
        (
            "into a frame",
            [PD, ("step:a", f"from datetime import datetime\n{READ}\ndf['age'] = datetime.now().year - df['born']")],
            [(1, 3)],
        ),
        (
            "into a name that is read",
            [("imports", "from datetime import date"), ("step:a", "now = date.today()"), ("step:b", "y = now.year")],
            [(1, 1)],
        ),
        (
            "into a seed",
            [("imports", "import time\nimport numpy as np"), ("setup", "np.random.seed(int(time.time()))")],
            [(1, 1)],
        ),
        (
            "pandas",
            [PD, ("step:a", "end = pd.Timestamp.now()"), ("step:b", "x = pd.date_range('2020', end)")],
            [(1, 1)],
        ),
    ],
    "removed-call": [
        ("append", [PD, ("step:a", f"{READ}\ndf = df.append(df)")], [(1, 2)]),
        ("through a chain", [PD, ("step:a", f"{READ}\nb = df.dropna().copy()\nb.iteritems()")], [(1, 3)]),
        ("an alias", [("imports", "import numpy"), ("step:a", "x = numpy.float(1)")], [(1, 1)]),
        ("an import", [("imports", "from sklearn.datasets import load_boston")], [(0, 1)]),
        ("a module", [("imports", "from sklearn.externals import joblib")], [(0, 1)]),
        ("a module whole", [("imports", "import sklearn.cross_validation")], [(0, 1)]),
        (
            "an argument",
            [("imports", "from sklearn.preprocessing import OneHotEncoder as O"), ("step:a", "o = O(sparse=False)")],
            [(1, 1)],
        ),
        ("an argument of a method", [PD, ("step:a", f"{READ}\ndf = df.fillna(method='ffill')")], [(1, 2)]),
        (
            "a method of an estimator",
            [
                ("imports", "from sklearn.feature_extraction.text import CountVectorizer"),
                ("step:a", "v = CountVectorizer()\nnames = v.get_feature_names()"),
            ],
            [(1, 2)],
        ),
    ],
}

SILENT: dict[str, list[tuple[str, list[Row]]]] = {
    "parameter-reassigned": [
        ("made from itself", [P, ("step:a", "data = data.strip()")]),
        ("only perhaps", [P, ("step:a", "if not n:\n    n = 1")]),
        ("read before in the cell", [P, ("step:a", "m = n\nn = m + 1")]),
        ("derived in the parameters cell", [("parameters", "n: int = 1\nn = 2")]),
        ("a test's own", [P, ("step:a", "x = n"), ("test:a", "n = 5\nassert x")]),
        ("an argument of that name", [P, ("functions", "def f(n):\n    n = 2\n    return n")]),
        ("skipped", [P, ("skip", "n = 9")]),
    ],
    "kind-changed": [
        ("a list becomes an array", [PD, ("", "x = []"), ("", "print(x)"), ("", "x = np.array(x)"), ("", "print(x)")]),
        ("a scratch name", [("", "i = 1"), ("", "i = 'a'\nprint(i)")]),
        ("nobody reads the first", [("", "x = 1"), ("", "x = 'a'"), ("", "print(x)")]),
        ("not known what it is", [("", "x = 1"), ("", "print(x)"), ("", "x = f(x)"), ("", "print(x)")]),
        ("None first", [("", "m = None"), ("", "print(m)"), ("", "m = {}"), ("", "print(m)")]),
    ],
    "fitted-twice": [
        (
            "fit, then transform",
            [
                ("imports", "from sklearn.preprocessing import StandardScaler"),
                ("step:a", "s = StandardScaler().fit([[1.0]])"),
                ("step:b", "B = s.transform([[1.0]])"),
            ],
        ),
        (
            "a new one in between",
            [
                ("imports", "from sklearn.linear_model import Ridge"),
                ("step:a", "m = Ridge()\nm.fit([[1.0]], [1.0])"),
                ("step:b", "m = Ridge(2)\nm.fit([[1.0]], [1.0])"),
            ],
        ),
        (
            "in one step",
            [
                ("imports", "from sklearn.linear_model import Ridge"),
                ("step:a", "m = Ridge()\nm.fit([[1.0]], [1.0])"),
                ("step:a", "m.fit([[2.0]], [1.0])"),
            ],
        ),
        (
            "an encoder used for one column after the other",
            [
                ("imports", "from sklearn.preprocessing import LabelEncoder"),
                ("step:a", "e = LabelEncoder()\nA = e.fit_transform(['a'])"),
                ("step:b", "B = e.fit_transform(['b'])"),
            ],
        ),
        ("no estimator", [("step:a", "m = tailor()\nm.fit(1)"), ("step:b", "m.fit(2)")]),
    ],
    "absolute-path": [
        ("relative", [("step:a", "x = open('data/home/loans.csv')")]),
        ("a route of a service", [("step:a", "x = post('/api/v1/predict')\ny = post('/home')")]),
        ("a program", [("step:a", "x = run('/usr/bin/env')\ny = open('/tmp/x')\nz = open('/dev/null')")]),
        ("a pattern", [("step:a", "x = match(r'd:\\d+')\ny = match('a:/b')")]),
        ("a docstring and a comment", [("functions", 'def f():\n    """/home/ada/x"""\n    # /home/ada/y')]),
        ("a parameter", [("parameters", "data: str = '/home/ada/loans.csv'")]),
        ("an address", [("step:a", "x = get('https://example.org/home/ada/x')")]),
        ("a text that begins so", [("step:a", "x = '/home/ is where\\nthe heart is'")]),
    ],
    "url": [
        ("a schema's name", [("step:a", "ns = {'a': 'http://www.w3.org/2001/XMLSchema'}")]),
        ("a link to show", [("step:a", "print('https://example.org/docs')")]),
        ("a parameter", [PD, ("parameters", "u: str = 'https://e.org/a.csv'"), ("step:a", "d = pd.read_csv(u)")]),
        ("a comment", [("step:a", "x = 1  # from https://example.org/a.csv")]),
        ("a server of this machine", [("step:a", "mlflow.set_tracking_uri('http://localhost:5000')")]),
        ("a file", [PD, ("step:a", "df = pd.read_csv('a.csv')")]),
    ],
    "secret": [
        ("from the environment", [("", "import os\npassword = os.environ['DB_PASSWORD']")]),
        ("empty, or a placeholder", [("", "password = ''\napi_key = 'YOUR_API_KEY'\ntoken = '<token>'")]),
        ("words of a text", [("", "token = 'the'\nfor token in doc:\n    pass\npad_token = '[PAD]'")]),
        ("columns", [("", "cols = {'password': 'object', 'token': 'string'}\nx = df['password']")]),
        ("documentation's example", [("", "key = 'AKIAIOSFODNN7EXAMPLE'")]),
        ("a user without a password", [("", "u = 'https://ada@example.org/x'\nv = 'http://example.org:8080/a@b'")]),
        ("a placeholder in an address", [("", "u = f'postgresql://{user}:{password}@db/x'")]),
        ("a hash", [("", "digest = 'd41d8cd98f00b204e9800998ecf8427e'\nsort_key = 'name'\nkey = 'id'")]),
        ("a class name with a dash", [("", "x = 'sk-learn-based-models-and-their-many-parameters'")]),
    ],
    "overwrites-input": [
        ("another file", [PD, ("step:a", READ), ("step:b", "df.to_csv('b.csv')")]),
        ("written first, then read", [PD, ("step:a", "x = pd.DataFrame()\nx.to_csv('a.csv')"), ("step:b", READ)]),
        ("read only", [PD, ("step:a", READ), ("step:b", "d2 = pd.read_csv('a.csv')")]),
        ("a name that means two files", [PD, ("", "p = 'a'\nd = pd.read_csv(p)\np = 'b'\nd.to_csv(p)")]),
        ("not to a file", [PD, ("step:a", f"{READ}\ntext = df.to_csv()")]),
    ],
    "input": [
        ("a name of the notebook", [("", "input = 5\nprint(input)")]),
        ("a function of the notebook", [("", "def input(x):\n    return x\ny = input(1)")]),
        ("in a function that nobody uses", [("", "def ask():\n    return input()")]),
        ("a method", [("", "x = torch.input()\nform.input('a')")]),
        ("skipped", [("skip", "x = input()")]),
    ],
    "skipped-name": [
        ("its own names", [("skip", "t = 2\nprint(t)"), ("step:a", "x = 1")]),
        ("bound again after", [("skip", "t = 2"), ("step:a", "t = 3\nx = t")]),
        ("bound again in a later cell", [("skip", "t = 2"), ("", "t = 3"), ("step:a", "x = t")]),
        ("what papermill injected", [P, (["injected-parameters"], "n = 9"), ("step:a", "x = n")]),
        ("an import that is there anyway", [("imports", "import os"), ("skip", "import os"), ("step:a", "x = os.sep")]),
    ],
    "ambient-state": [
        ("in setup", [PD, ("setup", "pd.set_option('display.width', 9)")]),
        ("for a block", [PD, ("step:a", "with pd.option_context('a', 1):\n    pd.set_option('a', 2)")]),
        ("read", [("imports", "import os"), ("step:a", "x = os.environ['A']\ny = os.environ.get('B')")]),
        ("in a notebook without steps", [PD, ("", "pd.set_option('display.width', 9)")]),
        ("a frame's attribute", [PD, ("step:a", f"{READ}\ndf.options = 1\ndf.loc[0] = 2")]),
    ],
    "sys-path": [
        ("read", [("", "import sys\nprint(sys.path)")]),
        ("another path", [("", "import os\nos.path.join('a', 'b')\npath = []\npath.append('x')")]),
        ("a name of the notebook", [("", "sys = make()\nsys.path.append('x')")]),
    ],
    "clock": [
        ("a duration", [("step:a", "import time\nt0 = time.time()\nwork()\nprint(time.time() - t0)")]),
        (
            "a duration in dates",
            [("step:a", "from datetime import datetime\nt = datetime.now()\nprint(datetime.now() - t)")],
        ),
        ("shown", [("step:a", "from datetime import datetime\nprint(datetime.now())")]),
        (
            "a name of a file",
            [("step:a", "from datetime import date\nday = date.today().isoformat()\ndf.to_csv(f'out-{day}.csv')")],
        ),
        ("in exploration", [("", "from datetime import date\nday = date.today()\nx = day.year")]),
        ("a fixed day", [("step:a", "from datetime import date\nday = date(2024, 5, 1)\nx = day.year")]),
    ],
    "removed-call": [
        ("a list", [("step:a", "xs = []\nxs.append(1)")]),
        ("nobody knows what it is", [("step:a", "df = load()\ndf = df.append(1)")]),
        ("now a list", [PD, ("step:a", f"{READ}\ndf = []\ndf.append(1)")]),
        ("what is there", [PD, ("step:a", "x = np.float64(1)\ny = np.bool_(1)\nz = np.bool(1)")]),
        (
            "with another way out",
            [("imports", "try:\n    from sklearn.externals import joblib\nexcept ImportError: pass")],
        ),
        ("an own name", [("step:a", "np = 5\nx = np.float")]),
        (
            "an argument that is there",
            [
                ("imports", "from sklearn.preprocessing import OneHotEncoder"),
                ("step:a", "o = OneHotEncoder(sparse_output=False)"),
            ],
        ),
        ("a dictionary's fill", [PD, ("step:a", f"{READ}\ndf = df.fillna({{'a': 0}}).sort_values('a')")]),
        ("a path's suffix", [("step:a", "from pathlib import Path\np = Path('a')\nq = p.first\nr = p.pad(1)")]),
        ("a library that is not there", [("imports", "import tensorflow as tf"), ("step:a", "s = tf.Session()")]),
    ],
}


def said(code: str, path: Path) -> list[Finding]:
    return [finding for finding in api.findings(api.load_pipeline(path)) if finding.code == code]


def rows(table: dict[str, list[tuple[object, ...]]]) -> Sequence[object]:
    return [pytest.param(code, *row[1:], id=f"{code}: {row[0]}") for code, cases in table.items() for row in cases]


@pytest.mark.parametrize(("code", "notebook", "places"), rows(SPEAKS))  # type: ignore[arg-type]  # rows of any length
def test_it_speaks_at_the_place(
    code: str, notebook: list[Row], places: list[tuple[int, int | None]], tmp_path: Path
) -> None:
    found = said(code, write_notebook(tmp_path / "nb.ipynb", notebook))
    assert [(finding.cell, finding.line) for finding in found] == places
    assert all(finding.message and finding.fix for finding in found)


@pytest.mark.parametrize(("code", "notebook"), rows(SILENT))  # type: ignore[arg-type]  # rows of any length
def test_it_says_nothing(code: str, notebook: list[Row], tmp_path: Path) -> None:
    assert said(code, write_notebook(tmp_path / "nb.ipynb", notebook)) == []


def test_every_check_that_is_right_somewhere_is_silent_elsewhere() -> None:
    assert set(SPEAKS) == set(SILENT) <= set(plugins.names("checks"))
    assert all(len(cases) >= 3 for cases in SILENT.values())


@pytest.mark.parametrize(("_", "notebook", "places"), SPEAKS["secret"])
def test_a_secret_is_in_no_message(_: str, notebook: list[Row], places: object, tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", notebook)
    for form in ("lines", "page", "json", "sarif", "github"):
        text = api.report(api.check_all([path]), format=form)
        assert [word for word in (AWS, GITHUB, "tr0ub4dor", "a1b2c3d4e5f6g7") if word in text] == []
