"""What a person is told: what comments and settings silence, and what they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod import api
from nb2prod.core.errors import UsageError
from nb2prod.language.ignores import Ignore, ignores
from nb2prod.language.tags import role_of
from tests.notebook_maker import Row, write_notebook

SPLIT = "from sklearn.model_selection import train_test_split\n"


def codes(path: Path) -> list[tuple[str, int | None, int | None]]:
    """Without what every small notebook has."""
    usual = ("missing-model", "untested-step")
    return [(f.code, f.cell, f.line) for f in api.check(path) if f.code not in usual]


# -- comments -------------------------------------------------------------------------------------------------------

COMMENTS = [
    ("x = 1  # nb2prod: ignore[no-seed]", [Ignore(1, ("no-seed",), 1, 1)]),
    ("x = 1  # nb2prod: ignore", [Ignore(1, (), 1, 1)]),
    ("x = 1  #nb2prod:ignore[ a , b ] because", [Ignore(1, ("a", "b"), 1, 1)]),
    ("# nb2prod: ignore[a]\nx = 1", [Ignore(1, ("a",))]),
    ("\n# nb2prod: ignore\nx = 1", [Ignore(2)]),
    ("%%step a\n# nb2prod: ignore[a]\nx = 1", [Ignore(2, ("a",))]),
    ("x = 1\n# nb2prod: ignore[a]", [Ignore(2, ("a",), 2, 2)]),
    ("x = f(\n    1,\n)  # nb2prod: ignore[a]\ny = 2", [Ignore(3, ("a",), 1, 3)]),
    ("x = '# nb2prod: ignore[a]'", []),
    ("'''\n# nb2prod: ignore[a]\n'''", []),
    ("# nb2prod ignores this", []),
    ("x = 1  # noqa", []),
    ("!ls 'a  # nb2prod: ignore[a]", [Ignore(1, ("a",), 1, 1)]),
]


@pytest.mark.parametrize(("source", "found"), COMMENTS)
def test_a_comment_covers_its_statement_or_its_cell(source: str, found: list[Ignore]) -> None:
    assert list(ignores(role_of(source, []).role)) == found


SILENCED: list[tuple[str, list[Row], list[tuple[str, int | None, int | None]]]] = [
    ("by its code", [("step:a", SPLIT + "a, b = train_test_split([1])  # nb2prod: ignore[no-seed]")], []),
    ("by none", [("step:a", SPLIT + "a, b = train_test_split([1])  # nb2prod: ignore")], []),
    ("by one of several", [("step:a", "f = open('/home/a/b')  # nb2prod: ignore[absolute-path,absolute-path]")], []),
    ("the whole cell", [("step:a", "# nb2prod: ignore[no-seed]\n" + SPLIT + "a = train_test_split([1])")], []),
    ("over several lines", [("step:a", SPLIT + "a = train_test_split(\n    [1],\n)  # nb2prod: ignore[no-seed]")], []),
    (
        "another line stays",
        [("step:a", SPLIT + "a = train_test_split([1])\nb = 1  # nb2prod: ignore[no-seed]")],
        [("no-seed", 0, 2), ("useless-ignore", 0, 3)],
    ),
    (
        "another code stays",
        [("step:a", "f = open('/home/a/b')  # nb2prod: ignore[no-seed]")],
        [("absolute-path", 0, 1), ("useless-ignore", 0, 1)],
    ),
    (
        "an error stays",
        [("step:a", "x = nowhere  # nb2prod: ignore[undefined-name]")],
        [("undefined-name", 0, 1), ("useless-ignore", 0, 1)],
    ),
    ("an error stays for the cell", [("step:a", "# nb2prod: ignore\nx = nowhere")], [("undefined-name", 0, 2)]),
    ("a code that there is not", [("step:a", "x = 1  # nb2prod: ignore[no-sead]")], [("useless-ignore", 0, 1)]),
]


@pytest.mark.parametrize(("rows", "told"), [row[1:] for row in SILENCED], ids=[row[0] for row in SILENCED])
def test_a_comment_silences_what_it_names_and_no_error(
    rows: list[Row], told: list[tuple[str, int | None, int | None]], tmp_path: Path
) -> None:
    found = [row for row in codes(write_notebook(tmp_path / "nb.ipynb", rows)) if row[0] != "useless-ignore"]
    assert found == [row for row in told if row[0] != "useless-ignore"]
    useless = [row for row in codes(tmp_path / "nb.ipynb") if row[0] == "useless-ignore"]
    assert set(useless) >= {row for row in told if row[0] == "useless-ignore"}


def test_a_misspelled_code_gets_the_nearest(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1  # nb2prod: ignore[no-sead]")])
    assert [f.fix for f in api.check(path) if f.code == "useless-ignore"] == ["did you mean no-seed?"]


def test_a_comment_hides_nothing_from_what_refuses_a_run(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("step:a", "f = open('/home/a/b')  # nb2prod: ignore")])
    assert "absolute-path" in [finding.code for finding in api.findings(api.load_pipeline(path))]


# -- settings -------------------------------------------------------------------------------------------------------


def project(folder: Path, settings: str) -> Path:
    """A notebook with one warning (absolute-path), two folders below a project with such settings."""
    (folder / "pyproject.toml").write_text(f"[tool.nb2prod.check]\n{settings}\n")
    inside = folder / "a" / "b"
    inside.mkdir(parents=True)
    return write_notebook(inside / "nb.ipynb", [("step:a", "f = open('/home/a/b')"), ("test:a", "assert f")])


SETTINGS = [
    ("", [("absolute-path", "warning"), ("missing-model", "note")], False),
    ('ignore = ["absolute-path"]', [("missing-model", "note")], False),
    ('select = ["absolute-path"]', [("absolute-path", "warning")], False),
    ('fail-on = "warning"', [("absolute-path", "warning"), ("missing-model", "note")], True),
    ('fail-on = "note"\nignore = ["absolute-path"]', [("missing-model", "note")], True),
    ('severity = { absolute-path = "error" }', [("absolute-path", "error"), ("missing-model", "note")], True),
    ('severity = { absolute-path = "note" }', [("absolute-path", "note"), ("missing-model", "note")], False),
]


@pytest.mark.parametrize(("settings", "told", "failed"), SETTINGS)
def test_the_nearest_project_file_settles(
    settings: str, told: list[tuple[str, str]], failed: bool, tmp_path: Path
) -> None:
    (checked,) = api.check_all([project(tmp_path, settings)])
    assert sorted((f.code, f.severity) for f in checked.findings) == told
    assert checked.failed is failed


def test_a_nearer_file_without_our_table_is_passed_by(tmp_path: Path) -> None:
    path = project(tmp_path, 'ignore = ["absolute-path", "missing-model"]')
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert api.check(path) == ()


def test_the_command_line_wins(tmp_path: Path) -> None:
    path = project(tmp_path, 'fail-on = "warning"\nselect = ["missing-model"]')
    (checked,) = api.check_all([path], select=["absolute-path"], fail_on="error")
    assert ([f.code for f in checked.findings], checked.failed) == (["absolute-path"], False)


REFUSED = [
    ('ignroe = ["no-seed"]', "did you mean 'ignore'?"),
    ('ignore = ["no-sead"]', "did you mean 'no-seed'?"),
    ('ignore = "no-seed"', "is no list"),
    ('fail-on = "warnings"', "did you mean 'warning'?"),
    ('severity = { no-seed = "eror" }', "did you mean 'error'?"),
    ('ignore = ["undefined-name"]', "undefined-name is an error"),
    ('severity = { cycle = "note" }', "cycle is an error"),
    ('ignore = ["tags"]', "tags is an error"),
    ("ignore = [", "it is no TOML"),
]


@pytest.mark.parametrize(("settings", "reason"), REFUSED)
def test_settings_that_mean_nothing_are_refused(settings: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        api.check(project(tmp_path, settings))
    assert reason in str(refused.value)
    assert "pyproject.toml" in str(refused.value)


def test_a_misspelled_table_is_refused(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("", "x = 1")])
    (tmp_path / "pyproject.toml").write_text("[tool.nb2prod.chek]\nignore = []\n")
    with pytest.raises(UsageError, match="did you mean 'check'"):
        api.check(path)


def test_select_and_ignore_leave_errors(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = nowhere")])
    (checked,) = api.check_all([path], select=["secret"])
    assert [finding.code for finding in checked.findings] == ["undefined-name"]
    with pytest.raises(UsageError, match="cannot be ignored"):
        api.check_all([path], ignore=["undefined-name"])


# -- many -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_all_its_notebooks_and_one_that_is_none_does_not_stop_the_rest(tmp_path: Path) -> None:
    for place in ("b/x.ipynb", "a.ipynb", ".ipynb_checkpoints/a.ipynb", "b/.hidden/y.ipynb"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        write_notebook(tmp_path / place, [("step:a", "x = 1")])
    (tmp_path / "b" / "broken.ipynb").write_text("{")
    checked = api.check_all([tmp_path])
    assert [one.notebook for one in checked] == [str(tmp_path / p) for p in ("a.ipynb", "b/broken.ipynb", "b/x.ipynb")]
    assert [one.problem is not None for one in checked] == [False, True, False]
    assert checked[2].findings != ()


def test_a_folder_without_notebooks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no notebook in the folder"):
        api.check_all([tmp_path])


def test_three_hundred_cells_are_parsed_once_for_all_checks(tmp_path: Path) -> None:
    from nb2prod.language import code_cells

    rows: list[Row] = [("step:a", f"x{n} = {n}") for n in range(300)]
    code_cells._parsed.cache_clear()
    api.check(write_notebook(tmp_path / "nb.ipynb", rows))
    assert code_cells._parsed.cache_info().misses <= 300
