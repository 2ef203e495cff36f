"""The whole notebook in one real kernel: what a run gives, and what each way of failing leads to."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from nb2prod import api
from nb2prod.core.errors import BadParameter, FindingsError, StoreError, UsageError
from nb2prod.core.result import Result
from nb2prod.engines._prepared import prepared
from nb2prod.stages.plan import plan
from tests.notebook_maker import Row, write_notebook


def ran(tmp_path: Path, *rows: Row, texts: dict[str, str] | None = None, **options: Any) -> Result:
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    return api.run(notebook, texts=texts, trackers=(), runs=tmp_path / "runs", **options)


def outputs(result: Result) -> str:
    return Path(result.notebook).read_text(encoding="utf-8")


def test_a_run_gives_what_its_steps_printed_measured_and_kept(tmp_path: Path) -> None:
    """Typed parameters reach the kernel, derived ones are computed again, exploration runs, skipped cells do not."""
    notebook = write_notebook(
        tmp_path / "nb.ipynb",
        [
            ("md", "# A notebook"),
            ("parameters", "n: int = 3\ntotal = n * 10\nname: str = 'a'\nxs: list[int] = [1]"),
            ("imports", "%matplotlib inline\nimport math"),
            ("step:a metric:m", "m = total + math.floor(1.5)\nprint('total', total, repr(name), xs)"),
            ("", "print('exploring', m)"),
            ("skip", "raise SystemError('never')"),
            ("step:b", "%%time\nfirst = m"),
            ("raises-exception", "1 / 0"),
            ("step:b", "second = first\nprint('second', second)"),
            ("test:b", "def test_second():\n    assert second == m\n\ndef test_first():\n    assert first == 0"),
        ],
    )
    before = hashlib.sha256(notebook.read_bytes()).hexdigest()
    result = api.run(notebook, {"xs": [2, 3]}, texts={"n": "5", "name": "001"}, trackers=(), runs=tmp_path / "runs")
    assert (result.status, result.failure, result.exit_code) == ("finished", None, 4)
    assert result.metrics == {"m": 51.0}
    assert [(step.name, step.status) for step in result.steps] == [("a", "finished"), ("b", "finished")]
    assert result.steps[0].printed == "total 50 '001' [2, 3]\n"
    assert result.steps[1].printed.endswith("second 51\n")
    assert "CPU times" in result.steps[1].printed
    assert [(test.id, test.outcome) for test in result.tests] == [
        ("b::test_second", "passed"),
        ("b::test_first", "failed"),
    ]
    assert "assert 51 == 0" in result.tests[1].message
    assert result.tests[1].cell == 9
    assert result.parameters == {"n": 5, "name": "001", "xs": [2, 3], "total": 50}
    assert result.computed == ("total",)
    assert "exploring 51" in outputs(result)
    assert "ZeroDivisionError" in outputs(result)
    assert "never" in outputs(result)
    assert "SystemError: never" not in outputs(result)
    assert hashlib.sha256(notebook.read_bytes()).hexdigest() == before
    assert api.load_result(result.directory) == result


def test_a_failing_cell_is_a_failure_with_cell_and_line_and_the_notebook_is_kept(tmp_path: Path) -> None:
    rows = [("step:a", "print('before')"), ("step:b", "%%time\nx = 1\ny = x / 0"), ("step:c", "print('after')")]
    result = ran(tmp_path, *rows)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.step, result.failure.cell, result.failure.line) == ("cell", "b", 1, 3)
    assert result.failure.message == "ZeroDivisionError: division by zero"
    assert [step.status for step in result.steps] == ["finished", "failed", "waiting"]
    assert (result.status, result.exit_code) == ("failed", 1)
    kept = json.loads(outputs(result))
    assert any(output["output_type"] == "error" for cell in kept["cells"] for output in cell.get("outputs", []))


LINES = [
    ("%%step a\nx = 1\n1 / 0", 3),
    ("%%step a\n\n\n1 / 0", 4),
    ("\n\n1 / 0", 3),
    ("%%step a\n%%time\nx = 1\n1 / 0", 4),
    ("def f():\n    1 / 0\n\nf()", 4),
    ("x = 1\n%time 1 / 0", 2),
    ("x = [1,\n     1 / 0]", 2),
]


def test_a_failures_line_is_the_one_that_the_author_sees(tmp_path: Path) -> None:
    for source, line in LINES:
        result = ran(tmp_path, ("" if source.startswith("%%step") else "step:a", source))
        assert result.failure is not None
        assert (result.failure.step, result.failure.line) == ("a", line), source


FAILURES = [
    ("name = input('who?')", "input", 1, "waits for input()"),
    ("import sys\nsys.exit(0)", "cell", 1, "SystemExit"),
    ("import os\nos._exit(3)", "kernel", 6, "the kernel died: it exited with code 3"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "kernel", 6, "SIGKILL"),
    ("!(sleep 300 &)\nwhile True: pass", "timeout", 1, "limit 1 s"),
    ("m = 'a text'", "keep", 1, "m"),
    ("def f(:", "syntax", 3, ""),
]


@pytest.mark.parametrize(("source", "kind", "code", "message"), FAILURES, ids=[row[1] + row[0][:9] for row in FAILURES])
def test_each_way_to_fail_has_its_kind_and_exit_code(
    tmp_path: Path, source: str, kind: str, code: int, message: str
) -> None:
    tag = "step:a timeout:1" if kind == "timeout" else "step:a metric:m" if kind == "keep" else "step:a"
    if kind == "syntax":
        with pytest.raises(FindingsError) as refused:
            ran(tmp_path, (tag, source))
        assert refused.value.exit_code == code
        return
    result = ran(tmp_path, (tag, source))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.cell, result.exit_code) == (kind, 0, code)
    assert message in result.failure.message
    assert result.steps[0].status == "failed"
    assert Path(result.notebook).exists()


def test_a_secret_reaches_the_code_and_nothing_else(tmp_path: Path) -> None:
    """Not the executed notebook, the journal, the plan, nor a failure's message."""
    result = ran(
        tmp_path,
        ("parameters", "api_key = ''"),
        ("step:a", "print('the key is', api_key)\nlength = len(api_key)"),
        ("step:b", "raise ValueError(api_key)"),
        texts={"api_key": "hunter2-hunter2"},
    )
    assert result.failure is not None
    assert "********" in result.failure.message
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(written) >= 3
    assert [path for path in written if b"hunter2" in path.read_bytes()] == []
    assert result.steps[0].printed == "the key is ********\n"
    assert result.parameters == {"api_key": "********"}


def test_a_run_needs_no_event_loop_of_the_callers(tmp_path: Path) -> None:
    """Code before us may have run a loop and closed it (`asyncio.run` leaves none behind)."""
    notebook = write_notebook(tmp_path / "n.ipynb", [("step:a", "x = 1")])

    async def nothing() -> None:
        return None

    asyncio.run(nothing())
    result = api.run(notebook, trackers=(), runs=tmp_path / "runs")
    assert (result.status, result.failure) == ("finished", None)


def test_exploration_can_be_left_out(tmp_path: Path) -> None:
    result = ran(tmp_path, ("step:a", "x = 1"), ("", "raise ValueError"), ("step:b", "y = x"), only_steps=True)
    assert result.status == "finished"


def test_nothing_is_written_and_no_kernel_starts_for_what_cannot_run(tmp_path: Path) -> None:
    rows: list[Row] = [("parameters", "test_size: float = 0.3"), ("step:a", "x = test_size")]
    with pytest.raises(BadParameter, match="unknown parameter tset_size"):
        ran(tmp_path, *rows, texts={"tset_size": "0.2"})
    with pytest.raises(UsageError, match="would overwrite the input"):
        ran(tmp_path, *rows, output=tmp_path / "nb.ipynb")
    with pytest.raises(FindingsError, match="undefined-name"):
        ran(tmp_path, ("step:a", "x = nowhere"))
    assert not (tmp_path / "runs").exists()


def test_a_kernel_that_is_not_installed_is_named_with_those_that_are(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1")], kernel="julia-9")
    with pytest.raises(StoreError, match="kernel 'julia-9' is not installed") as refused:
        api.run(notebook, trackers=(), runs=tmp_path / "runs")
    assert "python3" in refused.value.fix
    assert list((tmp_path / "runs").rglob("*.ipynb")) == []


def test_a_secret_stays_secret_however_it_is_written_and_wherever_a_test_shows_it(tmp_path: Path) -> None:
    """Quoted, escaped, in HTML, in what derives from it, in a failed assert; a word of the kernel's protocol too."""
    secret = "p\"a's\\s<&>w-idle"
    result = ran(
        tmp_path,
        ("parameters", "token: str = ''\nurl = f'https://{token}@host'\nother_token: str = ''"),
        ("step:a", "print([token], repr(url)); print(other_token)\nimport json, html\nprint(json.dumps([token]))"),
        ("step:a", "print(html.escape(token))\n{'t': token}"),
        ("test:a", "def test_url():\n    assert url == ''\n\ndef test_token():\n    assert token == ''"),
        texts={"token": secret, "other_token": "idle"},
    )
    assert (result.status, result.exit_code) == ("finished", 4)
    assert result.parameters == {"token": "********", "url": "********", "other_token": "********"}
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert [path for path in written if b"s<&" in path.read_bytes() or b"&lt;" in path.read_bytes()] == []
    assert all("********" in test.message for test in result.tests)


def test_a_secret_arrives_with_its_type(tmp_path: Path) -> None:
    result = ran(
        tmp_path,
        ("imports", "from datetime import date\nfrom enum import Enum\nclass Kind(Enum):\n    A = 1"),
        ("parameters", "password: date = None\ntoken: Kind = None\nToken: str = ''"),
        ("step:a", "print(type(password).__name__, token is Kind.A, len(Token))"),
        texts={"password": "2021-03-04", "token": "A", "Token": "zq1"},
    )
    assert result.steps[0].printed == "date True 3\n"


def test_a_cell_that_prints_without_end_is_cut_with_a_notice(tmp_path: Path) -> None:
    """Long lines too, and what a progress bar overwrites is left out."""
    source = "print('x' * 2_000_000)\nprint('10%\\r20%\\r30%')\nfor _ in range(20):\n    print('y' * 1_000_000)"
    result = ran(tmp_path, ("step:a", source), ("step:b", "print('next')"))
    assert [step.status for step in result.steps] == ["finished", "finished"]
    printed = result.steps[0].printed
    assert printed.startswith("x" * 2_000_000 + "\n30%\ny")
    assert printed.endswith("… cut by nb2prod: the cell prints more than 10,000,000 characters\n")
    assert len(printed) < 10_000_100
    assert Path(result.notebook).stat().st_size < 10_010_000
    assert result.steps[1].printed == "next\n"


def test_what_the_notebook_tells_ipython_about_texts_does_not_reach_us(tmp_path: Path) -> None:
    shown = "get_ipython().display_formatter.formatters['text/plain'].for_type(str, lambda o, p, c: p.text('?'))"
    result = ran(tmp_path, ("step:a metric:m", f"{shown}\nm = 1"), ("step:b", "print(m)"))
    assert (result.status, result.metrics) == ("finished", {"m": 1.0})


def test_a_notebook_file_runs_as_leniently_as_it_is_read(tmp_path: Path) -> None:
    """A byte-order mark, no format, no metadata, ids twice: same run, and two runs give the same cell ids."""
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1"), ("step:b", "print(x)")])
    document = json.loads(notebook.read_text())
    document["cells"] += [{**document["cells"][1]}, {"cell_type": "code", "source": ["y = x\r\n", "print(y)"]}]
    notebook.write_bytes(b"\xef\xbb\xbf" + json.dumps(document).encode())
    results = [api.run(notebook, trackers=(), runs=tmp_path / "runs") for _ in range(2)]
    assert [result.steps[1].printed for result in results] == ["1\n1\n"] * 2
    ids = [[cell["id"] for cell in json.loads(outputs(result))["cells"]] for result in results]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 4
    del document["nbformat"], document["nbformat_minor"]
    notebook.write_text(json.dumps(document))
    assert api.run(notebook, trackers=(), runs=tmp_path / "runs").status == "finished"


def test_a_value_that_the_parameters_cell_would_not_heed_is_refused(tmp_path: Path) -> None:
    rows = [("parameters", "import random\nseed = 1\nrandom.seed(seed)"), ("step:a", "x = random.random()")]
    with pytest.raises(BadParameter, match=r"`random.seed\(seed\)` uses the default of the parameter seed") as refused:
        ran(tmp_path, *rows, texts={"seed": "2"})
    assert refused.value.where == "cell 0, line 3"
    assert not (tmp_path / "runs").exists()
    assert ran(tmp_path, *rows).status == "finished"


def test_a_secret_that_no_environment_holds_is_refused(tmp_path: Path) -> None:
    for value in ("a\0b", "x" * 100_001):
        with pytest.raises(BadParameter, match="the secret parameter token") as refused:
            ran(tmp_path, ("parameters", "token = ''"), ("step:a", "x = token"), texts={"token": value})
        assert value not in str(refused.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file"):
        ran(tmp_path, ("step:a", "x = 1"), output=tmp_path / "file" / "out.ipynb")


def test_a_notebook_that_is_saved_again_between_reading_and_running_runs_unless_its_code_is_another(
    tmp_path: Path,
) -> None:
    """Jupyter saves by itself, with new outputs; only other code than was compiled is refused."""
    path = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1")])
    planned = plan(api.load_pipeline(path), {}, runs=tmp_path / "runs")
    document = json.loads(path.read_text())
    document["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hello"}]
    path.write_text(json.dumps(document))
    assert prepared(planned).cells[0].source == "x = 1"
    document["cells"][0]["source"] = "x = 2"
    path.write_text(json.dumps(document))
    with pytest.raises(StoreError, match="has changed since it was read"):
        prepared(planned)


WIDGETS = """
import comm
shown = {"_model_name": "IntSliderModel", "_model_module": "@jupyter-widgets/controls", "value": 3}
slider = comm.create_comm(target_name="jupyter.widget", data={"state": shown, "buffer_paths": []})
slider.send({"method": "update", "state": {"value": 4}, "buffer_paths": [["picture"]]}, buffers=[b"hi"])
"""
CATCHING = """
state = {"_model_name": "OutputModel", "_model_module": "@jupyter-widgets/output", "outputs": [], "msg_id": ""}
catcher = comm.create_comm(target_name="jupyter.widget", data={"state": state, "buffer_paths": []})
here = get_ipython().kernel.get_parent()["header"]["msg_id"]
catcher.send({"method": "update", "state": {"msg_id": here}, "buffer_paths": []})
print("caught", flush=True)
catcher.send({"method": "update", "state": {"msg_id": ""}, "buffer_paths": []})
print("free")
"""


def test_widgets_are_saved_as_jupyter_saves_them_and_nothing_reaches_our_own_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Their last state and buffers, and what an Output widget caught; programs' output belongs to their cells."""
    program = "import os\nos.system('echo by a program')\nprint('printed')"
    result = ran(tmp_path, ("", WIDGETS), ("step:a", CATCHING), ("step:b", program))
    assert (result.status, result.failure) == ("finished", None)
    kept = json.loads(outputs(result))["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    slider, catcher = sorted(kept.values(), key=lambda one: one["model_name"])
    assert (slider["model_name"], slider["state"]["value"]) == ("IntSliderModel", 4)
    assert slider["buffers"] == [{"data": "aGk=", "encoding": "base64", "path": ["picture"]}]
    assert [output["text"] for output in catcher["state"]["outputs"]] == ["caught\n"]
    assert result.steps[0].printed == "free\n"
    assert "printed" in result.steps[1].printed
    assert capfd.readouterr().out == ""


def test_a_kernel_that_was_begun_ends_when_there_is_to_be_no_run(tmp_path: Path, monkeypatch: Any) -> None:
    """The kernel starts before trackers open; one that refuses leaves no process and no socket behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    before = {process.pid for process in psutil.process_iter()}
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1")])
    for engine in ("papermill", "inprocess"):
        with pytest.raises(StoreError):
            api.run(notebook, trackers=("mlflow",), runs=tmp_path / "runs", engine=engine)
    ours = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert [child for child in ours if child.status() != psutil.STATUS_ZOMBIE] == []
