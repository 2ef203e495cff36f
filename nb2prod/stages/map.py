"""A notebook's pipeline runs once per row or group of a table.

    plan = plan_map(pipeline, table, Wanted(by=("carrier",)), …)     everything is checked, nothing has run
    run_map(plan, items, job, open_executor, sinks) -> MapSummary     runs/<id>/ holds all that comes of it

    map.json           the plan, how many items there are, and when it began
    items.jsonl        a line an item, as soon as its result is there
    models/            the items' models in shards (`storage/shards.py`)
    results.parquet    the table of results

A failing item is a result; the map goes on. Ctrl-C, a kill or a lost cluster ends a map, and `resume` goes on with it:
what has a line in `items.jsonl` is done and is not done again.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nb2prod.core.errors import BadParameter, Nb2prodError, StoreError, UsageError
from nb2prod.core.mapping import (
    STATUSES,
    Isolation,
    Item,
    ItemResult,
    MapPlan,
    MapSink,
    MapSummary,
    Tracking,
    sample_of,
)
from nb2prod.core.pipeline import Parameter, Pipeline
from nb2prod.kernel import map_work
from nb2prod.kernel.map_job import Job
from nb2prod.language.parameter_values import resolve
from nb2prod.stages.mapping.batches import Batches
from nb2prod.stages.mapping.jobs import code_of
from nb2prod.stages.mapping.journal import RESULTS, ItemsJournal, write_results
from nb2prod.stages.mapping.progress import message
from nb2prod.stages.mapping.report import document as judged_document
from nb2prod.stages.mapping.table import Items, Wanted, items_of
from nb2prod.stages.plan import MASK, refuse_early_use, shown
from nb2prod.storage import files
from nb2prod.storage.codec import plain
from nb2prod.storage.shards import Shards, open_shards

FILE = "map.json"
SCHEMA = 1
SYNC = 2.0  # seconds between two moments at which the models are surely on the disk
SHOWN_WORST = 5
Open = Callable[[], Executor]


# -- planning ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class How:
    """How the items run, and what becomes of the results: the options of a map that are not about its table."""

    isolation: Isolation = "fork"
    executor: str = "processes"
    workers: int = 1
    timeout: float | None = None
    tests: bool = True
    track: Tracking = "summary"
    experiment: str = ""
    floors: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def plan_map(
    pipeline: Pipeline,
    table: Path,
    wanted: Wanted,
    how: How,
    *,
    values: Mapping[str, Any],
    texts: Mapping[str, str],
    runs: Path,
) -> tuple[MapPlan, Items]:
    """The plan and its items. Raises BadParameter, UsageError or StoreError; nothing is written yet."""
    notebook = dataclasses.replace(pipeline.notebook, path=pipeline.notebook.path.absolute())
    pipeline = dataclasses.replace(pipeline, notebook=notebook)
    table = table.absolute()
    if wanted.by:
        wanted = dataclasses.replace(wanted, rows=rows_parameter(pipeline.parameters, wanted.rows))
    elif wanted.rows or wanted.min_rows > 1:
        raise UsageError("--rows and --min-rows speak of groups", fix="--by COLUMNS says what a group is")
    found = items_of(table, pipeline.parameters, wanted)
    fixed = _fixed(pipeline, found.items[0], wanted, values, texts)
    run = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-map-{notebook.name}-{secrets.token_hex(2)}"
    plan = MapPlan(
        run=run,
        pipeline=pipeline,
        directory=str((runs / run).absolute()),
        table=str(table),
        digest=files.digest_of(table),
        code=code_of(pipeline),
        given=fixed,
        parameters={name: value for name, value in shown(pipeline, fixed).items() if name != wanted.rows},
        left_out=found.left_out,
        proofs=sample_of([item.number for item in found.items]),
        **_fields(wanted),
        **_fields(how),
    )
    return plan, found


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def rows_parameter(parameters: Sequence[Parameter], name: str) -> str:
    """The parameter that takes a group's rows: the one that is named, or the only one that is a DataFrame."""
    if name:
        if name not in {parameter.name for parameter in parameters}:
            raise BadParameter(f"unknown parameter {name}", fix="name the one that takes a group's rows with --rows")
        return name
    frames = [parameter.name for parameter in parameters if parameter.type.name.rpartition(".")[2] == "DataFrame"]
    if len(frames) == 1:
        return frames[0]
    why = "no parameter is" if not frames else f"the parameters {', '.join(frames)} are"
    raise BadParameter(
        f"{why} a DataFrame, so that it is not clear where a group's rows go",
        fix="declare `rows: pd.DataFrame = pd.read_csv(…)` in the parameters cell, or say --rows NAME",
    )


def _fixed(
    pipeline: Pipeline, first: Item, wanted: Wanted, values: Mapping[str, Any], texts: Mapping[str, str]
) -> dict[str, Any]:
    """The parameters that are the same for all items, checked."""
    for name in (*values, *texts):
        if name in first.given or name == wanted.rows:
            raise BadParameter(f"parameter {name} is given by the table, and once more by name", fix="give it once")
    others = [p for p in pipeline.parameters if p.name not in first.given and p.name != wanted.rows]
    fixed = resolve(others, values, texts)
    refuse_early_use(pipeline, {**fixed, **first.given, **({wanted.rows: None} if wanted.rows else {})})
    return fixed


# -- a map that goes on -----------------------------------------------------------------------------------------------


def resume_map(
    directory: Path, pipeline_of: Callable[[Path], Pipeline], *, texts: Mapping[str, str], values: Mapping[str, Any]
) -> tuple[MapPlan, Items]:
    """The plan of an earlier map, and its items, made anew. Raises when notebook or table are not what they were."""
    content = read_plan(directory)
    kept = content["plan"]
    pipeline = pipeline_of(Path(kept["pipeline"]["notebook"]["path"]))
    if code_of(pipeline) != kept["code"]:
        raise UsageError(
            "the notebook's code is not what it was when the map began: its items would not be of one kind",
            where=str(pipeline.notebook.path),
            fix="start a new map, or put the notebook back",
        )
    table = Path(kept["table"])
    if not table.is_file() or files.digest_of(table) != kept["digest"]:
        raise StoreError("the table is not what it was when the map began", where=str(table), fix="start a new map")
    wanted = Wanted(**{field.name: _tupled(kept[field.name]) for field in dataclasses.fields(Wanted)})
    how = How(**{field.name: _tupled(kept[field.name]) for field in dataclasses.fields(How)})
    hidden = {parameter.name for parameter in pipeline.parameters if parameter.secret}
    for name in content["given"].keys() & hidden - {*texts, *values}:
        raise BadParameter(f"the secret parameter {name} is not kept in a run", fix=f"give it again: -p {name} VALUE")
    before = {name: value for name, value in content["given"].items() if name not in hidden}
    plan, items = plan_map(
        pipeline, table, wanted, how, values={**before, **values}, texts=texts, runs=directory.absolute().parent
    )
    if _given(plan, hidden) != content["given"]:
        raise BadParameter(
            "the parameters are not those that the map began with", fix="leave them out, or start a new map"
        )
    return dataclasses.replace(plan, run=kept["run"], directory=str(directory.absolute()), resumed=True), items


def is_map(directory: Path) -> bool:
    return (directory / FILE).is_file()


def read_plan(directory: Path) -> dict[str, Any]:
    """`map.json` of a run. Raises StoreError."""
    path = directory / FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError("there is no map here", where=str(path)) from error
    except ValueError as error:
        raise StoreError(f"it is damaged: {error}", where=str(path)) from error
    if content.get("schema") != SCHEMA:
        raise StoreError(f"it was written by another nb2prod (schema {content.get('schema')})", where=str(path))
    return content


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _given(plan: MapPlan, hidden: Collection[str]) -> dict[str, Any]:
    """The fixed parameters as `map.json` has them, secrets masked."""
    return {name: MASK if name in hidden else plain(value) for name, value in plan.given.items()}


# -- running ----------------------------------------------------------------------------------------------------------


def run_map(plan: MapPlan, items: Items, job: Job, open_executor: Open, sinks: Sequence[MapSink]) -> MapSummary:
    """Run the items to their end, or to the end that Ctrl-C or a lost worker makes. Raises what is nb2prod's own."""
    directory = Path(plan.directory)
    with _alone(directory):
        if not plan.resumed:
            _write_plan(plan, len(items.items))
        drive = _Drive(plan, items, job, open_executor, sinks)
        return drive.run()


class _Drive:
    """One map while it runs."""

    def __init__(self, plan: MapPlan, items: Items, job: Job, open_executor: Open, sinks: Sequence[MapSink]) -> None:
        self.plan, self.items, self.job, self.sinks = plan, items, job, sinks
        self.batches = Batches(job, items.frame, plan.workers, open_executor)
        self.by_number = {item.number: item for item in items.items}
        self.began = time.monotonic()
        self.synced = self.began
        self.counts: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.before = 0

    def run(self) -> MapSummary:
        stopped, error = "", None
        with open_shards(Path(self.plan.directory)) as shards:
            journal = ItemsJournal(Path(self.plan.directory))
            try:
                for sink in self.sinks:
                    sink.begin(self.plan, len(self.items.items))
                self._recall(journal)
                self._all(journal, shards)
            except KeyboardInterrupt:
                stopped = "interrupted"
            except Nb2prodError as caught:
                stopped, error = caught.what, caught
            except BaseException as caught:
                stopped = f"{type(caught).__name__}: {caught}"
                raise
            finally:
                summary = self._ended(journal, stopped)
        if error is not None:
            raise error
        return summary

    def _all(self, journal: ItemsJournal, shards: Shards) -> None:
        try:
            left = [item for item in self.items.items if item.number not in journal.places]
            for results in self.batches.results(left):
                self._keep([_at_rest(result, shards) for result in results], journal)
                if time.monotonic() - self.synced > SYNC:
                    shards.sync()
                    self.synced = time.monotonic()
        finally:
            self.batches.close()
            map_work.close(self.job.digest)

    def _recall(self, journal: ItemsJournal) -> None:
        """A resumed map tells its sinks what was done before."""
        self.before = len(journal.places)
        if self.before:
            self._tell(list(journal.read(self.by_number)))

    def _keep(self, results: list[ItemResult], journal: ItemsJournal) -> None:
        if results:
            journal.append(results)
        self._tell(results)

    def _tell(self, results: list[ItemResult]) -> None:
        for result in results:
            self.counts[result.status] += 1
            if result.status != "ok":
                self.messages[message(result)] += 1
        for sink in self.sinks:
            sink.hear(results)

    def _ended(self, journal: ItemsJournal, stopped: str) -> MapSummary:
        directory = Path(self.plan.directory)
        results = write_results(directory / RESULTS, self.plan, self.items.items, journal.read(self.by_number))
        journal.close()
        summary = MapSummary(
            run=self.plan.run,
            directory=self.plan.directory,
            total=len(self.items.items),
            counts={status: self.counts[status] for status in STATUSES},
            seconds=time.monotonic() - self.began,
            before=self.before,
            left_out=self.plan.left_out,
            results=str(results),
            worst=tuple(self.messages.most_common(SHOWN_WORST)),
            stopped=stopped,
        )
        for sink in self.sinks:
            sink.end(summary)
        return summary


def _at_rest(result: ItemResult, shards: Shards) -> ItemResult:
    """The result with its model in a shard, and a reference to it in its place."""
    if result.proof is not None:
        shards.put_proof(result.number, result.proof)
    kept = None if result.model is None else shards.put(result.model, result.number)
    return dataclasses.replace(result, model=None, proof=None, kept=kept)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two processes that go on with one map would do its items twice."""
    from filelock import FileLock, Timeout

    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / ".map.lock", timeout=0):
            yield
    except Timeout as error:
        raise StoreError("another process runs this map", where=str(directory), fix="wait until it ends") from error


def _write_plan(plan: MapPlan, total: int) -> None:
    hidden = {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}
    masked = {name: MASK if name in hidden else value for name, value in plan.given.items()}
    content = {
        "schema": SCHEMA,
        "plan": plain(dataclasses.replace(plan, given=masked)),
        "given": _given(plan, hidden),
        "total": total,
        "started": time.time(),
    }
    files.write_text(Path(plan.directory) / FILE, json.dumps(content, ensure_ascii=False, indent=1))


def document(summary: MapSummary) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "schema": "nb2prod/map/1",
        "run": summary.run,
        "status": "stopped" if summary.stopped else "finished",
        "stopped": summary.stopped or None,
        "items": summary.total,
        "done": summary.done,
        "before": summary.before,
        "left_out": summary.left_out,
        "counts": dict(summary.counts),
        "seconds": round(summary.seconds, 3),
        "failures": [{"message": text, "items": count} for text, count in summary.worst],
        "floors": [judged_document(judgement) for judgement in summary.judged],
        "mlflow": dict(summary.tracked) or None,
        "directory": summary.directory,
        "results": summary.results,
    }
