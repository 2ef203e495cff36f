"""What a cell does to the process it runs in, beside the notebook's names: modules it loads, and changes to libraries.

    pd.DataFrame.rows = rows        a class of a library has a new method
    json.encoder.LIMIT = 3          a module has another value
    logging.basicConfig(level=20)   the log is set up

Such a change is seen by everything after it in that process, and by nothing in another one. Random streams, options,
the environment and the import path are no part of it: they are known by name and carried.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# attributes of modules that are carried from process to process
CARRIED = frozenset(
    [
        "os.environ",
        "sys.path",
        "plt.rcParams",
        "mpl.rcParams",
        "matplotlib.rcParams",
        "pyplot.rcParams",
        "pd.options",
        "pandas.options",
        "warnings.filters",
    ]
)
# calls that set up something of the process, by the last two words of what is called
LASTING_CALLS: dict[str, str] = {
    "signal.signal": "handles a signal",
    "atexit.register": "wants something done at the end",
    "logging.basicConfig": "sets up the log",
    "logging.disable": "sets up the log",
    "config.dictConfig": "sets up the log",
    "config.fileConfig": "sets up the log",
    "logging.captureWarnings": "sets up the log",
    "codecs.register": "registers a codec",
    "csv.field_size_limit": "sets up csv",
    "csv.register_dialect": "sets up csv",
    "mimetypes.add_type": "sets up mimetypes",
    "torch.set_default_dtype": "sets up torch",
    "torch.use_deterministic_algorithms": "sets up torch",
    "sys.setprofile": "watches the interpreter",
    "sys.settrace": "watches the interpreter",
    "sys.setswitchinterval": "sets up the interpreter",
    "gc.disable": "sets up the interpreter",
    "faulthandler.enable": "sets up the interpreter",
    "socket.setdefaulttimeout": "sets a default of sockets",
    "asyncio.create_task": "starts a task",
    "asyncio.ensure_future": "starts a task",
    "importlib.reload": "loads a module again",
    "os.umask": "sets up the process",
    "os.nice": "sets up the process",
    "time.tzset": "sets the time zone",
    "tqdm.pandas": "changes a library",
}
LASTING_METHODS: dict[str, str] = {
    "addHandler": "sets up the log",
    "removeHandler": "sets up the log",
    "addFilter": "sets up the log",
    "setLevel": "sets up the log",
    "register_dataframe_accessor": "registers an accessor",
    "register_series_accessor": "registers an accessor",
    "register_index_accessor": "registers an accessor",
    "install_opener": "changes a library",
    "create_task": "starts a task",
}


def modules(tree: ast.AST) -> Iterator[str]:
    """The modules that import statements load, wherever they stand, by their full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def names_of_imports(tree: ast.AST) -> Iterator[str]:
    """The names that import statements bind, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def is_import(statement: ast.stmt) -> bool:
    """An import, or a `try` whose body is imports alone."""
    if isinstance(statement, ast.Try):
        return all(isinstance(inner, ast.Import | ast.ImportFrom) for inner in statement.body)
    return isinstance(statement, ast.Import | ast.ImportFrom)


def lasting_change(tree: ast.Module, imports: frozenset[str]) -> str:
    """What a cell does to a library or to its process, in words (`changes json.encoder.LIMIT`); empty for nothing.

    `imports` are the names that the notebook's import statements bind.
    """
    return next((what for node in ast.walk(tree) if (what := _change(node, imports))), "")


def _change(node: ast.AST, imports: frozenset[str]) -> str:
    match node:
        case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
            path = _path(node)
            if path and path[0] in imports and len(path) > 1 and ".".join(path[:2]) not in CARRIED:
                return f"changes {'.'.join(path)}"
        case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[first, *_]):
            path = _path(first)
            if path and path[0] in imports:
                return f"changes {'.'.join(path)}"
        case ast.Call(func=ast.Attribute(attr=method) as function):
            path = _path(function)
            return LASTING_CALLS.get(".".join(path[-2:]), "") or LASTING_METHODS.get(method, "")
        case ast.Attribute(attr=method) if method in LASTING_METHODS and method.startswith("register_"):
            return LASTING_METHODS[method]
    return ""


def _path(node: ast.expr) -> list[str]:
    """`["json", "encoder", "LIMIT"]`; empty when it begins with anything but a name."""
    words: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            words.append(node.attr)
        node = node.value
    return [node.id, *reversed(words)] if isinstance(node, ast.Name) else []
