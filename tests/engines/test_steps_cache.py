"""The cache of isolated steps: what would be the same again is not run again, anything else is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nb2prod import api
from nb2prod.core.result import Result
from nb2prod.storage.store import LocalStore
from tests.notebook_maker import Row, write_notebook

SKIPPED = "nothing that it depends on has changed"
CHAIN: list[Row] = [
    ("parameters", "alpha: int = 2\nbeta: int = 5"),
    ("imports", "import json\nimport random"),
    ("functions", "def scaled(x):\n    return [alpha * one for one in x]\n\ndef shown(x):\n    return json.dumps(x)"),
    ("step:load", "rows = [1, 2, 3]\nprint('loaded', len(rows))"),
    ("step:scale", "more = scaled(rows)\nmore"),
    ("step:add metric:total", "total = sum(more) + beta\nprint(shown(total))"),
]


def ran(folder: Path, rows: Sequence[Row], parameters: Any = None, **more: Any) -> Result:
    notebook = write_notebook(folder / "nb.ipynb", rows)
    store = more.pop("store", folder / "store")
    return api.run(notebook, parameters, engine="steps", trackers=(), runs=folder / "runs", store=store, **more)


def status(result: Result) -> dict[str, str]:
    """skipped, or why it ran."""
    return {step.name: step.status if step.status == "skipped" else step.reason for step in result.steps}


def edited(rows: Sequence[Row], place: int, old: str, new: str) -> list[Row]:
    assert old in rows[place][1]
    return [(tags, source.replace(old, new) if n == place else source) for n, (tags, source) in enumerate(rows)]


def outputs(result: Result) -> list[list[Any]]:
    cells = json.loads(Path(result.notebook).read_text())["cells"]
    return [[{**one, "execution_count": None} for one in cell["outputs"]] for cell in cells]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the chain has run once."""
    folder = tmp_path_factory.mktemp("chain")
    first = ran(folder, CHAIN)
    assert status(first) == {"load": "first run", "scale": "first run", "add": "first run"}
    return folder


def test_nothing_changed_runs_nothing_and_gives_the_same(chain: Path) -> None:
    whole, again = ran(chain, CHAIN, store=None), ran(chain, CHAIN)
    assert status(again) == {"load": "skipped", "scale": "skipped", "add": "skipped"}
    assert {step.reason for step in again.steps} == {SKIPPED}
    assert again.metrics == whole.metrics == {"total": 17.0}
    assert [step.printed for step in again.steps] == [step.printed for step in whole.steps]
    assert outputs(again) == outputs(whole)


COMMENT = edited(CHAIN, 2, "return [", "# as large as asked for\n    return   [")


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(COMMENT, id="a comment"),
        pytest.param([*CHAIN[:3], ("md", "# words"), ("", "print('exploring')"), *CHAIN[3:]], id="cells moved down"),
    ],
)
def test_what_python_does_not_see_runs_nothing_again(chain: Path, rows: list[Row]) -> None:
    assert set(status(ran(chain, rows)).values()) == {"skipped"}


@pytest.mark.parametrize(
    ("rows", "parameters", "reasons"),
    [
        (edited(CHAIN, 5, "+ beta", "- beta"), {}, ["skipped", "skipped", "its code changed (cell 5)"]),
        (
            edited(CHAIN, 4, "scaled(rows)", "scaled(rows * 2)"),
            {},
            ["skipped", "its code changed (cell 4)", "input more of step scale changed"],
        ),
        (CHAIN, {"beta": 7}, ["skipped", "skipped", "parameter beta changed"]),
        (CHAIN, {"alpha": 3}, ["skipped", "parameter alpha changed", "input more of step scale changed"]),
        (edited(CHAIN, 3, "print('loaded'", "print('got'"), {}, ["its code changed (cell 3)", "skipped", "skipped"]),
        (
            edited(CHAIN, 2, "alpha * one", "alpha + one"),
            {},
            ["skipped", "scaled, which it uses, changed", "input more of step scale changed"],
        ),
    ],
    ids=[
        "last step",
        "middle step",
        "parameter of the last",
        "parameter of the middle",
        "only what it prints",
        "function",
    ],
)
def test_a_change_runs_what_it_reaches_and_says_why(
    chain: Path, rows: list[Row], parameters: dict[str, int], reasons: list[str]
) -> None:
    assert set(status(ran(chain, CHAIN)).values()) == {"skipped"}  # what was taken is what is compared with
    assert list(status(ran(chain, rows, parameters)).values()) == reasons


def test_a_change_taken_back_finds_what_was_kept_before(chain: Path) -> None:
    ran(chain, CHAIN, {"beta": 8})
    assert set(status(ran(chain, CHAIN)).values()) == {"skipped"}


def test_files_that_a_step_reads_folders_and_variables_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("1\n2\n")
    rows: list[Row] = [
        ("imports", "import os"),
        ("step:read", "with open('data/' + 'x.csv') as file:\n    x = file.read()\nprint(x)"),
        ("step:list", "print(sorted(os.listdir('data')))"),
        ("step:ask", "print(os.environ.get('NB_TEST_PLACE', 'nowhere'))"),
        ("step:other", "print('other')"),
    ]
    ran(tmp_path, rows)
    assert set(status(ran(tmp_path, rows)).values()) == {"skipped"}
    (tmp_path / "data" / "x.csv").write_text("1\n3\n")
    changed = ran(tmp_path, rows)
    assert status(changed) == {
        "read": "file data/x.csv changed",
        "list": "folder data changed",
        "ask": "skipped",
        "other": "skipped",
    }
    assert changed.steps[0].printed == "1\n3\n\n"
    (tmp_path / "data" / "y.csv").touch()
    assert status(ran(tmp_path, rows))["list"] == "folder data changed"
    monkeypatch.setenv("NB_TEST_PLACE", "here")
    moved = ran(tmp_path, rows)
    assert status(moved) | {"list": ""} == {
        "read": "skipped",
        "list": "",
        "ask": "variable NB_TEST_PLACE changed",
        "other": "skipped",
    }
    assert moved.steps[2].printed == "here\n"


def test_what_cannot_be_put_back_runs_every_time_and_says_why(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("imports", "import datetime\nimport threading"),
        ("step:off cache:off", "off = 1"),
        ("step:write", "with open('out.txt', 'w') as file:\n    print(off, file=file)"),
        ("step:read", "print(open('out.txt').read())"),
        ("step:when", "year = datetime.datetime.now().year"),
        ("step:scratch", "import tempfile\nwith tempfile.TemporaryFile() as temp:\n    temp.write(b'x')"),
        ("step:keep", "numbers = (n for n in range(3))"),
        ("step:use", "print(next(numbers))"),
    ]
    ran(tmp_path, rows)
    (tmp_path / "out.txt").unlink()
    again = status(ran(tmp_path, rows))
    assert again["off"] == "cache:off"
    assert again["write"] == "it writes out.txt"
    assert again["when"] == "it asks for the time"
    assert again["scratch"] == "skipped"
    assert again["keep"] == "it was kept in a process"
    assert again["use"].startswith("runs in the process of step keep")
    assert (tmp_path / "out.txt").read_text() == "1\n"


def test_a_file_that_is_closed_leaves_its_process(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("1")
    rows: list[Row] = [
        ("step:one", "with open('x.txt') as f:\n    a = f.read()"),
        ("step:two", "print(f.name, f.mode, f.encoding, f.closed)\nwith open('x.txt', 'rb') as f:\n    b = f.read()"),
        ("step:three", "print(f.name, f.mode, f.closed, a, b)"),
    ]
    assert [step.printed for step in ran(tmp_path, rows).steps[1:]] == [
        "x.txt r UTF-8 True\n",
        "x.txt rb True 1 b'1'\n",
    ]
    assert set(status(ran(tmp_path, rows)).values()) == {"skipped"}


def test_a_module_beside_the_notebook_and_an_installed_library_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helping.py").write_text("from deeper import FACTOR\ndef twice(x):\n    return FACTOR * x\n")
    (tmp_path / "deeper.py").write_text("FACTOR = 2\n")
    library = tmp_path / "lib" / "site-packages"
    library.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(library))
    install(library, "1.0")
    rows: list[Row] = [
        ("imports", "import helping\nimport fakelib"),
        ("step:one", "one = helping.twice(4)\nprint(one)"),
        ("step:two", "two = fakelib.VERSION"),
        ("step:three", "print(one, two)"),
        ("step:four", "print('alone')"),
    ]
    ran(tmp_path, rows)
    assert set(status(ran(tmp_path, rows)).values()) == {"skipped"}
    (tmp_path / "deeper.py").write_text("FACTOR = 3\n")
    changed = ran(tmp_path, rows)
    assert status(changed)["one"] == "file deeper.py changed"
    assert changed.steps[0].printed == "12\n"
    assert (status(changed)["two"], status(changed)["four"]) == ("skipped", "skipped")
    install(library, "1.1")
    changed = ran(tmp_path, rows)
    assert status(changed)["two"] == "fakelib 1.0 → 1.1"
    assert changed.steps[2].printed == "12 1.1\n"
    assert status(changed)["four"] == "skipped"


def install(library: Path, version: str) -> None:
    for old in library.glob("fakelib*.dist-info/*"):
        old.unlink()
    (library / "fakelib.py").write_text(f"VERSION = {version!r}\n")
    info = library / f"fakelib-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fakelib\nVersion: {version}\n\n")
    (info / "top_level.txt").write_text("fakelib\n")


def test_random_streams_count_for_steps_that_draw(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("imports", "import random"),
        ("setup", "random.seed(1)"),
        ("step:first", "a = [random.random() for _ in range(2)]"),
        ("step:between", "b = 5"),
        ("step:second", "c = random.random()\nprint(c)"),
    ]
    ran(tmp_path, rows)
    assert set(status(ran(tmp_path, rows)).values()) == {"skipped"}
    more = edited(rows, 2, "range(2)", "range(3)")
    cached, whole = ran(tmp_path, more), ran(tmp_path, more, store=None)
    assert status(cached) == {
        "first": "its code changed (cell 2)",
        "between": "skipped",
        "second": "the random stream of random stands elsewhere",
    }
    assert cached.steps[2].printed == whole.steps[2].printed


def test_a_secret_never_rests_in_the_store(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("parameters", "token: str = ''  # secret\nn: int = 2"),
        ("functions", "def sent(x):\n    return {'key': token, 'x': x}"),
        ("step:plain", "x = n + 1\nprint(x)"),
        ("step:call", "answer = sent(x)\nprint(len(answer))"),
        ("step:after", "print(sorted(answer))"),
    ]
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    assert [one.secret for one in api.load_pipeline(notebook).parameters] == [True, False]
    ran(tmp_path, rows, {"token": "opensesame-4711"})
    again = ran(tmp_path, rows, {"token": "opensesame-4711"})
    assert status(again) == {
        "plain": "skipped",
        "call": "it is given a secret, or what was made with one",
        "after": "it is given a secret, or what was made with one",
    }
    stored = [path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert stored
    assert not any(b"opensesame" in content for content in stored)


def test_damage_is_noticed_said_and_made_good(tmp_path: Path) -> None:
    ran(tmp_path, CHAIN)
    for kept in LocalStore(tmp_path / "store").contents():
        path = LocalStore(tmp_path / "store").place(kept.digest)
        path.write_bytes(b"?" * kept.size)
    again = ran(tmp_path, CHAIN)
    assert status(again)["load"] == "what the store kept of it is damaged"
    assert again.metrics == {"total": 17.0}
    assert set(status(ran(tmp_path, CHAIN)).values()) == {"skipped"}


def test_artifacts_tests_and_classes_come_back(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("imports", "import numpy as np\nimport pandas as pd"),
        (
            "functions",
            "class Mean:\n    def fit(self, x, y):\n        self.mean = float(np.mean(y))\n        return self\n"
            "    def predict(self, x):\n        return np.full(len(x), self.mean)",
        ),
        (
            "step:data example:X",
            "X = pd.DataFrame({'a': [1.0, 2.0, np.nan]})\ny = np.array([1.0, 2.0, 6.0])\nseen = {'b', 'a'}",
        ),
        ("step:fit model:model", "model = Mean().fit(X, y)"),
        ("test:fit", "def test_mean():\n    assert model.mean == 3.0"),
        ("step:say", "print(model.predict(X)[0], sorted(seen))"),
    ]
    first = ran(tmp_path, rows)
    again = ran(tmp_path, [("md", "# moved"), *rows])
    assert set(status(again).values()) == {"skipped"}
    assert [(a.kind, a.name, a.digest) for a in again.artifacts if a.kind != "notebook"] == [
        (a.kind, a.name, a.digest) for a in first.artifacts if a.kind != "notebook"
    ]
    for artifact in again.artifacts:
        assert (Path(again.directory) / artifact.path).exists()
    assert [(test.id, test.outcome, test.cell) for test in again.tests] == [
        (test.id, test.outcome, (test.cell or 0) + 1) for test in first.tests
    ]
    last = ran(tmp_path, edited(rows, 5, "sorted(seen)", "sorted(seen), 1"))
    assert status(last) == {"data": "skipped", "fit": "skipped", "say": "its code changed (cell 5)"}
    assert last.steps[-1].printed == "3.0 ['a', 'b'] 1\n"


def test_a_run_killed_in_a_step_goes_on_at_that_step(tmp_path: Path) -> None:
    rows = [
        *CHAIN[:5],
        ("step:wait", "import os, time\nwhile not os.path.exists('go.txt'):\n    time.sleep(0.05)"),
        CHAIN[5],
    ]
    write_notebook(tmp_path / "nb.ipynb", rows)
    command = [
        sys.executable,
        "-m",
        "nb2prod",
        "run",
        "nb.ipynb",
        "--engine",
        "steps",
        "--no-track",
        "--store",
        "store",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "step wait started" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    (tmp_path / "go.txt").touch()
    again = ran(tmp_path, rows)
    assert status(again) == {"load": "skipped", "scale": "skipped", "wait": "first run", "add": "first run"}
    assert again.metrics == {"total": 17.0}


def test_steps_at_the_same_time_are_taken_from_the_store_as_well(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("step:a", "a = [1]"),
        ("step:b", "b = [2]"),
        ("step:c", "c = a + b\nprint(c)"),
    ]
    ran(tmp_path, rows, executor="processes")
    again = ran(tmp_path, edited(rows, 1, "[2]", "[3]"), executor="processes")
    assert status(again) == {"a": "skipped", "b": "its code changed (cell 1)", "c": "input b of step b changed"}
    assert again.steps[2].printed == "[1, 3]\n"


def test_a_name_that_is_read_newly_is_made_again(tmp_path: Path) -> None:
    rows: list[Row] = [("step:a", "first, second = 1, 2"), ("step:b", "print(first)")]
    ran(tmp_path, rows)
    more = edited(rows, 1, "print(first)", "print(first, second)")
    cached = ran(tmp_path, more)
    assert status(cached) == {"a": "second is read later now, and was not kept", "b": "its code changed (cell 1)"}
    assert cached.steps[1].printed == "1 2\n"
