"""Batch scoring: a package's model answers for every row of tables of any length, within bounded memory.

    data        Parquet and CSV files, folders and patterns
    checked     the package first, by the consumer's policy; then each row, as the service checks it
    output      chosen columns and the predictions, in the order of the rows, as one Parquet or CSV file
    rejected    the rows that do not fit: which one, which column, why

A call that was stopped goes on at the last whole block when it is made again (`scoring/parts.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from nb2prod.core.errors import FindingsError
from nb2prod.core.policy import Policy
from nb2prod.core.scored import OnBadRows, Runtime, Scored
from nb2prod.serving.package_folder import PackageFolder
from nb2prod.stages.admission import admitted
from nb2prod.stages.scoring import reading, writing
from nb2prod.stages.scoring.one_file import Tell, Work, checker_of, kept_columns, opened, rows_at_once, score_files
from nb2prod.stages.scoring.parts import Parts, Request


def score(
    package: Path | str,
    data: Sequence[Path | str],
    output: Path | str,
    *,
    keep: Sequence[str] | None = None,
    on_bad_rows: OnBadRows = "reject",
    runtime: Runtime = "auto",
    missing: Sequence[str] = (),
    fresh: bool = False,
    block: int | None = None,
    policy: Policy | None = None,
    work: Work = score_files,
    tell: Tell = lambda _: None,
) -> Scored:
    """Score `data` into `output`, a .parquet or .csv file.

    `keep` are the data's columns that the output has as well, all of them by default. Bad rows are left out of the
    output and told in `OUTPUT.rejected…`, or, with `refuse`, nothing is written at all. `missing` are words of a CSV
    file that stand for a missing value. `fresh` forgets an earlier call that was stopped; `policy` says what may be
    loaded; `work` does it elsewhere.

    Raises NotProved or StoreError for a package that is not whole, UsageError for data that can never fit,
    FindingsError for bad rows that are to be refused, NotebookFailed when the model raises for most rows.
    """
    began = time.monotonic()
    place, out = Path(package).absolute(), Path(output).absolute()
    sources = reading.sources(data)
    writing.refuse_output(out, [source.path for source in sources])
    with admitted(place, policy) as copy, opened(copy) as known:
        request = Request(
            package=str(place),
            digest=known.digest,
            sources=sources,
            output=str(out),
            keep=None if keep is None else tuple(keep),
            on_bad_rows=on_bad_rows,
            runtime=runtime,
            missing=tuple(missing),
            block=block or rows_at_once(known),
        )
        _refuse_before(request, known)
        parts = Parts(request)
        with parts.alone():
            return _scored(request, known, parts, fresh, work, tell, began)


def _refuse_before(request: Request, known: PackageFolder) -> None:
    """What can be known of every file before the first is scored."""
    for source in request.sources:
        there = reading.columns(source)
        checker_of(known, source, there)
        kept_columns(request.keep, there, source)


def _scored(
    request: Request, known: PackageFolder, parts: Parts, fresh: bool, work: Work, tell: Tell, began: float
) -> Scored:
    files = range(len(request.sources))
    parts.begin(fresh=fresh)
    before = sum(parts.done(number).rows for number in files)
    try:
        runtime = work(request, known.path, files, tell)
    except BaseException as error:
        # a refusal leaves nothing, what was done before another error is kept for the next call
        if isinstance(error, FindingsError) or not any(parts.done(number).rows for number in files):
            parts.discard()
        raise
    out = Path(request.output)
    said = {"package": known.name, "version": known.version, "digest": f"sha256:{known.digest}"}
    writing.assemble(parts, tuple(source.path for source in request.sources), out, said)
    done = [parts.done(number) for number in files]
    rejected = sum(one.rejected for one in done)
    reasons = dict(parts.reasons(len(files)).most_common())
    parts.discard()
    return Scored(
        package=known.name,
        version=known.version,
        digest=known.digest,
        runtime=runtime,
        inputs=tuple(source.path for source in request.sources),
        output=str(out),
        rows=sum(one.rows for one in done),
        rejected=rejected,
        rejected_to=str(writing.rejected_of(out)) if rejected else "",
        reasons=reasons,
        resumed=before,
        seconds=time.monotonic() - began,
    )
