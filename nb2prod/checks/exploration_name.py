"""A step reads a name that an exploration cell binds or changes.

A cell without a tag is exploration: it runs in the notebook and in a headless run of the whole notebook, and goes no
further. A step that depends on one would get another value, or none, in a package or a project. Tag the cell as part
of a step, or let the step bind the name itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline, Read

CODE = "exploration-name"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for read in pipeline.reads:
        binding = read.binding
        if read.source == "exploration" or binding is None or binding == read.surviving:
            continue
        severity: Severity = "warning" if binding.changed else SEVERITY
        yield Finding(CODE, severity, _message(read), _fix(read), read.cell, read.line)


def _message(read: Read) -> str:
    assert read.binding is not None
    through = f" through {read.through}" if read.through else ""
    rebinds = "binds" if read.surviving is None else "binds again"
    verb = "may change in place" if read.binding.changed else rebinds
    return f"{read.source} reads `{read.name}`{through}, which exploration cell {read.binding.cell} {verb}"


def _fix(read: Read) -> str:
    assert read.binding is not None
    if read.binding.changed:
        return f"if cell {read.binding.cell} does change it, tag the cell as a step; else let it work on a copy"
    return f"tag cell {read.binding.cell} (step:NAME), or use another name there"
