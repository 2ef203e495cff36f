"""Untagged notebooks get the tags that a person would write, with reasons; the copy means what the notebook means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nb2prod import api
from nb2prod.cli import main
from nb2prod.language.plain import plain
from nb2prod.language.suggesting import kinds, naming, vocabulary
from nb2prod.language.suggesting.acts import acts_of
from nb2prod.stages.suggest import Suggestion
from tests.notebook_maker import Row, write_notebook

IMPORTS = "import numpy as np\nimport pandas as pd\nfrom sklearn.linear_model import LogisticRegression"
DATA = "df = pd.DataFrame({'a': range(40), 'b': [0, 0, 1, 1] * 10})"
SPLIT = "X_train, X_test = df[['a']][::2], df[['a']][1::2]\ny_train, y_test = df['b'][::2], df['b'][1::2]"
FIT = "clf = LogisticRegression()\nclf.fit(X_train, y_train)"
SCORE = "accuracy = clf.score(X_test, y_test)"


def suggested(tmp_path: Path, *rows: Row | str) -> Suggestion:
    """Rows are cells: a text is an untagged one, or Markdown when it begins with `#`."""
    cells = [row if isinstance(row, tuple) else ("md" if row.startswith("# ") else "", row) for row in rows]
    cells = [("md", source) if source.startswith(("# ", "## ")) else (tags, source) for tags, source in cells]
    return api.suggest(write_notebook(tmp_path / "nb.ipynb", cells))


def tags_of(suggestion: Suggestion) -> list[str]:
    return [" ".join(cell.tags) for cell in suggestion.cells]


def test_a_small_notebook_gets_the_tags_that_a_person_would_write(tmp_path: Path) -> None:
    suggestion = suggested(tmp_path, IMPORTS, DATA, "df.head()", SPLIT, FIT, SCORE, "assert accuracy >= 0")
    assert tags_of(suggestion) == [
        "imports",
        "step:load",
        "",
        "step:split example:X_test",
        "step:train model:clf",
        "step:evaluate metric:accuracy",
        "test:evaluate",
    ]
    assert suggestion.refused == ()
    assert suggestion.notes == ()
    assert all(cell.why for cell in suggestion.cells)


# -- kinds of cells: a row for every rule -----------------------------------------------------------------------------

# (cells above, the cell, cells below, its tags, the rule's reason)
KINDS: list[tuple[list[str], str, list[str], str, str]] = [
    ([], "x = (", [], "", "is no valid Python"),
    ([], "#| a remark", [], "", "does nothing"),
    ([], "%matplotlib inline\n%load_ext autoreload", [], "", "only magics"),
    (
        [],
        "n = 3\nrate: float = 0.5  # of learning",
        ["y = n * rate"],
        "parameters",
        "literals that the cells below use",
    ),
    ([], "import os\nprint(os.name)", ["y = os.sep"], "imports", "only imports"),
    ([], "import os\nKINDS = ['a', 'b']", ["y = KINDS + [os.sep]"], "imports", "imports and constants"),
    (["x = len('a') + 1"], "assert x > 0", [], "test:load", "only asserts"),
    (["x = len('a') + 1"], "def test_x():\n    assert x > 0", [], "test:load", "only tests"),
    ([], "import os\ndef f(v):\n    return v", ["y = f(1)"], "functions", "only definitions"),
    ([], "import random\nrandom.seed(1)", ["y = random.random()"], "setup", "seeds and settings"),
    (
        ["import pandas as pd", "x = len('a') + 1"],
        "pd.set_option('display.width', 9)",
        ["y = pd.Series([x])"],
        "setup",
        "settings",
    ),
]


@pytest.mark.parametrize(("above", "cell", "below", "tags", "why"), KINDS, ids=[row[4] for row in KINDS])
def test_what_a_cell_is_for(tmp_path: Path, above: list[str], cell: str, below: list[str], tags: str, why: str) -> None:
    found = suggested(tmp_path, *above, cell, *below).cells[len(above)]
    assert (" ".join(found.tags), found.why) == (tags, why)


def test_every_rule_has_a_row() -> None:
    assert {rule.why for rule in kinds.RULES} == {row[4] for row in KINDS}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # a cell of literals that are bound again is no parameters cell
        (["best = 0", "best = max(best, 3)", "print(best)"], ["step:load", "step:load", ""]),
        # nor is one that is there to be filled
        (["found = []", "for n in range(3):\n    found.append(n)", "print(found)"], ["step:load", "step:load", ""]),
        # a definition that computes with what a step makes cannot run before every step
        (["k = len('abc')", "def f(v=k):\n    return v", "y = f() + 1"], ["step:load"] * 3),
        # an assert whose cell makes what a later one reads is no test
        (["x = len('abc')", "assert (y := x)", "z = y + 1"], ["step:load"] * 3),
        # a seed below work would be set again before every step
        (
            ["import numpy as np", "x = np.random.rand(3)", "np.random.seed(1)", "y = np.random.rand(3) + x"],
            ["imports", "step:load", "step:load", "step:load"],
        ),
    ],
)
def test_what_looks_like_a_kind_and_is_none(tmp_path: Path, cells: list[str], expected: list[str]) -> None:
    assert tags_of(suggested(tmp_path, *cells)) == expected


@pytest.mark.parametrize(
    "look",
    ["df.head()", "df", "print(df.shape)", "df['a'].plot()", "for c in df.columns:\n    print(c)", "rates = df.corr()"],
)
def test_a_cell_that_nothing_later_needs_stays_exploration(tmp_path: Path, look: str) -> None:
    assert suggested(tmp_path, IMPORTS, DATA, look, SPLIT, FIT, SCORE).cells[2].tags == ()


@pytest.mark.parametrize(
    ("need", "because"),
    [
        ("df = df.dropna()", "df"),
        ("df['a'] = df['a'] + 1\ndf.head()", "df"),
        ("df.dropna(inplace=True)", "df"),
        ("def double(v):\n    return v * 2\ndf['a'] = double(df['a'])\ndf.plot()", "df"),
    ],
)
def test_a_cell_that_changes_what_is_needed_is_never_exploration(tmp_path: Path, need: str, because: str) -> None:
    found = suggested(tmp_path, IMPORTS, DATA, need, SPLIT, FIT, SCORE).cells[2]
    assert found.tags
    assert found.tags[0].startswith("step:")
    assert f"cell 3 needs its `{because}`" in found.why


def test_a_cell_that_draws_before_one_that_draws_stays_in_the_pipeline(tmp_path: Path) -> None:
    look = "print(np.random.rand(3))"
    fit = "noise = np.random.rand(20)\nclf = LogisticRegression().fit(X_train, y_train)\naccuracy = noise.mean() * 0"
    kept = suggested(tmp_path, IMPORTS, DATA, look, SPLIT, fit, SCORE).cells[2]
    assert (kept.tags, kept.why) == (("step:load",), "draws random numbers, on which those of cell 4 depend")
    assert suggested(tmp_path, IMPORTS, DATA, look, SPLIT, FIT, SCORE).cells[2].tags == ()


# -- acts: a row for every act ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "act", "phase"),
    [
        ("df = pd.read_csv('a.csv')", "load", "load"),
        ("X, y = load_iris(return_X_y=True)", "load", "load"),
        ("with open('a.txt') as f:\n    t = f.read()", "load", "load"),
        ("!wget http://example.com/a.csv", "load", "load"),
        ("a, b = train_test_split(X)", "split", "split"),
        ("X_train, X_test = X[:9], X[9:]", "split", "split"),
        ("df = df.dropna()", "clean", "clean"),
        ("df = pd.get_dummies(df)", "features", "features"),
        ("df['b'] = df['a'] * 2", "", "features"),
        ("auc = roc_auc_score(y, p)", "score", "evaluate"),
        ("p = model.predict(X)", "predict", "evaluate"),
        ("s = cross_val_score(m, X, y)", "cross", "evaluate"),
        ("df.to_csv('b.csv')", "save", "save"),
        ("with open('a.txt', 'w') as f:\n    f.write('x')", "save", "save"),
        ("plt.hist(x)", "draw", ""),
        ("model = SVC().fit(X, y)", "", "train"),
        ("Z = StandardScaler().fit_transform(X)", "features", "features"),
        ("def f(a):\n    m = SVC()\n    m.fit(a)\n    return m\nmodel = f(X)", "fit", "train"),
    ],
)
def test_what_a_cell_does(source: str, act: str, phase: str) -> None:
    (acts,) = acts_of([plain(source)])
    assert (not act or act in acts.known, acts.phase) == (True, phase)


def test_every_act_is_seen_somewhere() -> None:
    rows = test_what_a_cell_does.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {act.name for act in vocabulary.ACTS} <= {row[1] for row in rows}


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "meaning", "name"),
    [
        ("1. Load the data", "load", "load"),
        ("**Data cleaning**", "clean", "clean"),
        ("2.1) Feature engineering", "features", "features"),
        ("Feature importance", "evaluate", "evaluate"),
        ("Pre-processing", "prepare", "prepare"),
        ("Train/test split", "split", "split"),
        ("Modelling", "train", "train"),
        ("Model evaluation", "evaluate", "evaluate"),
        ("Export", "save", "save"),
        ("EDA 📊", "look", "look"),
        ("Chargement des données", "load", "chargement"),
        ("Évaluation", "evaluate", "evaluation"),
        ("Daten einlesen", "load", "einlesen"),
        ("Delays by season", "", "delays-season"),
        ("What can we learn about how people travel in winter and in summer?", "train", "train"),
        ("The data", "", ""),
        ("Setup", "", ""),
        ("数据", "", ""),
    ],
)
def test_what_a_heading_names(heading: str, meaning: str, name: str) -> None:
    found = naming.heading(heading)
    assert (found.meaning, found.name) == (meaning, name)


def test_a_heading_names_what_prepares_and_acts_name_the_rest(tmp_path: Path) -> None:
    suggestion = suggested(
        tmp_path, "# Churn", IMPORTS, "## Get the data", DATA, "## Cleaning", "df = df[df['a'] > 1]", "## Model",
        SPLIT, FIT, SCORE,
    )  # fmt: skip
    steps = [cell.tags[0] for cell in suggestion.cells[1:]]
    assert steps == ["step:load", "step:clean", "step:split", "step:train", "step:evaluate"]
    assert "under “Cleaning”" in suggestion.cells[2].why


def test_names_are_unique_and_steps_that_come_back_get_a_number(tmp_path: Path) -> None:
    again = "clf2 = LogisticRegression(C=2)\nclf2.fit(X_train, y_train)"
    suggestion = suggested(tmp_path, IMPORTS, DATA, SPLIT, FIT, SCORE, again, "better = clf2.score(X_test, y_test)")
    steps = [cell.tags[0] for cell in suggestion.cells[1:]]
    assert steps == [f"step:{name}" for name in ["load", "split", "train", "evaluate", "train-2", "evaluate-2"]]
    assert "model:clf2" in suggestion.cells[5].tags


def test_sections_that_each_train_a_model_keep_their_headings(tmp_path: Path) -> None:
    again = "clf2 = LogisticRegression(C=2)\nclf2.fit(X_train, y_train)\nbetter = clf2.score(X_test, y_test)"
    rows = ["# Two", IMPORTS, DATA, SPLIT, "## Plain model of all", FIT, SCORE, "## Strong penalty", again]
    steps = [cell.tags[0] for cell in suggested(tmp_path, *rows).cells[3:]]
    assert steps == ["step:plain-model", "step:plain-model", "step:strong-penalty"]


def test_turns_of_cleaning_and_features_are_one_step(tmp_path: Path) -> None:
    turns = ["df = df.dropna()", "df['c'] = df['a'] * 2", "df = df.rename(columns={'c': 'd'})", "df['e'] = df['d'] + 1"]
    suggestion = suggested(tmp_path, IMPORTS, "df = pd.read_csv('a.csv')", *turns, SPLIT, FIT, SCORE)
    assert [cell.tags[0] for cell in suggestion.cells[2:6]] == ["step:prepare"] * 4


# -- marks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "marks"),
    [
        ([FIT, SCORE], {"model:clf", "example:X_test", "metric:accuracy"}),
        (["clf = LogisticRegression().fit(X_train, y_train)"], {"model:clf", "example:X_train"}),
        (
            [
                "from sklearn.model_selection import GridSearchCV",
                "grid = GridSearchCV(LogisticRegression(), {'C': [1, 2]})\ngrid.fit(X_train, y_train)",
                "best = grid.best_estimator_\nr = best.score(X_test, y_test)",
            ],
            {"model:best", "example:X_test", "metric:r"},
        ),
        (
            [
                "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler",
                "pipe = make_pipeline(StandardScaler(), LogisticRegression())\npipe.fit(X_train, y_train)",
            ],
            {"model:pipe", "example:X_train"},
        ),
        (
            ["def t(X, y):\n    m = LogisticRegression()\n    m.fit(X, y)\n    return m", "clf = t(X_train, y_train)"],
            {"model:clf", "example:X_train"},
        ),
        (
            [FIT, "pred = clf.predict(X_test)\nerror = np.sqrt(((pred - y_test) ** 2).mean())\nprint(f'{error:.2f}')"],
            {"model:clf", "example:X_test", "metric:error"},
        ),
        (
            [FIT, "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot(clf.predict(X_test))"],
            {"model:clf", "example:X_test", "plot:fig"},
        ),
        (
            ["for c in (1, 2):\n    m = LogisticRegression(C=c)\n    m.fit(X_train, y_train)"],
            set(),
        ),
        ([FIT, "for c in (1, 2):\n    s = clf.score(X_test, y_test)"], {"model:clf", "example:X_train"}),
    ],
)  # fmt: skip
def test_what_is_marked(tmp_path: Path, cells: list[str], marks: set[str]) -> None:
    suggestion = suggested(tmp_path, IMPORTS, DATA, SPLIT, *cells)
    found = {tag for cell in suggestion.cells for tag in cell.tags if not tag.startswith("step:")}
    assert found - {"imports", "functions"} == marks
    assert suggestion.refused == ()


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        ([FIT, "print(clf.score(X_test, y_test))"], "cell 4, line 1 shows a score without a name"),
        (["for c in (1, 2):\n    m = LogisticRegression(C=c)\n    m.fit(X_train, y_train)"], "fits models in a loop"),
        (["def main():\n    m = LogisticRegression()\n    m.fit(X_train, y_train)", "main()"], "has no name outside"),
        (["clf = LogisticRegression().fit(df[['a']], df['b'])"], "bind them (`X = df[['a']]`)"),
        (
            [
                "from sklearn.preprocessing import StandardScaler",
                "sc = StandardScaler()\nZ = sc.fit_transform(X_train)",
                "clf = LogisticRegression().fit(Z, y_train)",
            ],
            "make one pipeline of them: `make_pipeline(sc, clf)`",
        ),
        (["text = df['a']\nclf = LogisticRegression().fit(text, y_train)"], "one column"),
    ],
)  # fmt: skip
def test_what_cannot_be_marked_is_a_note(tmp_path: Path, cells: list[str], note: str) -> None:
    notes = suggested(tmp_path, IMPORTS, DATA, SPLIT, *cells).notes
    assert [text for text in notes if note in text], notes


def test_a_sparse_matrix_is_no_example(tmp_path: Path) -> None:
    vectorize = "vec = TfidfVectorizer()\nZ = vec.fit_transform(df['t'])"
    suggestion = suggested(
        tmp_path,
        f"{IMPORTS}\nfrom sklearn.feature_extraction.text import TfidfVectorizer",
        "df = pd.read_csv('a.csv')", vectorize, "clf = LogisticRegression().fit(Z, df['b'])",
    )  # fmt: skip
    assert "example" not in " ".join(tags_of(suggestion))
    assert "`Z` is a sparse matrix" in suggestion.notes[0]


# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "moved"),
    [
        (["import os\nSEED = 42  # for all\nRATE = -0.5", "y = SEED * RATE"], ["SEED", "RATE"]),
        (["import os\nn = 1\nn += 1", "y = n"], []),
        (["import os\nn = 1", "n = n + 1", "y = n"], []),
        (["import os\nn = 1; m = 2", "y = n + m"], []),
        (["import os\nunused = 1", "y = os.sep"], []),
        (["import os\nif os.sep:\n    n = 1", "y = n"], []),
        (["import os\nid = 3", "y = id"], []),
        (["import os\nn = 1", "y = globals()['n'] + n"], []),
        (["from os import *\nn = 1", "y = n"], []),
        (["import os\n%run other.py\nn = 1", "y = n"], []),
        (["from typing import Literal\nk: Literal['a'] = 'a'", "y = k"], []),
        (["import os\nk: int | None = 3", "y = k"], ["k"]),
        (["x = len('a')\nn = 2\ny = x * n"], ["n"]),
        (["def f():\n    return n", "x = len('a')\nn = 2\nz = 1", "y = f()"], ["n"]),
        (["import os\nn = 1", ("parameters", "m = 2"), "y = n + m"], []),
        (["m = 2", "import os\nn = 1", "y = n + m"], []),
    ],
)
def test_which_literals_move_to_a_parameters_cell(tmp_path: Path, cells: list[Row | str], moved: list[str]) -> None:
    assert [line.name for line in suggested(tmp_path, *cells).moved] == moved


def test_the_copy_with_moved_literals_means_what_the_notebook_means(tmp_path: Path) -> None:
    rows = [
        "# Title",
        "import math\nRATE = 0.5  # of growth\nNAME = 'x'",
        "y = [math.sqrt(RATE)] * 2",
        "z = NAME + str(y)",
    ]
    suggestion = suggested(tmp_path, *rows)
    assert suggestion.parameters_source == "RATE = 0.5  # of growth\nNAME = 'x'"
    assert [cell.source for cell in suggestion.copy.cells][1:3] == [suggestion.parameters_source, "import math"]
    assert executed(suggestion.copy.cells) == executed(suggestion.notebook.cells)


def executed(cells: Any) -> dict[str, object]:
    names: dict[str, object] = {}
    for cell in cells:
        if cell.kind == "code":
            exec(cell.source, names)
    return {name: value for name, value in names.items() if name in "RATE NAME y z"}


# -- partly tagged, mended, refused -----------------------------------------------------------------------------------


def test_what_cells_say_themselves_stays(tmp_path: Path) -> None:
    suggestion = suggested(
        tmp_path, ("imports", IMPORTS), ("", "%%step load\n" + DATA), SPLIT, ("step:fit", FIT), SCORE, ("skip", "x = 1")
    )
    assert [cell.kept for cell in suggestion.cells] == [True, True, False, True, False, True]
    assert tags_of(suggestion) == [
        "", "", "step:split example:X_test", "model:clf", "step:evaluate metric:accuracy", "",
    ]  # fmt: skip
    assert suggestion.refused == ()


def test_a_name_that_the_notebook_has_is_not_given_again(tmp_path: Path) -> None:
    suggestion = suggested(tmp_path, IMPORTS, DATA, ("step:split", SPLIT), FIT, ("step:train", SCORE))
    assert tags_of(suggestion)[3].startswith("step:train-2 ")


def test_what_tags_cannot_mend_is_for_a_person_to_decide(tmp_path: Path) -> None:
    suggestion = suggested(tmp_path, IMPORTS, "y = nowhere + 1", "z = y")
    assert [(finding.code, finding.cell) for finding in suggestion.refused] == [("undefined-name", 1)]


# -- the copy ---------------------------------------------------------------------------------------------------------


def test_the_copy_keeps_ids_outputs_and_metadata_and_the_input_is_not_written(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("", IMPORTS + "\nSEED = 1"), ("mine", DATA + "\ndf['s'] = SEED")])
    document = json.loads(path.read_text())
    document["metadata"]["mine"] = {"a": 1}
    document["cells"][1] |= {
        "execution_count": 7,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "é"}],
    }
    path.write_text(json.dumps(document))
    before = path.read_bytes()
    api.suggest(path, tmp_path / "out.ipynb")
    copied = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))
    assert path.read_bytes() == before
    assert copied["metadata"] == document["metadata"]
    new, _, work = copied["cells"]
    assert (new["metadata"]["tags"], "".join(new["source"]), new["id"]) == (["parameters"], "SEED = 1", "parameters")
    assert work["metadata"]["tags"] == ["mine", "step:load"]
    assert {k: work[k] for k in ("id", "outputs", "execution_count", "source")} == {
        k: document["cells"][1][k] for k in ("id", "outputs", "execution_count", "source")
    }


def test_a_notebook_of_an_old_format_becomes_one_of_today(tmp_path: Path) -> None:
    path = tmp_path / "old.ipynb"
    cell = {"cell_type": "code", "language": "python", "input": "x = len('a')", "outputs": [], "metadata": {}}
    path.write_text(json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [cell]}]}))
    api.suggest(path, tmp_path / "new.ipynb")
    assert [step.name for step in api.load_pipeline(tmp_path / "new.ipynb").steps] == ["load"]


def test_a_script_becomes_a_notebook(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("# %% [markdown]\n# # Title\n\n# %%\nimport os\nn = 3\n\n# %%\nx = [n] * len(os.sep)\n")
    api.suggest(path, tmp_path / "out.ipynb")
    pipeline = api.load_pipeline(tmp_path / "out.ipynb")
    assert [parameter.name for parameter in pipeline.parameters] == ["n"]
    assert [(step.name, step.parameters) for step in pipeline.steps] == [("load", ("n",))]


def command(*words: object) -> Any:
    return CliRunner().invoke(main, ["suggest", *map(str, words)])


def test_the_command_shows_writes_and_refuses_to_overwrite(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("", IMPORTS), ("", DATA), ("", SPLIT), ("", FIT), ("", SCORE)])
    shown = command(path)
    assert shown.exit_code == 0
    assert "step:train" in shown.output
    assert "nb2prod suggest" in shown.output
    assert list(tmp_path.iterdir()) == [path]
    written = command(path, "--write")
    assert written.exit_code == 0
    assert f"nb2prod package {tmp_path / 'nb.tagged.ipynb'} -o PACKAGE" in written.output
    assert command(path, "--write").exit_code == 2
    assert command(path, "--write", "--overwrite").exit_code == 0
    assert command(path, "-o", path, "--overwrite").exit_code == 2


def test_json_holds_cells_tags_reasons_notes_and_the_new_cell(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("", IMPORTS + "\nn = 3"), ("", DATA + "\ndf['n'] = n")])
    document = json.loads(command(path, "--json").output)
    assert (document["schema"], document["output"], document["notes"]) == ("nb2prod/suggest/1", None, [])
    assert document["parameters"] == {
        "before": 0, "source": "n = 3", "moved": [{"name": "n", "cell": 0, "line": 4}],
    }  # fmt: skip
    assert [(cell["cell"], cell["tags"], cell["kept"]) for cell in document["cells"]] == [
        (0, ["imports"], False),
        (1, ["step:load"], False),
    ]


def test_a_copy_that_would_be_refused_says_so_by_its_exit_code(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("", "y = nowhere + 1"), ("", "z = y")])
    shown = command(path)
    assert (shown.exit_code, "undefined-name" in shown.output) == (3, True)


def test_the_copy_runs_and_its_model_is_packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [("", IMPORTS + "\npenalty = 2.0"), ("", DATA), ("", "df.describe()"), ("", SPLIT)]
    rows += [("", FIT.replace("()", "(C=penalty)", 1)), ("", SCORE)]
    path = write_notebook(tmp_path / "nb.ipynb", rows)
    api.suggest(path, tmp_path / "out.ipynb")
    made = api.package(tmp_path / "out.ipynb", tmp_path / "package", parameters={"penalty": 1.5}, trackers=())
    assert made.parity.verdict == "equal"
    assert set(made.metrics) == {"accuracy"}
