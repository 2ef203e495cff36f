"""Why the two ways to run a notebook part: what the runs show first, what the code shows second.

two linear runs differ             the notebook is not reproducible: `seed`, `clock`, or `outside`
a second isolated run agrees       a run leaves something behind that the next one finds: `order`, or `outside`
the value left a step as it should `on the way`: its class is pickled in its own way, or it shares what nobody sees
a cell changed the name            `hidden state` when isolated steps leave that cell out, else `alias`
none of these                      `hidden state` in a module beside the notebook, else `unknown`
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nb2prod.core.equality import Boundary, Cause
from nb2prod.core.pipeline import SHARED, Pipeline, Role
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.imported import dotted, imported

CLOCKS = re.compile(
    r"time\.(time|time_ns|perf_counter|perf_counter_ns|monotonic|process_time|ctime|localtime|gmtime|strftime)"
    r"|datetime\.(datetime|date)\.(now|utcnow|today)|pandas\.Timestamp\.(now|utcnow|today)"
)
STREAMS = re.compile(r"((?:numpy\.)?random|torch)\.(?!seed$|get_?state$|set_?state$|Generator$|SeedSequence$)\w+")
NEVER_SEEDED = re.compile(r"uuid\.uuid[14]|secrets\.\w+|os\.urandom|random\.SystemRandom")
GENERATORS = ("default_rng", "RandomState", "Random")
SEEDING = ("seed", "manual_seed", "default_rng", "RandomState", "Random")
SKLEARN = ("train_test_split", "shuffle", "resample", "permutation_importance", "make_classification", "make_blobs")
METHODS = ("sample", "shuffle", "choice", "permutation", "normal", "rand", "randn", "randint", "random", "uniform")
FILES = re.compile(
    r"open|.*\.(read_\w+|open|load|loadtxt|imread|glob|listdir|exists|urlopen|get|connect|run|check_output)"
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What further runs said of the first difference. None: there was no such run.

    `reproducible`: a second linear run gave what the first gave. `repeated`: a second isolated run still differs.
    `changed_in` are the cells after which the name was another in the notebook, `left_equal` the step that it last left
    as in the notebook, `older` says that isolated steps have a value that the name had before.
    """

    reproducible: bool = True
    repeated: bool | None = None
    changed_in: tuple[int, ...] = ()
    left_equal: str | None = None
    only_read: bool = False
    older: bool = False


def cause(pipeline: Pipeline, boundary: Boundary, evidence: Evidence) -> Cause:
    """The likely cause of the first difference."""
    cells = tuple(code_cells(pipeline))
    above = [cell for cell in cells if _reaches(pipeline, cell, boundary)]
    if not evidence.reproducible:
        return _not_reproducible(cells, above)
    if evidence.repeated is False:
        return _left_behind(cells, boundary)
    return (
        _left_out(pipeline, boundary, evidence)
        or _aliased(pipeline, boundary, evidence)
        or _on_the_way(boundary, evidence)
        or _in_a_module(pipeline, cells, above)
        or _drawn_elsewhere(pipeline, boundary)
        or Cause(
            "unknown",
            "nothing that a name shows differs before: the step depends on state inside a library, or outside the "
            "notebook",
            "put the cells that share that state into one step",
            boundary.cell,
            boundary.line,
        )
    )


def _reaches(pipeline: Pipeline, cell: CodeCell, boundary: Boundary) -> bool:
    """Whether a cell may have a say in the boundary: the step's own, those of steps above it, and shared ones."""
    if boundary.cell is not None and cell.index > max(_cells_of(pipeline, boundary.step), default=boundary.cell):
        return False
    return cell.role.kind in ("step", "parameters", *SHARED)


def _cells_of(pipeline: Pipeline, step: str) -> tuple[int, ...]:
    return next((one.cells for one in pipeline.steps if one.name == step), ())


# -- the notebook is not reproducible --------------------------------------------------------------------------------


def _not_reproducible(cells: tuple[CodeCell, ...], above: list[CodeCell]) -> Cause:
    names = imported(cells)
    nearest = list(reversed(above))
    found = _draw(cells, nearest, names) or _clock(nearest, names)
    if found is not None:
        return found
    cell, line, text = next(_touching(nearest, names), (None, None, ""))
    what = f"`{text}` reads from outside, and that" if text else "something outside of it (a file, a server, a program)"
    return Cause(
        "outside",
        f"two runs of the notebook in one kernel differ as well: {what} may be another in every run",
        "keep what it reads in a file that does not change, and verify with that",
        cell,
        line,
    )


def _draw(every: Iterable[CodeCell], nearest: Sequence[CodeCell], names: Mapping[str, str]) -> Cause | None:
    """The call that draws without a seed: one that cannot have a seed or was given none, before one that may draw."""
    seeded = {_stream(dotted(call.func, names)) for cell in every for call in cell.every(ast.Call) if _is_seeding(call)}
    for draws in (_has_no_seed, _draws_unseeded):
        for cell in nearest:
            for call in sorted(cell.every(ast.Call), key=lambda call: -call.lineno):
                if draws(call, dotted(call.func, names), seeded):
                    return _seed(cell, call)
    return None


def _seed(cell: CodeCell, call: ast.Call) -> Cause:
    text = ast.unparse(call.func)
    return Cause(
        "seed",
        f"two runs of the notebook in one kernel differ as well: `{text}` draws at random without a seed",
        "seed it: random_state=…, default_rng(7), or np.random.seed(7) in a cell tagged setup",
        cell.index,
        cell.line(call),
    )


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _is_seeding(call: ast.Call) -> bool:
    return _method(call) in SEEDING and bool(call.args or call.keywords) and not all(map(_is_none, call.args))


def _stream(called: str) -> str:
    """`numpy.random`, `random`, `torch`; empty for what belongs to none."""
    return called.rpartition(".")[0] if called.rpartition(".")[0] in ("random", "numpy.random", "torch") else ""


def _chosen(call: ast.Call) -> list[ast.expr]:
    return [word.value for word in call.keywords if word.arg in ("random_state", "seed")]


def _has_no_seed(call: ast.Call, called: str, seeded: set[str]) -> bool:
    """What cannot be seeded, and what could be and is not."""
    if NEVER_SEEDED.fullmatch(called) or any(map(_is_none, _chosen(call))):
        return True
    if _method(call) in GENERATORS:
        return not call.keywords and all(map(_is_none, call.args))
    return called.rpartition(".")[2] in SKLEARN and not _chosen(call) and "numpy.random" not in seeded


def _draws_unseeded(call: ast.Call, called: str, seeded: set[str]) -> bool:
    """A global stream that nothing seeds, or a method of something that may be a generator."""
    if STREAMS.fullmatch(called):
        return _stream(called) not in seeded
    return _method(call) in METHODS and not called and not seeded and not _chosen(call)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _clock(cells: Iterable[CodeCell], names: Mapping[str, str]) -> Cause | None:
    for cell in cells:
        for call in sorted(cell.every(ast.Call), key=lambda call: -call.lineno):
            if CLOCKS.fullmatch(dotted(call.func, names)):
                text = ast.unparse(call.func)
                return Cause(
                    "clock",
                    f"two runs of the notebook in one kernel differ as well: `{text}()` reads the clock",
                    "make the moment a parameter, such as today: date = date(2024, 5, 1)",
                    cell.index,
                    cell.line(call),
                )
    return None


def _touching(cells: Iterable[CodeCell], names: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    for cell in cells:
        for call in cell.every(ast.Call):
            if FILES.fullmatch(dotted(call.func, names) or ast.unparse(call.func)):
                yield cell.index, cell.line(call), ast.unparse(call)[:60]


# -- a run leaves something behind -----------------------------------------------------------------------------------


def _left_behind(cells: tuple[CodeCell, ...], boundary: Boundary) -> Cause:
    """A file that a step reads and a later one writes, if the code names one; else something outside."""
    mine = [cell for cell in cells if cell.source == boundary.step or cell.role.kind in SHARED]
    for cell in mine:
        for path, line in _paths(cell):
            for other in (other for other in cells if other.index > cell.index and other.source != boundary.step):
                for again, later in _paths(other):
                    if again == path:
                        return Cause(
                            "hidden state" if other.role.kind == "exploration" else "order",
                            f"{_who(other.role)} (cell {other.index}, line {later}) uses the file {path!r}, which is "
                            "there already when the notebook runs the next time: the first run and the second differ",
                            "write to another file than the one that is read, or take it away before the run",
                            cell.index,
                            line,
                        )
    cell_of, line_of, text = next(_touching(mine, imported(cells)), (boundary.cell, boundary.line, ""))
    what = f"`{text}`" if text else "the step"
    return Cause(
        "outside",
        f"isolated steps run a second time agree with the notebook: {what} finds what an earlier run has left (a file, "
        "a cache, a table)",
        "start from the same files in every run",
        cell_of,
        line_of,
    )


def _paths(cell: CodeCell) -> Iterator[tuple[str, int]]:
    """Texts that look like file names."""
    for constant in cell.every(ast.Constant):
        if isinstance(constant.value, str) and re.fullmatch(r"[\w./~\\ -]*\.\w{1,8}", constant.value):
            yield constant.value, cell.line(constant)


def _who(role: Role) -> str:
    return f"step {role.name}" if role.kind == "step" else f"the {role.kind} cell"


# -- isolation -------------------------------------------------------------------------------------------------------


def _left_out(pipeline: Pipeline, boundary: Boundary, evidence: Evidence) -> Cause | None:
    """An exploration cell that changed the name, as was seen after each cell."""
    for index in reversed(evidence.changed_in):
        role = pipeline.roles[index]
        if role is not None and role.kind == "exploration":
            return Cause(
                "hidden state",
                f"cell {index} has no tag and changes {_named(boundary)}: isolated steps leave it out",
                "give the cell to a step, or make sure that it changes nothing",
                index,
                _line_of(pipeline, index, boundary.name),
            )
    return None


def _line_of(pipeline: Pipeline, cell: int, name: str) -> int:
    """Where a cell last binds, changes or reads a name; its first line when its code does not say."""
    bound = [binding.line for binding in pipeline.bindings if binding.cell == cell and binding.name == name]
    used = [read.line for read in pipeline.reads if read.cell == cell and read.name == name]
    role = pipeline.roles[cell]
    return max(bound or used or [1 + (role.line_offset if role else 0)])


def _aliased(pipeline: Pipeline, boundary: Boundary, evidence: Evidence) -> Cause | None:
    """Another step changed the value in the notebook, and isolated steps still have the older one."""
    for index in reversed(evidence.changed_in):
        role = pipeline.roles[index]
        if role is None or role.kind != "step" or role.name == boundary.step or not evidence.only_read:
            continue
        bound = any(b.cell == index and b.name == boundary.name for b in pipeline.bindings)
        through = "although its code does not name it" if not bound else "in a way that isolated steps do not see"
        state = "as it was before" if evidence.older else "otherwise"
        return Cause(
            "alias",
            f"in the notebook step {role.name} changes {_named(boundary)} in place, {through}: it shares something "
            f"with what the step works on; step {boundary.step} alone gets it {state}",
            f"put what shares it into one step, or let step {role.name} give it a new value",
            index,
            _line_of(pipeline, index, boundary.name),
        )
    return None


def _on_the_way(boundary: Boundary, evidence: Evidence) -> Cause | None:
    if not evidence.only_read or evidence.left_equal is None or boundary.kind != "value":
        return None
    maker = f"step {evidence.left_equal}" if evidence.left_equal else "the cells above"
    return Cause(
        "on the way",
        f"{_named(boundary)} left {maker} as in the notebook and arrived otherwise: its class leaves out a part when "
        "it is pickled, or shares something with the rest of its module",
        "let the class pickle all that counts, or put the cells that use it into one step",
        boundary.cell,
        boundary.line,
    )


def _in_a_module(pipeline: Pipeline, cells: Iterable[CodeCell], above: list[CodeCell]) -> Cause | None:
    """A module beside the notebook that the step uses: its functions may keep something between calls."""
    names = imported(cells)
    for cell in reversed(above):
        for name in cell.every(ast.Name):
            module = names.get(name.id, "").partition(".")[0]
            if module and _is_beside(pipeline.notebook.folder, module):
                return Cause(
                    "hidden state",
                    f"the module {module} beside the notebook seems to keep something that no name of the notebook "
                    "shows, and each step alone begins with a fresh one",
                    f"let the functions of {module} take and return what they keep, or put their callers into one step",
                    cell.index,
                    cell.line(name),
                )
    return None


def _is_beside(folder: Path, module: str) -> bool:
    return (folder / f"{module}.py").exists() or (folder / module / "__init__.py").exists()


def _drawn_elsewhere(pipeline: Pipeline, boundary: Boundary) -> Cause | None:
    """A cell that isolated steps leave out draws from the stream that the step draws from."""
    for binding in reversed(pipeline.bindings):
        if binding.name == "<random>" and binding.source == "exploration" and binding.cell < (boundary.cell or 0):
            return Cause(
                "hidden state",
                f"cell {binding.cell} has no tag and draws random numbers: isolated steps leave it out and draw others",
                "give the cell to a step, or let it draw from a generator of its own",
                binding.cell,
                binding.line,
            )
    return None


def _named(boundary: Boundary) -> str:
    return f"`{boundary.name}`" if boundary.kind == "value" else boundary.name
