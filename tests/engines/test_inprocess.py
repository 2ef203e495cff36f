"""The whole notebook in a process without a kernel: what a kernel gives, it gives; what it cannot, it says."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from nb2prod import api
from nb2prod.core.result import Result
from tests.engines.test_papermill import FAILURES
from tests.notebook_maker import Row, write_notebook

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def ran(tmp_path: Path, *rows: Row, engine: str = "inprocess", **options: Any) -> Result:
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    return api.run(notebook, trackers=(), runs=tmp_path / "runs", engine=engine, **options)


def cells(result: Result) -> list[dict[str, Any]]:
    return list(json.loads(Path(result.notebook).read_text(encoding="utf-8"))["cells"])


def shown(result: Result) -> list[tuple[int | None, str]]:
    """What the notebook shows, as text; addresses and process numbers are of one run only."""
    texts = [json.dumps(cell.get("outputs"), sort_keys=True) for cell in cells(result)]
    texts = [re.sub(r"0x[0-9a-f]+|ipykernel_\d+", "", text) for text in texts]
    return [(cell.get("execution_count"), text) for cell, text in zip(cells(result), texts, strict=True)]


SHOWN: list[Row] = [
    ("imports", "import asyncio, base64, os, sys, warnings\nimport matplotlib.pyplot as plt"),
    ("imports", "from IPython.display import HTML, Image, clear_output, display, update_display"),
    ("", "print('a'); print('b', file=sys.stderr); print('c')"),
    ("", "h = display('one', display_id=True)\nh.update('two')\ndisplay(HTML('<b>x</b>'))\n3"),
    ("", "display('first', display_id='z')"),
    ("", "update_display('last', display_id='z')"),
    ("", "print('gone'); clear_output(wait=True); print('stays')\nfor i in range(3):\n    print(i, end='\\r')"),
    ("", "!echo from the shell\nx = !echo captured\nx"),
    ("", "%pwd"),
    ("", "%%capture held\nprint('hidden')"),
    ("", "held.stdout, _, In[-1], list(Out)[-1], __name__, __doc__, sys.stdout.encoding, os.environ['PAGER']"),
    ("", "figure, ax = plt.subplots(figsize=(1, 1)); ax.plot([1, 2])"),
    ("", f"Image(base64.b64decode('{PIXEL}'))"),
    ("", "display({'application/json': {'a': (1, 2)}, 'text/plain': 'x'}, raw=True)"),
    (
        "",
        "async def later():\n    await asyncio.sleep(0.01)\n    seen.append(1)\n"
        "seen = []\ntask = asyncio.create_task(later())",
    ),
    ("", "await asyncio.sleep(0.1); seen"),
    ("raises-exception", "loop = asyncio.get_running_loop(); loop.run_until_complete(task)"),
    ("raises-exception", "def f(x):\n    return 1 / x\n\nf(0)"),
    ("raises-exception", "try:\n    f(0)\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e"),
    ("", "warnings.warn('careful')"),
    ("", "len?"),
    ("", "import pandas as pd\npd.DataFrame({f'a long name {n}': [n] for n in range(12)}), str(type(get_ipython()))"),
    ("step:a metric:m", "%precision 2\nm = 1\n3.14159"),
    ("raises-exception", "%no_such_magic"),
]


def test_every_kind_of_output_is_what_a_kernel_gives(tmp_path: Path) -> None:
    """Streams, displays and their updates, shell lines, pictures, tracebacks, async cells, IPython's own names."""
    here, there = ran(tmp_path, *SHOWN), ran(tmp_path, *SHOWN, engine="papermill")
    assert (here.status, there.status, here.failure, there.failure) == ("finished", "finished", None, None)
    for cell, (mine, kernels) in enumerate(zip(shown(here), shown(there), strict=True)):
        assert mine == kernels, SHOWN[cell][1]
    assert here.metrics == there.metrics == {"m": 1.0}


@pytest.mark.parametrize(
    ("source", "kind", "code", "message"),
    [row for row in FAILURES if row[1] != "syntax"],
    ids=[row[1] + row[0][:9] for row in FAILURES if row[1] != "syntax"],
)
def test_each_way_to_fail_is_that_of_a_kernel(tmp_path: Path, source: str, kind: str, code: int, message: str) -> None:
    tag = "step:a timeout:1" if kind == "timeout" else "step:a metric:m" if kind == "keep" else "step:a"
    result = ran(tmp_path, (tag, source), ("step:b", "print('never')"))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.cell, result.exit_code) == (kind, 0, code)
    assert message in result.failure.message
    assert [step.status for step in result.steps] == ["failed", "waiting"]


def test_a_crash_ends_the_process_and_what_was_printed_before_is_kept(tmp_path: Path) -> None:
    crash = "print('before', flush=True)\nimport ctypes\nctypes.string_at(0)"
    result = ran(tmp_path, ("step:a", "print('fine')"), ("step:b", crash))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.step) == ("kernel", "b")
    assert "SIGSEGV" in result.failure.message
    assert [step.printed for step in result.steps] == ["fine\n", "before\n"]


def test_what_needs_a_kernel_is_refused_with_the_engine_that_has_one(tmp_path: Path) -> None:
    widget = "import comm\ncomm.create_comm(target_name='jupyter.widget', data={})"
    for source, what in (("%connect_info", "%connect_info needs a kernel"), (widget, "a widget needs a kernel")):
        result = ran(tmp_path, ("step:a", source))
        assert result.failure is not None
        assert what in result.failure.message
        assert "--engine papermill" in result.failure.message


def test_a_secret_reaches_the_code_and_nothing_else(tmp_path: Path) -> None:
    rows = [("parameters", "api_key = ''"), ("step:a", "print(api_key)"), ("step:b", "raise ValueError(api_key)")]
    result = ran(tmp_path, *rows, texts={"api_key": "hunter2-hunter2"})
    assert result.failure is not None
    assert result.failure.message == "ValueError: ********"
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert [path for path in written if b"hunter2" in path.read_bytes()] == []
    assert result.steps[0].printed == "********\n"


def test_many_printed_lines_travel_together_and_none_is_lost(tmp_path: Path) -> None:
    source = "for n in range(20_000):\n    print(n)\nimport sys\nsys.stdout.write('end')"
    by_others = "import os, subprocess\nos.system('echo the system')\n_ = subprocess.run(['echo', 'a program'])"
    assert ran(tmp_path, ("step:a", by_others)).steps[0].printed == "the system\na program\n"
    result = ran(tmp_path, ("step:a", source), ("step:b", "import time\nprint('now')\ntime.sleep(0.3)\nprint('then')"))
    assert result.steps[0].printed == "".join(f"{n}\n" for n in range(20_000)) + "end"
    assert result.steps[1].printed == "now\nthen\n"


def test_exploration_can_be_left_out_and_what_a_cell_started_ends_with_the_run(tmp_path: Path) -> None:
    started = "import subprocess\nnumber = subprocess.Popen(['sleep', '300']).pid\nprint(number)"
    result = ran(tmp_path, ("step:a", started), ("", "raise ValueError"), only_steps=True)
    assert result.status == "finished"
    number, until = int(result.steps[0].printed), time.monotonic() + 5
    while psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "it still runs"


def test_the_cells_without_a_kernel_are_proved_equal_to_the_notebook(tmp_path: Path) -> None:
    """Value by value at the end of each step; and where they do differ, that is seen."""
    rows = [
        ("setup", "import random\nrandom.seed(3)"),
        ("step:a", "xs = [random.random() for _ in range(3)]\nprint(xs)"),
        ("", "xs.append(1.0)"),
        ("step:b metric:m", "m = sum(xs)\nkind = hasattr(get_ipython().kernel, 'session')"),
    ]
    equality = api.verify_notebook(write_notebook(tmp_path / "nb.ipynb", rows), engine="inprocess")
    verdicts = {(one.step, one.name): one.verdict for one in equality.boundaries}
    assert (verdicts["a", "xs"], verdicts["b", "xs"], verdicts["b", "m"]) == ("equal", "equal", "equal")
    assert verdicts["b", "kind"] == "different"
    assert equality.first is not None
    assert equality.first.difference.text == "kind: True and False"
    assert "the cells without a kernel differ from the notebook" in api.equality_report(equality)
