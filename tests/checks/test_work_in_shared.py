"""Where the check `work-in-shared` speaks, and what it takes for an import, a definition or a constant."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod.checks import work_in_shared
from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.stages.compile import compile as compile_notebook

HEAD = """import os, sys, re, logging, warnings, random
from pathlib import Path
from datetime import timedelta
from typing import TypeVar
from collections import namedtuple
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
"""
# source, what the note shows
WORK = [
    ("df = pd.read_csv('a.csv')", "df = pd.read_csv(…)"),
    ("df = pd.read_csv('a.csv').dropna()", "df = pd.read_csv(…).dropna(…)"),
    ("A = 1\nnp.random.seed(7)", "np.random.seed(…)"),
    ("random.seed(7)", "random.seed(…)"),
    ("rng = np.random.default_rng(7)", "rng = np.random.default_rng(…)"),
    ("plt.rcParams['figure.figsize'] = (8, 4)", "plt.rcParams[…] = …"),
    ("warnings.filterwarnings('ignore')", "warnings.filterwarnings(…)"),
    ("pd.options.display.width = 9", "pd.options.display.width = …"),
    ("logging.basicConfig(level=20)", "logging.basicConfig(…)"),
    ("os.makedirs('out', exist_ok=True)", "os.makedirs(…)"),
    ("Path('out').mkdir()", "Path(…).mkdir(…)"),
    ("connect(password='tr0ub4dor')", "connect(…)"),
    ("for name in ('a', 'b'):\n    print(name)", "for …"),
    ("while True:\n    break", "while …"),
    ("with open('a') as file:\n    text = file.read()", "with …"),
    ("def build():\n    return 1\nTABLE = build()", "TABLE = build(…)"),
    ("a, b = 1, load()", "a, b = …, load(…)"),
    ("ROWS = [load(name) for name in 'ab']", "ROWS = …"),
    ("total: int = load()", "total = load(…)"),
    ("files = !ls", "files = !…"),
    ("print(load())", "print(…)"),
    ("if not os.path.exists('out'):\n    os.makedirs('out')", "if …"),
    ("try:\n    import torch\n    torch.manual_seed(1)\nexcept ImportError:\n    pass", "try …"),
    ("%time df = pd.read_csv('a.csv')", "df = pd.read_csv(…)"),
    ("def f():\n    return 1\nf.cache = {}", "f.cache = …"),
    ("del os", "delete …"),
]
NO_WORK = [
    "'''What this is about.'''",
    "__all__ = ['f']\n__all__ += ['g']",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import polars",
    "try:\n    import torch\nexcept ImportError:\n    print('no torch')\n    torch = None",
    "try:\n    import torch\n    HAS_TORCH = True\nexcept ImportError:\n    HAS_TORCH = False",
    "if sys.version_info >= (3, 12):\n    from typing import override\nelse:\n    override = None",
    "with warnings.catch_warnings():\n    import seaborn",
    "%matplotlib inline\n%load_ext autoreload\n%autoreload 2",
    "%config InlineBackend.figure_format = 'retina'",
    "!pip install seaborn",
    "SEED = 7\nRATES = {'a': 0.1, 'b': -1e-3}\nNAMES = ['x', *'yz']\nA, B = 1, 2",
    "SECONDS = 60 * 60\nBIG = 10 ** 6 if SECONDS > 5 else None",
    "DATA = Path('data')\nLOANS = DATA / 'loans.csv'\nHOME = Path.home().resolve()",
    "NUMBER = re.compile(r'[0-9]+')\nDAY = timedelta(days=1)\nT = TypeVar('T')",
    "Row = namedtuple('Row', 'a b')\nCOLUMNS = 'a b c'.split()\nALL = set(COLUMNS) | {'d'}",
    "GRID = np.linspace(0, 1, 11)\nEDGES = np.array([0, 1, 2])\nSQUARES = {n: n ** 2 for n in range(9)}",
    "KEY = os.environ.get('KEY')\nDATA = os.path.join('a', 'b')\nlog = logging.getLogger(__name__)",
    "square = lambda x: x * load(x)",
    "class Config:\n    rate = 0.1\n\nCONFIG = Config()",
    "rate: float = 0.5\nname: str",
    "def f(x):\n    return pd.read_csv(x)\n\nasync def g():\n    pass",
    "@decorated(by='this')\ndef f():\n    pass",
    "print('pandas', pd.__version__)\nprint(f'{sys.version} {os.sep}')\nnp.__version__",
    "assert sys.version_info >= (3, 7)",
    "import sys\nsys.path.append('..')",
]


def found(source: str, tag: str = "imports") -> list[Finding]:
    cells = (
        Cell(0, "code", HEAD, ("imports",)),
        Cell(1, "code", source, (tag,)),
        Cell(2, "code", "x = 1", ("step:a",)),
    )
    return list(work_in_shared.check(compile_notebook(Notebook(Path("nb.ipynb"), cells))))


@pytest.mark.parametrize("tag", ["imports", "functions"])
@pytest.mark.parametrize(("source", "shown"), WORK, ids=[row[1] for row in WORK])
def test_work_is_named(source: str, shown: str, tag: str) -> None:
    (finding,) = found(source, tag)
    assert (finding.cell, finding.severity, finding.isolated) == (1, "note", False)
    assert finding.message.startswith(f"`{shown}` is work in a cell tagged {tag}: ")
    assert "setup" in finding.fix


@pytest.mark.parametrize("source", NO_WORK)
def test_imports_definitions_and_constants_are_no_work(source: str) -> None:
    assert found(source) == []


def test_each_cell_is_told_of_once_at_its_first_such_line() -> None:
    assert [finding.line for finding in found("import os\n\nos.makedirs('a')\nos.makedirs('b')")] == [3]
    assert [finding.line for finding in found("%%functions\nimport os\nos.makedirs('a')", "")] == [3]


@pytest.mark.parametrize("tag", ["setup", "parameters", "step:a", "skip", "test:a"])
def test_other_cells_may_work(tag: str) -> None:
    assert found("import pandas as pd\ndf = pd.read_csv('a.csv')", tag) == []
