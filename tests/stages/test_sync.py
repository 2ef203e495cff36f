"""A project's changes go back to the notebook, the notebook's go on to the project, and nothing is lost in silence."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nb2prod import api
from nb2prod.cli import main
from nb2prod.core.errors import NotProved, StoreError, UsageError
from nb2prod.core.origin import FILE
from tests.notebook_maker import Row, write_notebook
from tests.stages.engineer import KINDS, edited, formatted

FUNCTIONS = """UNITS = {'kg', 'l'}


def known(unit):
    return unit in UNITS


def gross(x):
    return x*(1+rates[1])"""
LOAD = """# from the till
sales=[ gross(day) for day in range( days ) ]
print( len(sales) ); first=sales[0]
sales[:2]"""
MORE = """%matplotlib inline
for n in range(2):
    # twice
    total=n+1
    print( n,total )
# all are there"""
CLEAN = """UNITS |= {'box'}
kept = list(filter(known, ['kg', 'box', 'mile']))
table = pd.DataFrame({'sale': sales})
sales[-1]"""
SUM = """mean = statistics.mean(sales)
low = min(sales)
if low < 0:
    low = 0.0
print(mean, low, kept, first)"""
ROWS: list[Row] = [
    ("md", "# A week of sales"),
    ("", "%load_ext autoreload"),
    ("imports", "import statistics\nimport pandas as pd"),
    ("parameters", "days: int = 7\nrates: list[float] = [0.07, 0.19]"),
    ("functions", FUNCTIONS),
    ("md", "## The sales\n\nOne number a day."),
    ("step:load", LOAD),
    ("step:load", MORE),
    ("test:load", "assert len(sales) == days"),
    ("", "first + 1"),
    ("step:clean", CLEAN),
    ("step:sum metric:mean", SUM),
]
STEPS = "src/week/steps.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the notebook and the project that was exported from it."""
    folder = tmp_path_factory.mktemp("week")
    api.export(write_notebook(folder / "week.ipynb", ROWS), "project", folder / "project")
    return folder


@pytest.fixture
def week(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "week"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def change_cell(week: Path, old: str, new: str) -> None:
    path = week / "week.ipynb"
    change(path, json.dumps(old)[1:-1], json.dumps(new)[1:-1])


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["sync", *map(str, words)])


def sources(path: Path) -> list[str]:
    return [cell["source"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def state(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# -- back to the notebook ---------------------------------------------------------------------------------------------


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3))
def test_an_edited_project_comes_out_of_the_notebook_that_took_its_edits(
    made: Path, tmp_path_factory: pytest.TempPathFactory, seed: int, kinds: list[str]
) -> None:
    week = Path(shutil.copytree(made, tmp_path_factory.mktemp("round") / "week"))
    steps = week / "project" / STEPS
    for number, kind in enumerate(kinds):
        found = edited(steps.read_text(encoding="utf-8"), Random(seed + number), kind)
        steps.write_text(found[0] if found else steps.read_text(encoding="utf-8"), encoding="utf-8")
    formatted(steps)
    found = api.sync(week / "project", week / "week.ipynb", week / "copy.ipynb")
    assert found.refused == ()
    (week / "week.ipynb").unlink()
    (week / "copy.ipynb").rename(week / "week.ipynb")
    api.export(week / "week.ipynb", "project", week / "again")
    assert (week / "again" / STEPS).read_text(encoding="utf-8") == steps.read_text(encoding="utf-8")


def test_a_change_is_shown_in_its_cell_and_written_to_a_copy(week: Path) -> None:
    change(week / "project" / STEPS, "    total = n + 1\n", "    total = n + 2\n")
    change(week / "project" / STEPS, "min(sales)", "max(sales)")
    before = state(week)
    shown = call(week / "project", week / "week.ipynb", "-o", week / "copy.ipynb")
    assert shown.exit_code == 0
    assert "load  src/week/steps.py:" in shown.stdout
    assert "cell 7\n" in shown.stdout
    assert "-    total=n+1\n+    total = n + 2\n" in shown.stdout
    assert "+low = max(sales)" in shown.stdout
    after, was = sources(week / "copy.ipynb"), sources(week / "week.ipynb")
    assert [n for n, (one, other) in enumerate(zip(after, was, strict=True)) if one != other] == [7, 11]
    assert "print( n,total )\n# all are there" in after[7]
    assert after[7].startswith("%matplotlib inline\nfor n in range(2):\n    # twice\n    total = n + 2\n")
    assert {name: digest for name, digest in state(week).items() if name != "copy.ipynb"} == before


def test_what_only_the_notebook_has_stays_as_it_was(week: Path) -> None:
    change(
        week / "project" / STEPS,
        '    table = pd.DataFrame({"sale": sales})\n',
        '    table = pd.DataFrame({"s": sales})\n    print(table.shape)\n',
    )
    found = api.sync(week / "project", week / "week.ipynb")
    assert found.after.cells[10].source.endswith('table = pd.DataFrame({"s": sales})\nprint(table.shape)\nsales[-1]')
    others = [(old.source, new.source) for old, new in zip(found.before.cells, found.after.cells, strict=True)]
    assert all(old == new for n, (old, new) in enumerate(others) if n != 10)


def test_names_that_the_export_changed_are_the_authors_again(week: Path) -> None:
    change(week / "project" / STEPS, 'functions.UNITS |= {"box"}', 'functions.UNITS |= {"box", "can"}')
    change(
        week / "project" / STEPS,
        "[gross(day, rates) for day in range(days)]",
        "[gross(day + 1, rates) for day in range(days)]",
    )
    found = api.sync(week / "project", week / "week.ipynb")
    assert found.refused == ()
    assert found.after.cells[10].source.startswith('UNITS |= {"box", "can"}\n')
    assert "sales = [gross(day + 1) for day in range(days)]\n" in found.after.cells[6].source


def test_a_function_of_the_notebook_and_a_new_import_go_back_too(week: Path) -> None:
    change(
        week / "project/src/week/functions.py",
        "    return x * (1 + rates[1])",
        "    return math.floor(x * (1 + rates[1]))",
    )
    change(week / "project/src/week/functions.py", "\n\nUNITS", "\n\nimport math\n\nUNITS")
    functions = week / "project/src/week/functions.py"
    functions.write_text(functions.read_text(encoding="utf-8") + "\n\ndef spare():\n    return 1\n", encoding="utf-8")
    found = api.sync(week / "project", week / "week.ipynb")
    assert [(one.function, one.what) for one in found.refused] == [("spare", "spare is new, and no step comes to it")]
    assert found.after.cells[2].source == "import statistics\nimport pandas as pd\nimport math"
    assert found.after.cells[4].source.endswith("def gross(x):\n    return math.floor(x * (1 + rates[1]))")


STAYS: dict[str, list[tuple[str, str, str, str]]] = {
    "around the functions": [
        (STEPS, "def load(days: int,", "def load(days: int, more: int,", "what it takes and returns"),
        (STEPS, "One number a day.", "One number an hour.", "Markdown above the cell"),
        (STEPS, "def clean(", "def quick():\n    return 1\n\n\ndef clean(", "quick is new"),
        ("src/week/settings.py", "days: int = 7", "days: int = 8", "settings come from the parameters"),
        ("src/week/pipeline.py", 'after_step("clean")', 'after_step("cleaned")', "the order of the steps"),
    ],
    "in the functions": [
        (STEPS, "total = n + 1\n", "total = n + 1\n        if n:\n            return n\n", "returns from the middle"),
        (STEPS, "low = min(sales)", "low = min(sold)", "would not become a project"),
    ],
    "at the end of a cell, where a value is only shown": [
        (STEPS, "kept, first)\n", "kept, first)\n    sales[:2]\n", "say it differently"),
    ],
    "in what other functions take": [
        (STEPS, "    low = min(sales)\n", "    low = min(sales)\n    first = 1\n", "the notebook's function would be"),
    ],
    "where it is no Python": [(STEPS, "def clean(", "def clean((", "it is no Python")],
}  # fmt: skip


@pytest.mark.parametrize("what", STAYS)
def test_what_has_no_place_in_the_notebook_is_told_with_its_line_and_stays(what: str, week: Path) -> None:
    for file, old, new, _ in STAYS[what]:
        change(week / "project" / file, old, new)
    found = api.sync(week / "project", week / "week.ipynb")
    told = {
        (file, reason): [one for one in found.refused if one.file == file and reason in one.what]
        for file, _, _, reason in STAYS[what]
    }
    assert [key for key, there in told.items() if not there or there[0].line < 1] == []
    assert [cell.source for cell in found.after.cells] == [cell.source for cell in found.before.cells]


def test_what_holds_goes_back_beside_what_does_not(week: Path) -> None:
    change(week / "project" / STEPS, "low = min(sales)", "low = min(sold)")
    change(week / "project" / STEPS, "total = n + 1", "total = n + 9")
    found = api.sync(week / "project", week / "week.ipynb")
    assert [one.function for one in found.returned] == ["load"]
    assert [one.function for one in found.refused] == ["sum_step"]


def test_files_of_the_project_alone_are_named_and_no_fault(week: Path) -> None:
    change(week / "project/Makefile", "run: install", "run: install check")
    shown = call(week / "project", week / "week.ipynb")
    assert shown.exit_code == 0, shown.output
    assert "no part of the notebook: Makefile\n" in shown.stdout


def test_layout_is_each_sides_own(week: Path) -> None:
    change(week / "project" / STEPS, "mean = statistics.mean(sales)", "mean = statistics.mean(\n        sales,\n    )")
    found = api.sync(week / "project", week / "week.ipynb")
    assert (found.returned, found.refused, found.edits) == ((), (), ())


def test_a_notebook_that_changed_too_comes_first(week: Path) -> None:
    change_cell(week, "low = 0.0", "low = 0.5")
    with pytest.raises(NotProved, match=r"sum_step of src/week/steps\.py") as refused:
        api.sync(week / "project", week / "week.ipynb", week / "copy.ipynb")
    assert "--update" in refused.value.fix
    assert not (week / "copy.ipynb").exists()


# -- forward to the project -------------------------------------------------------------------------------------------

EDITS = [
    ("low = 0.0", "low = 0.5"),
    ("days: int = 7", "days: int = 7\nextra: str = 'x'"),
    ("assert len(sales) == days", "assert len(sales) == days > 1"),
    ("print(mean, low", "print(days, mean, low"),
]


def test_an_untouched_project_becomes_a_new_export(week: Path) -> None:
    for old, new in EDITS:
        change_cell(week, old, new)
    assert call(week / "project", week / "week.ipynb", "--update").exit_code == 0
    api.export(week / "week.ipynb", "project", week / "again")
    assert state(week / "project") == state(week / "again")


def test_both_sides_changes_are_in_the_project_afterwards(week: Path) -> None:
    change(week / "project" / STEPS, "total = n + 1", "total = n + 9")
    change(week / "project/Makefile", "run: install", "run: install check")
    change_cell(week, "low = 0.0", "low = 0.5")
    done = call(week / "project", week / "week.ipynb", "--update")
    assert (done.exit_code, "merges  src/week/steps.py" in done.stdout) == (0, True)
    steps = (week / "project" / STEPS).read_text(encoding="utf-8")
    assert "total = n + 9" in steps
    assert "low = 0.5" in steps
    assert "run: install check" in (week / "project/Makefile").read_text(encoding="utf-8")
    found = api.sync(week / "project", week / "week.ipynb")
    assert ([one.function for one in found.returned], found.refused) == (["load"], ())


def test_a_conflict_writes_nothing_unless_it_is_asked_for(week: Path) -> None:
    change(week / "project" / STEPS, "low = 0.0", "low = 0.1")
    change_cell(week, "low = 0.0", "low = 0.5")
    before = state(week)
    done = call(week / "project", week / "week.ipynb", "--update")
    assert (done.exit_code, state(week)) == (5, before)
    shown = [
        "<<<<<<< project",
        "low = 0.1",
        "||||||| as exported",
        "low = 0.0",
        "=======",
        "low = 0.5",
        ">>>>>>> notebook",
    ]
    assert [line.strip() for line in done.stdout.splitlines()[1:8]] == shown
    assert call(week / "project", week / "week.ipynb", "--update", "--write-conflicts").exit_code == 5
    with pytest.raises(NotProved, match="a conflict of an earlier update is still open"):
        api.sync(week / "project", week / "week.ipynb")
    steps = (week / "project" / STEPS).read_text(encoding="utf-8")
    start, end = steps.index("<<<<<<<"), steps.index(">>>>>>> notebook\n") + len(">>>>>>> notebook\n")
    (week / "project" / STEPS).write_text(f"{steps[:start]}        low = 0.1\n{steps[end:]}", encoding="utf-8")
    assert api.sync(week / "project", week / "week.ipynb").refused == ()


def test_the_synced_copy_and_the_project_agree_without_a_conflict(week: Path) -> None:
    change(week / "project" / STEPS, "low = min(sales)", "low = min(sales)\n    print('low')")
    api.sync(week / "project", week / "week.ipynb", week / "copy.ipynb")
    assert api.sync_update(week / "project", week / "copy.ipynb").conflicts == ()
    found = api.sync(week / "project", week / "copy.ipynb")
    assert (found.returned, found.refused) == ((), ())


# -- faults -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_exported_project_is_refused(week: Path) -> None:
    (week / "project" / FILE).unlink()
    with pytest.raises(UsageError, match=r"it has no \.notebook\.json"):
        api.sync(week / "project", week / "week.ipynb")


@pytest.mark.parametrize("path", ["../stolen.py", "/etc/passwd"])
def test_a_path_out_of_the_project_is_refused(path: str, week: Path) -> None:
    origin = week / "project" / FILE
    document = json.loads(origin.read_text(encoding="utf-8"))
    origin.write_text(json.dumps({**document, "data": {path: "0" * 64}}), encoding="utf-8")
    with pytest.raises(StoreError, match="it names"):
        api.sync_update(week / "project", week / "week.ipynb")


def test_the_input_is_never_the_output(week: Path) -> None:
    before = state(week)
    assert call(week / "project", week / "week.ipynb", "-o", week / "week.ipynb").exit_code == 2
    assert call(week / "project", week / "week.ipynb", "-o", week / "copy.ipynb", "--update").exit_code == 2
    assert state(week) == before


def test_the_json_document_says_what_goes_back_and_what_stays(week: Path) -> None:
    change(week / "project" / STEPS, "total = n + 1", "total = n + 9")
    change(week / "project/src/week/settings.py", "days: int = 7", "days: int = 8")
    document = json.loads(call(week / "project", week / "week.ipynb", "--json").stdout)
    assert (document["schema"], document["direction"]) == ("nb2prod/sync/1", "back")
    assert [(one["function"], one["cells"]) for one in document["functions"]] == [("load", [7])]
    assert [cell["cell"] for cell in document["cells"]] == [7]
    assert [one["file"] for one in document["refused"]] == ["src/week/settings.py"]
