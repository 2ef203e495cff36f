"""A pipeline is checked: every check there is, its findings and the compiler's, in the order of the notebook."""

from __future__ import annotations

from collections.abc import Iterable

from nb2prod.core.errors import FindingsError
from nb2prod.core.finding import Finding, in_order
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.ports import Check


def check(pipeline: Pipeline, checks: Iterable[Check]) -> tuple[Finding, ...]:
    """All findings, those that the compiler already has included."""
    found = [finding for one in checks for finding in one.check(pipeline)]
    return in_order((*pipeline.findings, *found))


# what reading and compiling find themselves, before any check is asked
COMPILED: dict[str, str] = {
    "duplicate-cell-id": """Two cells have one id.

The file was copied together; cells are told apart by their position. Jupyter mends it when it saves the notebook.""",
    "no-kernel": """The notebook names no kernel.

It runs with the interpreter that runs nb2prod. Choose a kernel in Jupyter and save it.""",
    "parameter-type": """A parameter's type cannot be read from the source.

Types are read without running anything, so a `Literal` has to list plain values.""",
    "syntax": """A cell is no valid Python, magics and shell lines allowed for.

Correct it, or tag it `skip`. In an exploration cell it is a warning, as nothing depends on it.""",
    "tags": """What a cell says of itself makes no sense.

Two roles at once, a step without a name, an option that needs a number and has none: see docs/tags.md.""",
}


def pages(checks: Iterable[tuple[str, Check]]) -> dict[str, str]:
    """The page of every code that a finding may have, by code: the docstring of its check."""
    found = COMPILED | {name: (check.__doc__ or "").strip() for name, check in checks}
    return dict(sorted(found.items()))


def refuse_errors(pipeline: Pipeline, findings: Iterable[Finding], *, isolated: bool = False) -> None:
    """Raise FindingsError when a finding of severity error stands against the pipeline.

    `isolated`: each step is to run in a process of its own, and the findings that speak of that count as errors too.
    """
    errors = [finding for finding in findings if finding.severity == "error" or (isolated and finding.isolated)]
    if errors:
        lines = "\n".join(f"  {f.place}: {f.message} [{f.code}]\n    fix: {f.fix}" for f in errors)
        count = "1 finding" if len(errors) == 1 else f"{len(errors)} findings"
        kind = "that isolated steps cannot have" if isolated else "of severity error"
        raise FindingsError(
            f"{count} {kind}:\n{lines}",
            where=str(pipeline.notebook.path),
            fix=f"correct them; `nb2prod check {pipeline.notebook.path}` shows all",
        )
