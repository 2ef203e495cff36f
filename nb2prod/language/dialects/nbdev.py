"""nbdev and Quarto: comments at the top of a cell (`#| export`), the same in the cell's metadata, and front matter.

| directive | here |
| --- | --- |
| `export`, `exports`, `exporti` | `functions`, unless the cell has a role of ours |
| `eval: false` | `skip` |
| `default_exp`, `hide`, `exportd`, `exec_doc`, `filter_stream`, `notest`, … | kept as `#|NAME` |
| Quarto's `echo:`, `output:`, `include:`, `code-fold:`, `label:`, … | kept as `#|NAME` |
| `#| hide_line` at the end of a line | a comment |
| front matter `skip_exec: true` | a remark: nbdev leaves the notebook alone, and a run that is asked for runs it |

nbdev 1 wrote `#export` without the bar; that is read where a cell says `#default_exp`, and is a comment elsewhere.
Metadata `nbdev` of a cell counts like comments, which win; the notebook's counts for the first code cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.language.dialects._dialect import KEPT, Dialect, Remark, Said, code_cells
from nb2prod.language.tags import BARE, NAMED

DIRECTIVE = re.compile(r"#\s*\|\s*(?P<name>[\w-]+)\s*:?\s*(?P<value>.*)")
OLD = re.compile(r"#\s*(?P<name>default_exp|exports?|exporti|hide|hide_input|hide_output)\b\s*(?P<value>[\w.]*)\s*")
OLD_NOTEBOOK = re.compile(r"\s*#\s*default_exp\s+\S+")
EXPORTS = {"export", "exports", "exporti"}
SKIP_EXEC = re.compile(
    r"\A---\s*$.*^skip_exec\s*:\s*(true|yes)\s*$.*^---\s*\Z", re.MULTILINE | re.DOTALL | re.IGNORECASE
)


def _hear(notebook: Notebook, cell: Cell, tags: tuple[str, ...]) -> tuple[str, ...]:
    said = _directives(notebook, cell) if cell.kind == "code" else {}
    if not said:
        return tags
    kept = tuple(f"#|{name}:{value}" if value else f"#|{name}" for name, value in said.items())
    if said.get("eval", "").lower() in ("false", "no"):
        return (*tags, *kept, "skip")
    # a tag or a magic of ours says more exactly what the cell is for
    has_role = any(tag.partition(":")[0] in (*BARE, *NAMED) for tag in tags)
    return (*tags, *kept, "functions") if EXPORTS & said.keys() and not has_role else (*tags, *kept)


def _directives(notebook: Notebook, cell: Cell) -> dict[str, str]:
    said: dict[str, str] = {}
    if "nbdev" in notebook.metadata and cell is next(code_cells(notebook), None):
        said |= _in_metadata(notebook.metadata)
    said |= _in_metadata(cell.metadata)
    if "#" not in cell.source:
        return said
    for line in _head(cell.source):
        old = OLD.fullmatch(line)
        found = DIRECTIVE.fullmatch(line) or (old if old and _is_old(notebook) else None)
        if found:
            said[found["name"]] = found["value"].strip()
    return said


def _is_old(notebook: Notebook) -> bool:
    return any(OLD_NOTEBOOK.match(cell.source) for cell in code_cells(notebook))


def _in_metadata(metadata: Mapping[str, object]) -> dict[str, str]:
    told = metadata.get("nbdev")
    if not isinstance(told, dict):
        return {}
    return {str(name): "" if str(value).lower() == "true" else str(value) for name, value in told.items()}


def _head(source: str) -> Iterator[str]:
    """The comment lines at the top of a cell, where directives stand."""
    for line in source.splitlines():
        if line.strip() and not line.lstrip().startswith(("#", "%%")):
            return
        yield line.strip()


def _remark(notebook: Notebook, said: Said) -> Iterator[Remark]:
    first = next((cell for cell in notebook.cells if cell.kind == "raw"), None)
    if first is not None and SKIP_EXEC.match(first.source.strip()):
        message = "`skip_exec: true` keeps nbdev from running the notebook; a run that is asked for here runs it"
        yield Remark(first.index, message, "nothing, if that is what you want")


DIALECT = Dialect(tags=((r"#\|.*", KEPT),), hear=_hear, remark=_remark)
