"""Builds one package in a process of its own: `python -m tests.stages.provenance.built FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from nb2prod.stages.package import package
from tests.simulated import run

ROWS = (
    ("md", "# Small loans"),
    (
        "imports",
        "import numpy as np\nimport pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
        "from sklearn.compose import ColumnTransformer\nfrom sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import OneHotEncoder, StandardScaler",
    ),
    (
        "step:data",
        "rng = np.random.default_rng(0)\nwords = {'rent', 'salary', 'loan', 'car', 'house', 'school', 'debt', 'tax'}\n"
        "X = pd.DataFrame({'income': rng.normal(3, 1, 40), 'text': rng.choice(sorted(words), 40)})\n"
        "y = np.where(X['income'] > 3, 'yes', 'no')",
    ),
    (
        "step:train model:model example:X metric:score",
        "parts = [('n', StandardScaler(), ['income']), ('t', OneHotEncoder(), ['text'])]\n"
        "model = make_pipeline(ColumnTransformer(parts), LogisticRegression()).fit(X, y)\n"
        "model.words_ = words\nmodel.more_ = {'seen': frozenset(words), 'by': [words, ('a', 1)]}\n"
        "score = model.score(X, y)",
    ),
)


def build(folder: Path) -> str:
    """The digest of `folder/package`."""
    folder.mkdir(parents=True)
    ran = run(folder, *ROWS, name="loans")
    assert ran.result.failure is None, ran.refusal
    return package(ran.pipeline, ran.result, folder / "package").digest


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]))} {sys.argv[1]}/package\n")
