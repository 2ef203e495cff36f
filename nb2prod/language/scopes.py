"""Which names a function, lambda or class takes from the module, by Python's rules of scope.

    def f(v, w=d):          v, w and total are its own, k is the module's
        total = v * k       (d is read where the function is defined, and is no business of its body)
        return total

One pass over the syntax tree: the standard `symtable` wants source text, and would cost more than all the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Free:
    """`reads` are the module's names with the first line that reads them, `writes` those that `global` lets it bind."""

    reads: dict[str, int] = field(default_factory=dict)
    writes: frozenset[str] = frozenset()


def free(node: ast.AST) -> Free:
    """What the code of a definition uses of the module. Defaults, decorators and annotations are not its code."""
    scope = _Scope()
    if isinstance(node, ast.ClassDef):
        scope.within_class(node)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        scope.within_function(node)
    return Free(scope.loads, frozenset(scope.global_writes))


def local_names(node: Definition) -> frozenset[str]:
    """The names that are the function's own: parameters, and what it binds without `global` or `nonlocal`."""
    scope = _Scope()
    scope.statements(node)
    return frozenset((scope.stores | parameters_of(node)) - scope.globals - scope.nonlocals)


def parameters_of(node: Definition) -> set[str]:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg for argument in named if argument is not None}


def targets_of(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def is_generator(node: Definition) -> bool:
    """Whether calling it runs nothing yet: `yield` stands in its own code."""
    pending: list[ast.AST] = list(node.body) if not isinstance(node, ast.Lambda) else [node.body]
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(inner)
    return False


class _Scope(ast.NodeVisitor):
    """One scope: what it loads, itself or in scopes within it, and what it binds."""

    def __init__(self) -> None:
        self.loads: dict[str, int] = {}
        self.stores: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        self.global_writes: set[str] = set()

    # -- scopes within ----------------------------------------------------------------------------------------------

    def within_function(self, node: Definition) -> None:
        inner = _Scope()
        inner.statements(node)
        own = (inner.stores | parameters_of(node)) - inner.globals - inner.nonlocals
        self._take(inner, own)

    def within_class(self, node: ast.ClassDef) -> None:
        inner = _Scope()
        for statement in node.body:
            inner.visit(statement)
        # methods do not see the names of the class, so what they load stays; the body's own loads may be its names
        self._take(inner, set())

    def statements(self, node: Definition) -> None:
        for statement in node.body if not isinstance(node, ast.Lambda) else [node.body]:
            self.visit(statement)

    def _take(self, inner: _Scope, own: set[str]) -> None:
        for name, line in inner.loads.items():
            if name not in own:
                self.loads.setdefault(name, line)
        self.global_writes |= inner.global_writes | (inner.stores & inner.globals)

    # -- names ------------------------------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.loads.setdefault(node.id, node.lineno)
        else:
            self.stores.add(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.loads.setdefault(node.target.id, node.lineno)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.globals |= set(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.nonlocals |= set(node.names)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.stores |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}

    visit_ImportFrom = visit_Import

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.stores |= {node.name} if node.name else set()
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.stores |= {node.name} if node.name else set()
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.stores |= {node.rest} if node.rest else set()
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.stores.add(node.name)
        self._all(node.decorator_list)
        self._all(_outer_parts(node.args))
        self._all([node.returns] if node.returns else [])
        self.within_function(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._all(_outer_parts(node.args))
        self.within_function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.stores.add(node.name)
        self._all([*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)])
        self.within_class(node)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        inner = _Scope()
        inner.generic_visit(node)
        own = {name for part in node.generators for name in targets_of(part.target)}
        self._take(inner, own)
        self.stores |= inner.stores - own  # a walrus binds in the scope around

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _outer_parts(arguments: ast.arguments) -> list[ast.expr]:
    """What of a signature is evaluated where the function is defined."""
    everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    annotations = [argument.annotation for argument in everything if argument is not None and argument.annotation]
    defaults = [default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None]
    return [*annotations, *defaults]
