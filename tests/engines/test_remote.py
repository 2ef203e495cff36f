"""Steps on a real Dask cluster: the numbers of the notebook, also where a worker sees nothing of the driver's disk."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nb2prod import api, plugins
from nb2prod.core.ports import Away
from nb2prod.core.result import Result
from tests.notebook_maker import write_notebook

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from nb2prod.executors import dask

    with dask.workers(2) as cluster:
        yield cluster


@dataclasses.dataclass
class Elsewhere:
    """The workers of a cluster, which see the notebook's folder only when they are `near`; who did what is noted."""

    cluster: Away
    near: bool = True
    killed: bool = False  # the driver ends without a word
    did: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def submit_to(self, worker: str, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        (bundle,) = arguments
        if not self.near:
            bundle = dataclasses.replace(bundle, around=dataclasses.replace(bundle.around, folder="/nowhere"))
        if self.killed:
            bundle = dataclasses.replace(bundle, around=dataclasses.replace(bundle.around, forget=1.5))
        future = self.cluster.submit_to(worker, call, bundle)
        future.add_done_callback(lambda done: self._note(bundle.work.step, done))
        return future

    def _note(self, step: str, done: Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None:
            self.did.append((step, done.result().worker))

    def everywhere(self, call: Callable[..., Any], /, *arguments: Any) -> None:
        if not self.killed:
            self.cluster.everywhere(call, *arguments)

    def addresses(self) -> frozenset[str]:
        return self.cluster.addresses()


class Threads(ThreadPoolExecutor):
    def __init__(self, away: Away) -> None:
        super().__init__(2)
        self.away = away


@dataclasses.dataclass
class Plugin:
    away: Away

    def open(self) -> Executor:
        return Threads(self.away)


def run(notebook: Path, away: Elsewhere, tmp_path: Path, **more: Any) -> Result:
    engine = plugins.find("engines", "steps").on(Plugin(away))
    options = {"store": str(tmp_path / "store"), **more.pop("options", {})}
    return api.run(notebook, more.pop("given", {}), engine=engine, trackers=(), runs=tmp_path / "runs", options=options)


def contents(tmp_path: Path) -> int:
    return len([path for path in (tmp_path / "store" / "content").glob("*/*") if path.is_file()])


NOTEBOOK = [
    ("parameters", "n: int = 3\ntwice = n * 2"),
    ("imports", "import random\nimport numpy as np\nimport prices"),
    ("setup", "random.seed(5)"),
    ("functions", "def add(a, b):\n    return a + b"),
    (
        "step:first metric:total",
        "values = [random.random() for _ in range(n)]\ntotal = add(twice, n)\nprint(total)\nwords = set('abcdefgh')",
    ),
    ("test:first", "def test_total():\n    assert total == 3 * n"),
    ("step:large", "large = np.arange(100_000.0)\nprint(prices.of(total))"),
    (
        "step:second",
        "print(list(words))\nvalues.append(large.sum())\nprint(len(values), values[0], values[-1], random.random())",
    ),
]


def test_steps_on_a_cluster_that_sees_no_folder_give_what_they_give_here(cluster: Any, tmp_path: Path) -> None:
    """Random streams, modules beside the notebook, tests, metrics, seconds; large values rest in the store."""
    notebook = write_notebook(tmp_path / "nb.ipynb", NOTEBOOK)
    (tmp_path / "prices.py").write_text("import rates\n\ndef of(n):\n    return n * rates.RATE\n")
    (tmp_path / "rates.py").write_text("RATE = 7\n")
    here = api.run(notebook, engine="steps", trackers=(), runs=tmp_path / "runs")
    there = run(notebook, Elsewhere(cluster, near=False), tmp_path)
    assert (there.status, there.failure) == ("finished", None)
    assert [step.printed for step in there.steps] == [step.printed for step in here.steps]
    assert there.steps[1].printed == "63\n"
    assert there.metrics == here.metrics == {"total": 9.0}
    assert [(test.id, test.outcome) for test in there.tests] == [("first::test_total", "passed")]
    assert all(0 < step.seconds < 60 for step in there.steps)
    assert contents(tmp_path) == 1


def test_what_a_process_keeps_brings_later_steps_to_its_worker(cluster: Any, tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "nb.ipynb",
        [
            ("step:a", "numbers = (n * n for n in range(9))\nprint(next(numbers))"),
            ("step:b", "print(next(numbers))"),
            ("step:c", "print(next(numbers))"),
        ],
    )
    away = Elsewhere(cluster)
    result = run(notebook, away, tmp_path)
    assert (result.failure, [step.printed for step in result.steps]) == (None, ["0\n", "1\n", "4\n"])
    assert len({worker for _, worker in away.did}) == 1
    assert [step for step, _ in away.did] == ["a", "b", "c"]


def test_a_failing_cell_has_its_line_and_what_was_printed(cluster: Any, tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1"), ("step:b", "print(x)\nx.nowhere")])
    result = run(notebook, Elsewhere(cluster), tmp_path)
    assert result.failure is not None
    assert (result.failure.step, result.failure.cell, result.failure.line, result.exit_code) == ("b", 1, 2, 1)
    assert result.steps[1].printed == "1\n"


def test_a_limit_of_time_is_kept_where_the_cell_runs(cluster: Any, tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a timeout:0.3", "import time\ntime.sleep(60)")])
    result = run(notebook, Elsewhere(cluster), tmp_path)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.step) == ("timeout", "a")
    assert "limit 0.3 s" in result.failure.message


def test_a_process_that_dies_there_is_told_as_one_that_dies_here(cluster: Any, tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "import os, signal\nos.kill(os.getpid(), 11)")])
    result = run(notebook, Elsewhere(cluster), tmp_path)
    assert result.failure is not None
    assert result.failure.message.startswith("the process died: it was ended by SIGSEGV")


def test_a_file_that_the_worker_does_not_see_is_said(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1")
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "print(open('data.csv').read())")])
    assert run(notebook, Elsewhere(cluster), tmp_path).steps[0].printed == "1\n"
    result = run(notebook, Elsewhere(cluster, near=False), tmp_path)
    assert result.failure is not None
    assert "give it as a URL, or in a folder that all workers see" in result.failure.message


def test_a_secret_never_rests_in_the_store(cluster: Any, tmp_path: Path) -> None:
    source = [
        ("parameters", "token: str = ''  # secret"),
        ("imports", "import numpy as np"),
        ("step:a", "large = [token] + np.arange(100_000.0).tolist()"),
        ("step:b", "print(len(large))"),
    ]
    notebook = write_notebook(tmp_path / "nb.ipynb", source)
    assert api.load_pipeline(notebook).parameters[0].secret
    result = run(notebook, Elsewhere(cluster), tmp_path, given={"token": "hush-hush"})
    assert (result.failure, result.steps[1].printed, contents(tmp_path)) == (None, "100001\n", 0)


def test_what_an_earlier_step_kept_is_there_for_a_later_one(cluster: Any, tmp_path: Path) -> None:
    """The example in one step, the model in another: predictions are made where the model is, and all comes back."""
    source = [
        ("imports", "import numpy as np"),
        ("functions", "class Twice:\n    def predict(self, X):\n        return X[:, 0] * 2"),
        ("step:load example:X", "X = np.arange(6.0).reshape(6, 1)\ny = X[:, 0] * 2"),
        ("step:fit model:line", "X.shape\nline = Twice()"),
    ]
    notebook = write_notebook(tmp_path / "nb.ipynb", source)
    away = Elsewhere(cluster, near=False)
    result = run(notebook, away, tmp_path)
    assert result.failure is None
    kept = {artifact.kind: artifact for artifact in result.artifacts}
    assert {"example", "model", "predictions"} <= kept.keys()
    for artifact in kept.values():
        assert (Path(result.directory) / artifact.path).exists()


def test_a_step_whose_worker_is_lost_is_done_by_another(cluster: Any, tmp_path: Path) -> None:
    path = tmp_path / "began"
    path.touch()
    source = (
        "import os, psutil, time\n"
        f"with open({str(path)!r}, 'a') as file:\n"
        "    print(psutil.Process(os.getppid()).ppid(), file=file, flush=True)\n"
        "time.sleep(1.5)\nprint('done')"
    )
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", source), ("step:b", "print(2)")])
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(run, notebook, Elsewhere(cluster), tmp_path)
        while not (began := path.read_text().split()) and not running.done():
            time.sleep(0.02)
        os.kill(int(began[0]), signal.SIGKILL)
        result = running.result()
    assert (result.failure, [step.printed for step in result.steps]) == (None, ["done\n", "2\n"])
    assert len(set(path.read_text().split())) == 2


def test_a_lost_worker_that_kept_a_value_is_a_failure_that_names_it(cluster: Any, tmp_path: Path) -> None:
    class Dying(Elsewhere):
        def submit_to(self, worker: str, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
            if worker:
                os.kill(cluster.client.run(os.getpid, workers=[worker])[worker], signal.SIGKILL)
            return super().submit_to(worker, call, *arguments)

    source = [("step:a", "numbers = (n for n in range(9))"), ("step:b", "print(next(numbers))")]
    away = Dying(cluster)
    result = run(write_notebook(tmp_path / "nb.ipynb", source), away, tmp_path)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.step, result.exit_code) == ("kernel", "b", 6)
    assert f"the worker {away.did[0][1]}, which kept it, is lost" in result.failure.message


def places() -> int:
    from nb2prod.engines import _remote_worker

    return len(_remote_worker._places)


def left_on(cluster: Any) -> int:
    """What workers keep of runs, when they have had the time to hear that these are over."""
    end = time.monotonic() + 20
    while (left := sum(cluster.client.run(places).values())) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def test_nothing_of_a_run_stays_on_the_workers(cluster: Any, tmp_path: Path) -> None:
    """Also when the driver was killed, and could not say that the run is over."""
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "print(1)")])
    for killed in (False, True):
        assert run(notebook, Elsewhere(cluster, killed=killed), tmp_path).status == "finished"
        assert left_on(cluster) == 0


def test_a_piece_that_comes_after_the_end_of_its_run_begins_nothing(cluster: Any, tmp_path: Path) -> None:
    """One that was still on its way when another one failed."""
    from nb2prod.engines import _remote_worker

    bundles: list[Any] = []

    class Keeping(Elsewhere):
        def submit_to(self, worker: str, call: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
            bundles.append(arguments[0])
            return super().submit_to(worker, call, *arguments)

    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "print(1)")])
    assert run(notebook, Keeping(cluster), tmp_path).status == "finished"
    late = [cluster.submit_to(where, _remote_worker.run, bundles[0]).result() for where in sorted(cluster.addresses())]
    assert [answer.ended for answer in late] == ["the run is over"] * 2
    assert left_on(cluster) == 0


# -- what an earlier run has left ------------------------------------------------------------------------------------

CACHED = [
    ("parameters", "n: int = 3"),
    ("imports", "import os\nimport random\nimport numpy as np\nimport prices"),
    ("setup", "random.seed(5)"),
    ("step:load", "large = np.arange(100_000.0)\nwith open('data.txt') as file:\n    text = file.read()\nprint(text)"),
    ("step:use metric:total", "total = float(large.sum()) * prices.FACTOR * n\nprint(total, random.random())"),
    ("step:ask", "print(os.environ.get('NB_TEST_PLACE', 'nowhere'))"),
]


@dataclasses.dataclass
class Own(Elsewhere):
    """Workers that the run has started for itself."""

    is_own: bool = True


def statuses(result: Result) -> dict[str, str]:
    """`skipped`, or why it ran."""
    assert result.failure is None
    return {step.name: step.status if step.status == "skipped" else step.reason for step in result.steps}


def test_what_would_be_the_same_again_is_taken_whoever_left_it(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker, which has put the large value into the store itself, or a process of the engine's."""
    notebook = write_notebook(tmp_path / "nb.ipynb", CACHED)
    (tmp_path / "prices.py").write_text("FACTOR = 2\n")
    (tmp_path / "data.txt").write_text("one")
    cached = {"options": {"cache": True}}
    monkeypatch.setenv("NB_TEST_PLACE", "here")  # the workers have been started without it

    def here(**given: Any) -> Result:
        where = {"trackers": (), "runs": tmp_path / "runs", "store": tmp_path / "store"}
        return api.run(notebook, given, engine="steps", **where)

    first = run(notebook, Own(cluster), tmp_path, **cached)
    assert set(statuses(first).values()) == {"first run"}
    again = run(notebook, away := Own(cluster), tmp_path, **cached)
    assert statuses(again) == {
        "load": "skipped",
        "use": "skipped",
        "ask": "it reads variable NB_TEST_PLACE, which its worker has otherwise",
    }
    assert {step for step, _ in away.did if step} == {"ask"}
    assert [step.printed for step in again.steps] == [step.printed for step in first.steps]
    assert (again.metrics, statuses(here())["use"]) == (first.metrics, "skipped")
    assert statuses(here(n=4)) == {"load": "skipped", "use": "parameter n changed", "ask": "skipped"}
    assert set(statuses(run(notebook, Own(cluster), tmp_path, given={"n": 4}, **cached)).values()) == {"skipped"}
    (tmp_path / "data.txt").write_text("two")
    changed = run(notebook, Own(cluster), tmp_path, **cached)
    assert (statuses(changed)["load"], changed.steps[0].printed) == ("file data.txt changed", "two\n")
    assert statuses(changed)["use"] == "skipped"


# -- joblib ----------------------------------------------------------------------------------------------------------

JOBS = [
    ("imports", "import os\nfrom joblib import Parallel, delayed"),
    ("functions", "def place(n):\n    sum(range(200_000))\n"
     "    return n * n, os.getpid(), Parallel(n_jobs=2)(delayed(os.getpid)() for _ in 'ab')"),
    ("step:left", "left = Parallel(n_jobs=2)(delayed(place)(n) for n in range(6))\nprint([n for n, _, _ in left])"),
    ("step:right", "right = Parallel(n_jobs=-1)(delayed(place)(n) for n in range(6))\nprint([n for n, _, _ in right])"),
    ("step:alone", "mine = Parallel()(delayed(place)(n) for n in range(2))\n"
     "print({pid for _, pid, _ in mine} == {os.getpid()})"),
    ("step:tell", "both = left + right\nprint(sorted({pid for _, pid, _ in both}), "
     "all(inner == [pid] * 2 for _, pid, inner in both))"),
]  # fmt: skip


def test_jobs_of_a_step_are_done_by_the_workers_and_come_to_the_same(cluster: Any, tmp_path: Path) -> None:
    """Each job alone in its place, also when as many steps as there are places wait for their jobs."""
    notebook = write_notebook(tmp_path / "nb.ipynb", JOBS)
    there = run(notebook, Own(cluster), tmp_path, options={"cache": True})
    squares = "[0, 1, 4, 9, 16, 25]\n"
    assert (there.failure, [step.printed for step in there.steps[:3]]) == (None, [squares, squares, "True\n"])
    workers = set(cluster.client.run(os.getpid).values())
    pids, alone = there.steps[3].printed.strip().rsplit(" ", 1)
    assert (set(json.loads(pids)) <= workers, alone) == (True, "True")
    again = run(notebook, Own(cluster), tmp_path, options={"cache": True})
    assert set(statuses(again).values()) == {"skipped"}
