"""What star imports bind is asked of the modules themselves, in a process of its own that is then gone.

This runs the modules' code, so it is done on request only; the notebook's own code does not run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Notebook
from nb2prod.language import dialects, stars
from nb2prod.language.plain import plain

LIMIT = 60.0  # seconds for all modules together
_ASK = """
import importlib, json, sys
found = {}
for name in json.loads(sys.argv[1]):
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        found[name] = f"{type(error).__name__}: {error}"
    else:
        public = [word for word in vars(module) if not word.startswith("_")]
        found[name] = sorted(map(str, getattr(module, "__all__", public)))
print("\\n" + json.dumps(found))
"""


def star_names(notebook: Notebook) -> tuple[stars.Names, tuple[Finding, ...]]:
    """What each module gives to `import *`, and a finding for each that cannot be asked."""
    asked = list(_asked(notebook))
    if not asked:
        return {}, ()
    found = _answers(notebook, sorted({module for module, _, _ in asked}))
    problems = [
        Finding("star-import", "warning", f"`from {module} import *` cannot be resolved: {answer}", FIX, cell, line)
        for module, cell, line in asked
        if isinstance(answer := found.get(module, "it did not answer"), str)
    ]
    return {module: tuple(answer) for module, answer in found.items() if not isinstance(answer, str)}, tuple(problems)


FIX = "make the module importable here, or name what the cell uses"


def _asked(notebook: Notebook) -> Iterator[tuple[str, int, int]]:
    """(module, cell, line) of each star import of a cell that is not skipped."""
    for index, said in enumerate(dialects.spoken(notebook)):
        tree = plain(said.role.body).tree if said is not None and said.role.kind != "skip" else None
        if said is not None and tree is not None:
            yield from ((module, index, line + said.role.line_offset) for module, line in stars.modules(tree))


def _answers(notebook: Notebook, modules: list[str]) -> dict[str, list[str] | str]:
    """Names by module, or why there are none. The process is in the notebook's folder, as the notebook's kernel is."""
    command = [sys.executable, "-c", _ASK, json.dumps(modules)]
    try:
        done = subprocess.run(
            command, cwd=notebook.folder, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return dict.fromkeys(modules, f"importing took longer than {LIMIT:g} s")
    try:
        answers: dict[str, list[str] | str] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return dict.fromkeys(modules, f"importing ended the process: {said}")
    return answers
