"""A pipeline is checked: every check there is, its findings and the compiler's, in the order of the notebook.

    check(pipeline, checks)            everything that stands against the pipeline; a run is refused by its errors
    heard(pipeline, findings, codes)   what a person is told: without what comments in the notebook silence

An error cannot be silenced: it says that no pipeline comes out that one can trust.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from nb2prod.core.errors import FindingsError, Nb2prodError
from nb2prod.core.finding import Finding, in_order
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.ports import Check
from nb2prod.language.ignores import Ignore, ignores

USELESS = "useless-ignore"
ALWAYS_ERRORS = frozenset({"parameter-type", "tags"})  # of the compiler's own findings


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one notebook. `pipeline` is None, and `problem` says why, when it could not be read.

    `failed` says whether a finding is as bad as the settings allow none to be. `fixable` counts what `--fix` corrects.
    """

    notebook: str
    findings: tuple[Finding, ...] = ()
    pipeline: Pipeline | None = None
    problem: Nb2prodError | None = None
    failed: bool = False
    fixable: int = 0


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
    "python-2": """The notebook was written for Python 2.

Its kernel or its metadata say so. Python 3 runs it, and where both read a line they may mean different things by it:
`3 / 2` was 1 and is 1.5. Rewrite it (`2to3` does most of that), look at every division, and save it with a kernel of
Python 3.""",
    "syntax": """A cell is no valid Python, magics and shell lines allowed for.

Correct it, or tag it `skip`. In an exploration cell it is a warning, as nothing depends on it.""",
    "tags": """What a cell says of itself makes no sense.

Two roles at once, a step without a name, an option that needs a number and has none: see docs/tags.md.""",
    USELESS: """A comment `# nb2prod: ignore[…]` silences nothing.

There is no finding at its place any more, or the code in it is none. A comment that stays behind would silence the next
finding, which nobody has looked at: take it out, or correct the code. Findings of severity error are never silenced:

    x = undefined          # nb2prod: ignore[undefined-name]      stays an error""",
}


def pages(checks: Iterable[tuple[str, Check]]) -> dict[str, str]:
    """The page of every code that a finding may have, by code: the docstring of its check."""
    found = COMPILED | {name: (check.__doc__ or "").strip() for name, check in checks}
    return dict(sorted(found.items()))


# -- comments that silence ------------------------------------------------------------------------------------------


def heard(pipeline: Pipeline, findings: Iterable[Finding], codes: Collection[str]) -> tuple[Finding, ...]:
    """The findings that no comment silences, and a note for every comment that silences nothing.

    `codes` are all codes that there are, so that a misspelled one is told from one with nothing to say.
    """
    comments = {
        cell: found for cell, role in enumerate(pipeline.roles) if role is not None and (found := ignores(role))
    }
    kept: list[Finding] = []
    used: set[tuple[int, Ignore, str]] = set()
    for finding in findings:
        silencing = [
            (finding.cell, comment, code)
            for comment in comments.get(-1 if finding.cell is None else finding.cell, ())
            for code in (comment.codes or ("",))
            if finding.cell is not None and code in ("", finding.code) and comment.covers(finding.line)
        ]
        if not silencing or finding.severity == "error":
            kept.append(finding)
        else:
            used |= set(silencing)
    useless = [
        _useless(cell, comment, code, codes)
        for cell, found in comments.items()
        for comment in found
        for code in (comment.codes or ("",))
        if (cell, comment, code) not in used
    ]
    return in_order((*kept, *useless))


def _useless(cell: int, comment: Ignore, code: str, codes: Collection[str]) -> Finding:
    spelled = f"ignore[{code}]" if code else "ignore"
    if code and code not in codes:
        near = difflib.get_close_matches(code, codes, n=1)
        fix = f"did you mean {near[0]}?" if near else "take it out: there is no finding of that code"
        return Finding(USELESS, "note", f"`{spelled}` names no code of a finding", fix, cell, comment.line)
    message = f"`{spelled}` silences nothing here; errors cannot be silenced"
    return Finding(USELESS, "note", message, "take the comment out", cell, comment.line)


# -- what a run refuses ---------------------------------------------------------------------------------------------


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
