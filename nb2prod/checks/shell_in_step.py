"""A step, or a cell that every step has first, calls the shell.

What `!command` or a `%%bash` cell does depends on the machine: on the programs that are installed, on the files that
lie about, on who runs it. The whole notebook in one kernel runs it as Jupyter does. Isolated steps run it only with
`--allow-shell`, because nothing is known of what such a line reads and writes. That goes for cells tagged `parameters`,
`imports`, `functions` and `setup` too, and for the `except` of an import in an exploration cell, as they run there as
well. Where a line of Python does the same (`pathlib`, `shutil`, `urllib.request`), it says more and runs anywhere;
lines that install packages belong in a cell of their own, or in the project's requirements.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline, Role
from nb2prod.language import surroundings
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.plain import Magic
from nb2prod.language.secrets import masked

CODE = "shell-in-step"
SEVERITY: Severity = "note"
SHELLS = frozenset(("!", "%sx", "%system", "%%!", "%%sx", "%%system", "%%bash", "%%sh", "%%script"))
LONGEST = 60


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in code_cells(pipeline):
        imports = _lines_of_imports(cell)
        for magic in cell.parsed.magics:
            if magic.name in SHELLS and (cell.role.kind != "exploration" or magic.line in imports):
                message = f"{_who(cell.role)} calls the shell: `{_shown(magic)}`"
                fix = "do it in Python where that is possible; isolated steps run it only with --allow-shell"
                line = magic.line + cell.role.line_offset
                yield Finding(CODE, SEVERITY, message, fix, cell.index, line, isolated=True)


def _lines_of_imports(cell: CodeCell) -> frozenset[int]:
    """All that isolated steps run of an exploration cell."""
    spans = ((node.lineno, node.end_lineno or node.lineno) for node in cell.tree.body if surroundings.is_import(node))
    return frozenset(line for first, last in spans for line in range(first, last + 1))


def _who(role: Role) -> str:
    if role.kind == "step":
        return f"step {role.name}"
    return "an import in an exploration cell" if role.kind == "exploration" else f"a cell tagged {role.kind}"


def _shown(magic: Magic) -> str:
    text = f"{magic.name}{'' if magic.name == '!' else ' '}{magic.arguments}".strip().partition("\n")[0]
    text = masked(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
