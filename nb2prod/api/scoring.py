"""Batch scoring: a package's model answers for all rows of tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nb2prod.core.scored import Advance, OnBadRows, Runtime, Scored


def score(
    package: Path | str,
    data: Path | str | Sequence[Path | str],
    output: Path | str,
    *,
    keep: Sequence[str] | None = None,
    on_bad_rows: OnBadRows = "reject",
    runtime: Runtime = "auto",
    missing: Sequence[str] = (),
    fresh: bool = False,
    executor: str = "serial",
    workers: int | None = None,
    scheduler: str = "",
    policy: Path | str | None = None,
    tell: Callable[[Advance], None] = lambda _: None,
) -> Scored:
    """The predictions for every row of .parquet and .csv files, folders or patterns, as one .parquet or .csv file.

    `keep` names the data's columns that the output has as well (None: all). Rows that do not fit the model's contract
    go to `OUTPUT.rejected…` with row, column and reason, or, with `on_bad_rows="refuse"`, nothing is written. With
    `executor` "processes" or "dask" files are scored at the same time; the result is the same to the last byte.
    `policy` is as in `inspect_package`.
    """
    from nb2prod.api._executors import executor_named
    from nb2prod.stages import score as stage
    from nb2prod.stages.admission import policy_of
    from nb2prod.stages.scoring import elsewhere, one_file

    named = [data] if isinstance(data, str | Path) else list(data)
    count = workers or len(os.sched_getaffinity(0))
    told = executor_named(executor, scheduler=scheduler)
    may = policy_of(policy)
    work = one_file.score_files if executor == "serial" else elsewhere.on(lambda: told.workers(count), count, may)
    return stage.score(
        package,
        named,
        output,
        keep=keep,
        on_bad_rows=on_bad_rows,
        runtime=runtime,
        missing=missing,
        fresh=fresh,
        policy=may,
        work=work,
        tell=tell,
    )
