"""One model for all rows: the notebook runs once more, with the whole table in place of one group's rows.

It is what a key without a model of its own may fall back on (`stages/routes.py`). Parameters that are key columns have
the notebook's own values meanwhile, for the whole table has no key: `told` says so, and so does the package's card.
"""

from __future__ import annotations

import dataclasses
import pickle

from nb2prod.core.distribution import headline
from nb2prod.core.errors import NotebookFailed, UsageError
from nb2prod.core.mapping import Item, MapPlan
from nb2prod.kernel import map_work
from nb2prod.kernel.map_job import Job
from nb2prod.stages.mapping.table import Items


def pooled_model(plan: MapPlan, items: Items, job: Job) -> tuple[bytes, str]:
    """(the model, pickled, what is to be told of it). Raises NotebookFailed when the notebook fails on all rows."""
    if items.frame is None:
        raise UsageError(
            "a pooled model needs a map with --by, whose notebook takes the rows as a table",
            fix="another --fallback: refuse, null or item:NUMBER",
        )
    job = dataclasses.replace(job, digest=f"{job.digest} pooled", timeout=None, proofs=frozenset())
    item = Item(0, {}, {}, (0, len(items.frame)))
    try:
        (result,) = map_work.work(job, [item], pickle.dumps(items.frame, protocol=5))
    finally:
        map_work.close(job.digest)
    if result.status != "ok" or result.model is None:
        why = headline(result) or "it makes no model"
        where = f"cell {result.cell}" if result.cell is not None else ""
        raise NotebookFailed(f"on all rows of the table the notebook does not work: {why}", where=where)
    return result.model, told(plan, len(items.frame))


def told(plan: MapPlan, rows: int) -> str:
    own = {parameter.name: parameter for parameter in plan.pipeline.parameters if parameter.name in plan.by}
    held = ", ".join(f"{name} = {parameter.expression}" for name, parameter in own.items() if not parameter.secret)
    keys = f", with the notebook's own {held}" if held else ""
    return f"the pooled model was fitted on all {rows:,} rows of the table{keys}"
