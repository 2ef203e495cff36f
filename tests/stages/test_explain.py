"""A failed run is explained: in its result, in the journal, in `--json`; and no failure is too odd to be looked at."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from nb2prod import api
from nb2prod.cli import main
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.result import Explanation, Failure
from nb2prod.language import failures
from nb2prod.language.failures.messages import MESSAGES
from nb2prod.stages.compile import compile as compile_notebook
from nb2prod.stages.explain import Here
from tests.notebook_maker import write_notebook


def test_a_failed_run_says_what_to_do_in_its_result_its_journal_and_its_document(tmp_path: Path) -> None:
    """An unknown magic has no traceback: IPython says it on stderr alone."""
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1"), ("step:b", "y = x\n%nosuchmagic")])
    options = ["run", str(notebook), "--no-track", "--json", "--runs", str(tmp_path / "runs")]
    answer = CliRunner().invoke(main, options)
    assert answer.exit_code == 1
    document = json.loads(answer.stdout)
    assert document["failure"]["message"] == "UsageError: Line magic function `%nosuchmagic` not found."
    assert document["failure"]["explanation"] == {
        "kind": "unknown-magic",
        "what": "IPython has no magic %nosuchmagic",
        "fix": "load the extension that has it (%load_ext NAME), or take the line off",
    }
    assert "  unknown-magic: IPython has no magic %nosuchmagic" in answer.stderr.splitlines()
    kept = api.load_result(document["directory"])
    assert kept.failure is not None
    assert kept.failure.explanation == Explanation(**document["failure"]["explanation"])


def test_an_unexplained_failure_has_no_explanation_and_no_secret_is_told(tmp_path: Path) -> None:
    rows = [("parameters", "api_key = ''"), ("step:a", "open(api_key)")]
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    result = api.run(notebook, texts={"api_key": "hunter2-hunter2"}, trackers=(), runs=tmp_path / "runs")
    assert result.failure is not None
    assert result.failure.explanation is not None
    assert "hunter2" not in repr(result.failure)
    write_notebook(notebook, [("step:a", "assert 1 == 2, 'the totals differ'")])
    result = api.run(notebook, trackers=(), runs=tmp_path / "runs")
    assert result.failure is not None
    assert result.failure.explanation is None


def test_inspecting_says_what_the_notebook_declares_that_it_needs(tmp_path: Path) -> None:
    rows = [("", "import sys\n!{sys.executable} -m pip install 'pandas>=2'"), ("step:a", "x = 1")]
    document = json.loads(api.inspect(write_notebook(tmp_path / "nb.ipynb", rows), format="json"))
    assert document["requirements"] == [
        {"requirement": "pandas>=2", "manager": "pip", "cell": 0, "line": 2, "problem": ""}
    ]


def test_versions_are_those_of_the_kernels_own_environment(tmp_path: Path) -> None:
    """Read from the packages' metadata: nothing of it is imported or started."""
    installed = tmp_path / "lib" / "python3.11" / "site-packages" / "pandas-1.5.3.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: pandas\nVersion: 1.5.3\n")
    other = Here(str(tmp_path / "bin" / "python"))
    assert (other.version("pandas"), other.version("numpy")) == ("1.5.3", "")
    assert other.pip == f"{tmp_path}/bin/python -m pip install"
    own = Here(sys.executable)
    assert own.pip == "pip install"
    assert own.version("pandas").startswith(("2.", "3."))
    assert own.version("no-such-distribution") == ""


def test_a_folder_that_is_not_there_has_no_names(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "x.csv").touch()
    assert Here().names(tmp_path) == ("data/", "x.csv")
    assert Here().names(tmp_path / "nowhere") == ()
    assert Here().names(tmp_path / "x.csv") == ()


OTHERS = (
    "UsageError",
    "NameError",
    "ModuleNotFoundError",
    "ImportError",
    "AttributeError",
    "URLError",
    "HTTPError",
    "",
)
ERRORS = sorted({*OTHERS, *(name for row in MESSAGES for name in row.error.split("|"))})
TEXTS = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            "name '",
            "name '' is not defined",
            "No module named ''",
            "No module named '...'",
            "module '' has no attribute ''",
            "[Errno 2] No such file or directory: ''",
            "[Errno 2] No such file or directory: '/'",
            "[Errno 2] No such file or directory: '../../..'",
            "[Errno 99999999999999999999] x",
            "Command '' returned non-zero exit status 127.",
            "HTTP Error 404: ",
            "\\1 {name} \\g<x>",
        ]
    ),
)
CELLS = st.sampled_from(["x = 1", "x = (", "%nosuch", "", "!pip install 'x", "%%bash\npip install x", "def f(:\n"])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ERRORS), TEXTS, st.text(max_size=200), st.lists(CELLS, max_size=3), st.integers(-2, 5))
def test_no_failure_breaks_the_explaining(error: str, said: str, trace: str, sources: list[str], cell: int) -> None:
    cells = tuple(Cell(index, "code", source, ("step:a",)) for index, source in enumerate(sources))
    pipeline = compile_notebook(Notebook(Path("nb.ipynb"), cells))
    failure = Failure("cell", f"{error}: {said}", "a", cell, cell, f"Cell In[1], line 1\n{trace}\nFile x.py:1")
    explanation = failures.explained(failure, pipeline, Here())
    assert explanation is None or (explanation.kind and explanation.what and explanation.fix)


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_a_message_of_any_length_is_explained_in_a_few_words_or_not_at_all(size: int) -> None:
    """Patterns see the beginning of a message and the end of a traceback; none of them goes back and forth."""
    pipeline = compile_notebook(Notebook(Path("nb.ipynb"), (Cell(0, "code", "x = 1", ("step:a",)),)))
    for error in ("ValueError", "KeyError", "CalledProcessError", "URLError", "ImportError"):
        for text in ("'" * size, "a/" * (size // 2), "host='" * (size // 6), "Command '" * (size // 9)):
            found = failures.explained(Failure("cell", f"{error}: {text}", "a", 0, 1, text), pipeline, Here())
            assert found is None or len(found.what) + len(found.fix) < 10_000
