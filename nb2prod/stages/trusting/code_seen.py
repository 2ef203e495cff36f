"""What a package's own Python could do, as far as its text shows it: imports and calls, found without running a line.

Text can hide what it does, so nothing here makes code harmless: where it matters, a policy says who may bring code.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from nb2prod.core.package_contents import CodeSeen, Permission, PermissionKind
from nb2prod.storage import templates

NETWORK = frozenset(
    [
        "socket",
        "ssl",
        "http",
        "urllib",
        "urllib3",
        "requests",
        "httpx",
        "aiohttp",
        "ftplib",
        "smtplib",
        "poplib",
        "imaplib",
        "telnetlib",
        "xmlrpc",
        "websockets",
        "paramiko",
        "fsspec",
        "s3fs",
        "boto3",
    ]
)
PROCESSES = frozenset(["subprocess", "multiprocessing", "pty", "signal", "concurrent"])
FILES = frozenset(["shutil", "tempfile", "pathlib", "glob", "fileinput", "sqlite3", "zipfile", "tarfile"])
NATIVE = frozenset(["ctypes", "cffi", "mmap"])
CODE = frozenset(
    [
        "pickle",
        "cloudpickle",
        "dill",
        "joblib",
        "marshal",
        "shelve",
        "importlib",
        "runpy",
        "code",
        "codeop",
        "imp",
        "zipimport",
        "pkgutil",
    ]
)
IMPORTS: dict[str, PermissionKind] = {
    **dict.fromkeys(NETWORK, "network"),
    **dict.fromkeys(PROCESSES, "processes"),
    **dict.fromkeys(FILES, "files"),
    **dict.fromkeys(NATIVE, "native"),
    **dict.fromkeys(CODE, "code"),
}
CALLS: dict[str, PermissionKind] = {
    "open": "files",
    "exec": "code",
    "eval": "code",
    "compile": "code",
    "__import__": "code",
}
_OS_PROCESSES = ("system", "popen", "exec", "spawn", "fork", "kill", "posix_spawn")
# attributes that read or write a file or an address on whatever object they are called
ATTRIBUTES: dict[str, PermissionKind] = {
    **dict.fromkeys(
        [
            "read_text",
            "write_text",
            "read_bytes",
            "write_bytes",
            "unlink",
            "rmtree",
            "to_csv",
            "to_parquet",
            "to_pickle",
        ],
        "files",
    ),
    **dict.fromkeys(
        [
            "read_csv",
            "read_parquet",
            "read_json",
            "read_sql",
            "tofile",
            "fromfile",
            "loadtxt",
            "savetxt",
        ],
        "files",
    ),
    **dict.fromkeys(["read_pickle", "__globals__", "__builtins__", "__subclasses__", "__reduce__", "__code__"], "code"),
    **dict.fromkeys(["urlopen", "urlretrieve", "create_connection"], "network"),
}


def seen(path: Path, name: str) -> tuple[CodeSeen, tuple[Permission, ...]]:
    """One file's imports and what it could do, which of nb2prod's own files need not be said. A file that Python cannot
    read has neither, and cannot run.
    """
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() in _own_files():
        return CodeSeen(name, (), own=True), ()
    try:
        tree = ast.parse(raw)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return CodeSeen(name, ()), ()
    imports = tuple(sorted({module for module, _ in _imports(tree)}))
    return CodeSeen(name, imports), tuple(_permissions(tree, name))


def defined(path: Path) -> frozenset[str]:
    """The functions and classes at the top of a file."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Lambda)
    }
    return frozenset({node.name for node in tree.body if isinstance(node, kinds)} | assigned)


@cache
def _own_files() -> frozenset[str]:
    """The digests of the code that nb2prod puts into packages."""
    serving = Path(__file__).parents[2] / "serving"
    found = (*templates.folder("package").glob("*.py"), *serving.rglob("*.py"))
    return frozenset(hashlib.sha256(path.read_bytes()).hexdigest() for path in found)


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or "", node.lineno


def _permissions(tree: ast.AST, name: str) -> Iterator[Permission]:
    said: set[tuple[PermissionKind, str]] = set()
    for kind, what, line in _shown(tree):
        if (kind, what) not in said:
            said.add((kind, what))
            yield Permission(kind, what, f"{name}:{line}")


def _shown(tree: ast.AST) -> Iterator[tuple[PermissionKind, str, int]]:
    for module, line in _imports(tree):
        kind = IMPORTS.get(module.partition(".")[0])
        if kind is not None:
            yield kind, f"imports {module}", line
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield CALLS[node.func.id], f"calls {node.func.id}", node.lineno
        elif isinstance(node, ast.Attribute):
            yield from _of_attribute(node)


def _of_attribute(node: ast.Attribute) -> Iterator[tuple[PermissionKind, str, int]]:
    if isinstance(node.value, ast.Name) and node.value.id == "os":
        if node.attr.startswith(_OS_PROCESSES):
            yield "processes", f"uses os.{node.attr}", node.lineno
        elif node.attr not in ("path", "environ", "sep", "fspath", "getenv"):
            yield "files", f"uses os.{node.attr}", node.lineno
    elif node.attr in ATTRIBUTES:
        yield ATTRIBUTES[node.attr], f"uses .{node.attr}", node.lineno
