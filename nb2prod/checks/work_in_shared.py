"""A cell tagged `imports` or `functions` does work.

    df = pd.read_csv("loans.csv")            in a cell tagged imports
    np.random.seed(7)                        in a cell tagged functions

Out of such cells a module or a project can take imports, definitions and constants only, so the rest is missing there,
and where steps run apart it is done before the first of them. Move what makes data to a step, and what every step needs
first (a seed, an option, a folder) to a cell tagged `setup`. Constants are literals, what is computed from them, and
objects that only hold them: `Path("data")`, `re.compile(r"\\d+")`, `timedelta(days=1)`, an object of a class of the
notebook. What only shows something, checks something (`assert`) or is a magic is not meant.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language import surroundings
from nb2prod.language.code_cells import code_cells
from nb2prod.language.imported import dotted, imported

CODE = "work-in-shared"
SEVERITY: Severity = "note"
FIX = "move it to a step, or to a cell tagged setup when every step needs it first (a seed, an option)"
# what makes a constant out of constants: it reads no file, asks no network, draws nothing and changes nothing
MAKERS = re.compile(
    r"(abs|bool|bytes|bytearray|callable|chr|complex|dict|divmod|enumerate|float|frozenset|getattr|hasattr|int|isinstance"
    r"|issubclass|len|list|max|min|object|ord|pow|property|range|repr|reversed|round|set|slice|sorted|str|sum|tuple|type"
    r"|zip)|(dict|str|bytes)\.(fromkeys|maketrans)"
    r"|pathlib\.\w*Path(\.(home|cwd))?|os\.path\.(join|abspath|dirname|basename|expanduser)|os\.(getenv|getcwd)"
    r"|os\.path\.(exists|isfile|isdir)|(os|multiprocessing)\.cpu_count|platform\.\w+|importlib\.util\.find_spec"
    r"|packaging\.version\.(parse|Version)|torch\.(device|cuda\.is_available|backends\.mps\.is_available)"
    r"|os\.environ\.get|re\.compile|string\.Template|logging\.getLogger|math\.\w+|functools\.partial|operator\.\w+"
    r"|datetime\.(date|datetime|time|timedelta|timezone)|decimal\.Decimal|fractions\.Fraction|uuid\.UUID"
    r"|zoneinfo\.ZoneInfo|types\.(SimpleNamespace|MappingProxyType)|itertools\.(product|chain)"
    r"|collections\.(namedtuple|OrderedDict|defaultdict|Counter|deque)|enum\.(Enum|IntEnum|StrEnum|Flag|auto)"
    r"|typing\.(TypeVar|NewType|ParamSpec|NamedTuple|TypedDict|cast)|dataclasses\.(make_dataclass|field)"
    r"|numpy\.(array|asarray|arange|linspace|logspace|zeros|ones|full|dtype|timedelta64|datetime64|u?int\d*|float\d*)"
    r"|pandas\.(Timestamp|Timedelta|CategoricalDtype|DateOffset|to_datetime|to_timedelta)"
)
# methods that give something new and leave all else alone, of a value that is a constant itself
PURE = re.compile(
    r"split|strip|lower|upper|title|format|join|replace|keys|values|items|union|copy|count|index|get"
    r"|resolve|absolute|expanduser|joinpath|with_suffix|with_name|as_posix|isoformat|strftime|reshape|astype|tolist"
)


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline))
    classes = {binding.name for binding in pipeline.bindings if binding.kind == "class"}
    names = imported(cells) | dict.fromkeys(classes, "object")
    for cell in (cell for cell in cells if cell.role.kind in ("imports", "functions")):
        work = next((statement for statement in cell.tree.body if not _is_taken(statement, names)), None)
        if work is not None:
            message = (
                f"`{_shown(work)}` is work in a cell tagged {cell.role.kind}: "
                "a module takes only its imports, definitions and constants"
            )
            yield Finding(CODE, SEVERITY, message, FIX, cell.index, cell.line(work))


def _shown(statement: ast.stmt) -> str:
    """The statement without its arguments, as something secret may stand there."""
    match statement:
        case ast.Expr(value=value):
            return _path(value)
        case ast.Assign(targets=[target, *_], value=value):
            return f"{_path(target)} = {_path(value)}"
        case ast.AnnAssign(target=target, value=value) | ast.AugAssign(target=target, value=value):
            return f"{_path(target)} = {_path(value) if value is not None else '…'}"
    return f"{type(statement).__name__.removeprefix('Async').lower()} …"


def _path(value: ast.expr) -> str:
    """`pd.read_csv(…).dropna(…)`."""
    if _is_magic(value):
        return "!…"
    match value:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=inner, attr=name):
            return f"{_path(inner)}.{name}"
        case ast.Call(func=function):
            return f"{_path(function)}(…)"
        case ast.Subscript(value=inner):
            return f"{_path(inner)}[…]"
        case ast.Tuple(elts=items) if items:
            parts = [_path(item) for item in items]
            return ", ".join(parts) if set(parts) != {"…"} else "…"
    return "…"


def _is_taken(statement: ast.stmt, names: Mapping[str, str]) -> bool:
    """Whether a module can take the statement, or is the same without it."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Pass() | ast.Assert() | ast.Raise():
            return True
        case ast.Expr(value=value):
            return _is_magic(value) or _shows(value, names) or _path(value).startswith("sys.path.")
        case ast.Assign(targets=targets, value=value):
            return all(_is_name(target) for target in targets) and _is_constant(value, names)
        case ast.AnnAssign(target=ast.Name(), value=value) | ast.AugAssign(target=ast.Name(), value=value):
            return value is None or _is_constant(value, names)
        case ast.If(test=test, body=body, orelse=orelse):
            return _is_constant(test, names) and _are_taken((*body, *orelse), names)
        case ast.With(body=body):
            return all(surroundings.is_import(inner) for inner in body)
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=last):
            caught = [inner for handler in handlers for inner in handler.body]
            return surroundings.is_import(statement) or _are_taken((*body, *caught, *orelse, *last), names)
    return surroundings.is_import(statement) or type(statement).__name__ == "TypeAlias"


def _are_taken(statements: Iterable[ast.stmt], names: Mapping[str, str]) -> bool:
    return all(_is_taken(statement, names) for statement in statements)


def _is_name(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(_is_name(item) for item in target.elts)
    return isinstance(target, ast.Name | ast.Starred)


def _is_magic(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).startswith("get_ipython().")


def _shows(value: ast.expr, names: Mapping[str, str]) -> bool:
    """A docstring, a name on the last line, a `print` of what is there already."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("print", "display"):
        return all(_is_constant(given, names) for given in (*value.args, *(word.value for word in value.keywords)))
    return _is_constant(value, names)


def _is_constant(value: ast.expr, names: Mapping[str, str]) -> bool:
    """Whether computing it does no more than that. What a lambda does counts where it is called."""
    if isinstance(value, ast.Lambda):
        return True
    if isinstance(value, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
        return False
    if isinstance(value, ast.Call) and not _makes(value.func, names):
        return False
    return all(_is_constant(part, names) for part in _parts(value))


def _makes(function: ast.expr, names: Mapping[str, str]) -> bool:
    if MAKERS.fullmatch(dotted(function, names)):
        return True
    return isinstance(function, ast.Attribute) and bool(PURE.fullmatch(function.attr)) and not dotted(function, names)


def _parts(value: ast.AST) -> Iterator[ast.expr]:
    """The expressions right below one; those of a keyword or a `for` inside it as well."""
    for part in ast.iter_child_nodes(value):
        if isinstance(part, ast.expr):
            yield part
        else:
            yield from _parts(part)
