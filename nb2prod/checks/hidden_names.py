"""Names are read or bound where no analysis can see it: `exec`, `globals()`, `%run`, `get_ipython().run_cell`, ….

    exec("rate = 0.3")          nothing says that the cell binds rate
    globals()["rate"] = 0.3     rate = 0.3 says it
    %run prepare.py             from prepare import frame says which names come from there

The whole notebook runs all the same. Isolated steps get what their code names, so they could miss what is hidden.
Calls that only look (`locals()` in a function, `eval` of a literal, `%who`) are fine.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells

CODE = "hidden-names"
SEVERITY: Severity = "warning"
ASSIGN = "write the names down: `name = value`, or a dictionary of your own"
# calls that reach names of the notebook wherever they stand, and those that do so at the top level alone
EVERYWHERE = {
    "exec": "write the code itself",
    "globals": ASSIGN,
    "eval": "write the expression itself, or ast.literal_eval for data",
}
FRAMES = frozenset({"gc.get_objects", "gc.get_referrers", "sys._getframe", "sys._current_frames",
                    "inspect.currentframe", "inspect.stack"})  # fmt: skip
AT_TOP = {"locals": ASSIGN, "vars": ASSIGN, "dir": "say which names are meant"}
SHELL = {"user_ns": ASSIGN, "run_cell": "write the code in a cell", "ex": "write the code itself",
         "ev": "write the expression itself", "push": ASSIGN, "user_global_ns": ASSIGN, "del_var": "write del name",
         "reset": "restart the kernel instead", "run_code": "write the code in a cell",
         "safe_execfile": "import the file"}  # fmt: skip
MAGICS = {
    "run": "import what you need from the file", "load": "keep what it loads in the cell, without the magic",
    "loadpy": "keep what it loads in the cell, without the magic", "store": "read and write a file by its path",
    "macro": "write a function", "reset": "delete names with del", "reset_selective": "delete names with del",
    "xdel": "delete names with del", "rerun": "write the code in the cell", "recall": "write the code in the cell",
    "pylab": "import numpy and matplotlib by their names", "edit": "write the code in the cell",
    "cython": "put the code into a module", "cython_inline": "put the code into a module",
    "R": "say which values go in and out with files", "sql": "read the table with pandas.read_sql",
    "bigquery": "read the table with its client", "python2": "run the script with subprocess",
    "px": "write what runs elsewhere as a function", "autopx": "write what runs elsewhere as a function",
}  # fmt: skip


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in code_cells(pipeline, without=("skip",)):
        found = dict.fromkeys([*_calls(cell), *_modules(cell), *_magics(cell)])
        for line, what, fix in sorted(found):
            message = f"`{what}` reaches names that the cell does not show"
            yield Finding(CODE, SEVERITY, message, fix, cell.index, line, isolated=True)


def _calls(cell: CodeCell) -> Iterator[tuple[int, str, str]]:
    at_top = set(cell.top(ast.Call))
    for call in cell.every(ast.Call):
        match call.func:
            case ast.Name(id=name) if name not in cell.parsed.stored:
                if name == "eval" and call.args and isinstance(call.args[0], ast.Constant):
                    continue
                if name in EVERYWHERE:
                    yield cell.line(call), f"{name}(…)" if call.args else f"{name}()", EVERYWHERE[name]
                elif name in AT_TOP and call in at_top and not call.args:
                    yield cell.line(call), f"{name}()", AT_TOP[name]
    for node in cell.every(ast.Attribute):
        if isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in FRAMES:
            yield cell.line(node), f"{node.value.id}.{node.attr}", "use the names themselves"
        match node:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=word) if word in SHELL:
                yield cell.line(node), f"get_ipython().{word}", SHELL[word]


def _modules(cell: CodeCell) -> Iterator[tuple[int, str, str]]:
    """`import __main__`, `sys.modules["__main__"]`, `__import__("__main__")`."""
    for node in cell.every(ast.Import):
        if any(alias.name == "__main__" for alias in node.names):
            yield cell.line(node), "import __main__", "use the names themselves"
    for source in cell.every(ast.ImportFrom):
        if source.module == "__main__":
            yield cell.line(source), "from __main__ import", "use the names themselves"
    for item in cell.every(ast.Subscript):
        if ast.unparse(item.value) == "sys.modules" and not isinstance(item.slice, ast.Constant):
            yield cell.line(item), "sys.modules", "import the module by its name"
    for text in cell.every(ast.Constant):
        if text.value == "__main__" and not _compared(cell, text):
            yield cell.line(text), "__main__", "use the names themselves"


def _compared(cell: CodeCell, text: ast.Constant) -> bool:
    """`if __name__ == "__main__":` asks for no names."""
    return any(text in (node.left, *node.comparators) for node in cell.every(ast.Compare))


def _magics(cell: CodeCell) -> Iterator[tuple[int, str, str]]:
    for magic in cell.parsed.magics:
        word = magic.name.lstrip("%")
        if word in MAGICS:
            yield magic.line + cell.role.line_offset, magic.name, MAGICS[word]
