"""What a cell does to names: which it reads from outside, which it binds, which it may change in place.

    df = clean(df)          reads df and clean, binds df
    model.fit(X, y)         reads model, X, y, may change model
    if ok: n = 1            binds n, perhaps

The walk follows the order in which Python evaluates, keeps the set of names that are bound for certain at each point,
and joins it after branches and loops. Scopes inside functions and lambdas are `symtable`'s to decide: their free names
are read when the function is used, not when it is defined.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nb2prod.language.purity import changes_nothing

BindingKind = Literal["value", "import", "function", "class"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function, class or lambda of the notebook: the names of the notebook that its body uses when it is called."""

    name: str
    line: int
    reads: tuple[tuple[str, int], ...] = ()
    writes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadUse:
    """A read. `inside`: the cell itself has certainly bound the name before. `through`: the function that reads it."""

    name: str
    line: int
    inside: bool
    through: str = ""


@dataclass(frozen=True, slots=True)
class BindUse:
    name: str
    line: int
    kind: BindingKind = "value"


@dataclass(frozen=True, slots=True)
class CellNames:
    """`bound` are the names bound for certain when the cell has run to its end; `binds` lists every binding, in order.

    `changes` are (name, line) of objects from outside that may be changed in place; `stars` the modules of
    `from x import *`.
    """

    reads: tuple[ReadUse, ...] = ()
    binds: tuple[BindUse, ...] = ()
    changes: tuple[tuple[str, int], ...] = ()
    deletes: tuple[tuple[str, int], ...] = ()
    bound: frozenset[str] = frozenset()
    functions: Mapping[str, Function] = field(default_factory=dict)
    stars: tuple[tuple[str, int], ...] = ()


def names_of(tree: ast.Module, known: Mapping[str, Function] | None = None) -> CellNames:
    """The names of one cell. `known` are the functions that earlier cells define."""
    walk = _Walk(dict(known or {}))
    walk.body(tree.body)
    return CellNames(
        reads=tuple(dict.fromkeys(walk.reads)),
        binds=tuple(walk.binds),
        changes=tuple(dict.fromkeys(walk.changes)),
        deletes=tuple(walk.deletes),
        bound=frozenset(walk.bound),
        functions=walk.defined,
        stars=tuple(walk.stars),
    )


def functions_of(trees: Iterable[ast.Module]) -> dict[str, Function]:
    """The functions that cells leave defined, one cell after the other."""
    known: dict[str, Function] = {}
    for tree in trees:
        names = names_of(tree, known)
        for bind in names.binds:
            known.pop(bind.name, None)
        known |= names.functions
    return known


def free_names(node: ast.AST) -> frozenset[str]:
    """The names of the module that a function, lambda or class body reads or writes, as `symtable` sees them."""
    source = ast.unparse(node) if isinstance(node, ast.stmt) else f"({ast.unparse(node)})"
    table = symtable.symtable(source, "<function>", "exec")
    found: set[str] = set()
    pending = list(table.get_children())
    while pending:
        scope = pending.pop()
        found |= {symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global()}
        pending += scope.get_children()
    return frozenset(found)


def root_name(node: ast.expr) -> str | None:
    """`df` for `df.loc[0, "x"]`; None when the object comes from a call or a literal."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def in_place(node: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, line) of each object that one syntax node itself may change in place."""
    match node:
        case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
            if name := root_name(node):
                yield name, node.lineno
        case ast.Call(func=ast.Attribute(value=value, attr=method)):
            name = root_name(value)
            if name and not (changes_nothing(method) and not _says_in_place(node)):
                yield name, node.lineno


def _says_in_place(call: ast.Call) -> bool:
    """Whether the call has `inplace=…` or `out=…` with anything but a plain False or None."""
    return any(
        keyword.arg in ("inplace", "out") and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
        for keyword in call.keywords
    )


class _Walk(ast.NodeVisitor):
    def __init__(self, known: dict[str, Function]) -> None:
        self.known = known
        self.defined: dict[str, Function] = {}
        self.reads: list[ReadUse] = []
        self.binds: list[BindUse] = []
        self.changes: list[tuple[str, int]] = []
        self.deletes: list[tuple[str, int]] = []
        self.stars: list[tuple[str, int]] = []
        self.bound: set[str] = set()
        self.local: list[set[str]] = []  # names of comprehensions and class bodies around this point

    # -- what happens to a name -------------------------------------------------------------------------------------

    def read(self, name: str, line: int) -> None:
        if any(name in scope for scope in self.local):
            return
        self.reads.append(ReadUse(name, line, name in self.bound))
        self._read_through(name, line)

    def _read_through(self, name: str, line: int) -> None:
        """Using a function uses what its body uses, and what the functions that it uses use."""
        pending, seen = [name], {name}
        while pending:
            function = self.known.get(pending.pop())
            if function is None:
                continue
            for used, _ in function.reads:
                if used not in seen:
                    seen.add(used)
                    pending.append(used)
                    self.reads.append(ReadUse(used, line, used in self.bound, through=name))
            self.changes += [(used, line) for used in function.changes if used not in self.bound]
            for written in function.writes:
                self.binds.append(BindUse(written, line))

    def bind(self, name: str, line: int, kind: BindingKind = "value") -> None:
        if self._in_class:
            self.local[-1].add(name)
            return
        self.binds.append(BindUse(name, line, kind))
        self.bound.add(name)
        self.known.pop(name, None)
        self.defined.pop(name, None)

    def change(self, name: str, line: int) -> None:
        if not any(name in scope for scope in self.local) and name not in self.bound:
            self.changes.append((name, line))

    _in_class = False

    # -- statements -------------------------------------------------------------------------------------------------

    def body(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self.visit(statement)

    def branches(self, *bodies: Iterable[ast.AST], or_none: bool) -> None:
        """Visit alternatives from the same state; what is bound after is what every one of them binds."""
        before = set(self.bound)
        after: list[set[str]] = [before] if or_none else []
        for body in bodies:
            self.bound = set(before)
            for node in body:
                self.visit(node)
            after.append(self.bound)
        self.bound = set.intersection(*after) if after else before

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self.branches(node.body, node.orelse, or_none=False)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        self.branches([node.body], [node.orelse], or_none=False)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self.branches(node.values[1:], or_none=True)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.branches([node.target, *node.body], or_none=True)
        self.branches(node.orelse, or_none=True)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self.branches(node.body, or_none=True)
        self.branches(node.orelse, or_none=True)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        # a handler may start after any statement of the body, so only what was bound before the try is certain there
        before = set(self.bound)
        self.body(node.body)
        self.body(node.orelse)
        after = [set(self.bound)]
        for handler in node.handlers:
            self.bound = set(before)
            self.visit(handler)
            after.append(set(self.bound))
        self.bound = set.intersection(*after)
        self.body(node.finalbody)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type:
            self.visit(node.type)
        if node.name:
            self.local.append({node.name})  # gone when the handler ends
        self.body(node.body)
        if node.name:
            self.local.pop()

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        cases = [[case] for case in node.cases]
        irrefutable = any(
            case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None
            for case in node.cases
        )
        self.branches(*cases, or_none=not irrefutable)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name:
            self.bind(node.name, node.lineno)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.bind(node.name, node.lineno)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self.bind(node.rest, node.lineno)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)
        if isinstance(node.value, ast.Lambda) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.define(node.targets[0].id, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id, node.lineno)
            self.change(node.target.id, node.lineno)  # `a += [1]` changes the list that others may hold
        self.visit(node.value)
        self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        around, self.local = self.local, []  # a walrus in a comprehension binds in the module
        self.bind(node.target.id, node.lineno)
        self.local = around

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.read(target.id, target.lineno)
                self.deletes.append((target.id, target.lineno))
                self.bound.discard(target.id)
            else:
                self.visit(target)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name.partition(".")[0], node.lineno, "import")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.stars.append((node.module or "", node.lineno))
            else:
                self.bind(alias.asname or alias.name, node.lineno, "import")

    def visit_Global(self, node: ast.Global) -> None:
        """At the top level `global x` says nothing."""

    # -- definitions ------------------------------------------------------------------------------------------------

    def define(self, name: str, node: ast.AST) -> None:
        function = _function(name, node)
        self.known[name] = function
        self.defined[name] = function

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._signature(node.args)
        if node.returns:
            self.visit(node.returns)
        self.bind(node.name, node.lineno, "function")
        if not self._in_class:
            self.define(node.name, node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def _signature(self, arguments: ast.arguments) -> None:
        everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        everything += [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
        for argument in everything:
            if argument.annotation:
                self.visit(argument.annotation)
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default:
                self.visit(default)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        # it may be called at once (`df.apply(lambda r: r * k)`), so what it reads is read here
        self._signature(node.args)
        for name in sorted(free_names(node)):
            self.read(name, node.lineno)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            self.visit(part)
        self.local.append(set())
        outer, self._in_class = self._in_class, True
        self.body(node.body)
        self._in_class = outer
        self.local.pop()
        self.bind(node.name, node.lineno, "class")
        if not self._in_class:
            self.define(node.name, node)

    # -- expressions ------------------------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Store):
            self.bind(node.id, node.lineno)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        for name, line in in_place(node):
            self.change(name, line)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.generic_visit(node)
        for name, line in in_place(node):
            self.change(name, line)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        for name, line in in_place(node):
            self.change(name, line)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        outer, self._in_class = self._in_class, False
        self.visit(node.generators[0].iter)
        self.local.append({name for part in node.generators for name in _targets(part.target)})
        before = set(self.bound)  # its parts may run no time at all
        for position, part in enumerate(node.generators):
            if position:
                self.visit(part.iter)
            for condition in part.ifs:
                self.visit(condition)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for part_node in parts:
            self.visit(part_node)
        self.bound &= before
        self.local.pop()
        self._in_class = outer

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension


def _targets(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _function(name: str, node: ast.AST) -> Function:
    free = free_names(node)
    reads: dict[str, int] = {}
    changes: list[str] = []
    writes: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id in free and inner.id != name:
            if isinstance(inner.ctx, ast.Load):
                reads.setdefault(inner.id, inner.lineno)
            elif isinstance(inner.ctx, ast.Store) and _declared_global(node, inner.id):
                writes.add(inner.id)
        changes += [changed for changed, _ in in_place(inner) if changed in free]
    line = getattr(node, "lineno", 1)
    return Function(name, line, tuple(reads.items()), tuple(sorted(writes)), tuple(dict.fromkeys(changes)))


def _declared_global(node: ast.AST, name: str) -> bool:
    return any(isinstance(inner, ast.Global) and name in inner.names for inner in ast.walk(node))
