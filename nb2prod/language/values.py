"""What an expression may be: the things of `aliases` that its value is, or is a part of.

    s = arr[0:2]            the parts of arr
    data = [train, test]    a list that holds both
    df[["a", "b"]]          a new thing: a list of columns, or a mask, copies
    df + 1                  a new thing

Each visit returns the things of the value, and records on its way what is read.
"""

from __future__ import annotations

import ast
import builtins
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

from nb2prod.language.aliases import NOTHING, Kind, Memory, Thing, Things, in_order
from nb2prod.language.purity import CONVENTIONS
from nb2prod.language.scopes import free, local_names, targets_of
from nb2prod.language.uses import BindingKind, BindUse, Function, ReadUse

BUILTINS = frozenset(dir(builtins)) | {"get_ipython", "display", "__name__", "__file__", "__doc__"}
COPYING_INDEX = (ast.List, ast.ListComp, ast.Compare, ast.BinOp, ast.UnaryOp)
LABELS = frozenset({"columns", "index"})  # of a frame: they cannot be changed, only replaced
PLAIN_ATTRIBUTES = frozenset({"shape", "size", "ndim", "dtype", "dtypes", "name", "__name__", "nbytes", "empty"})


@dataclass(slots=True, eq=False)
class Frame:
    """Names that hide the module's: of a comprehension, of a class body, or of a function while a call is followed."""

    names: frozenset[str]
    points: dict[str, Things] = field(default_factory=dict)
    kind: str = "comprehension"
    cell: Thing | None = None
    returns: set[Thing] = field(default_factory=set)
    yields: set[Thing] = field(default_factory=set)
    entry: dict[str, Things] = field(default_factory=dict)  # of a function: what it was called with
    again: bool = False  # it called itself with something else


class Values(ast.NodeVisitor, ABC):
    """The state of the walk, and the expressions that are no calls."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.defined: dict[str, Function] = {}
        self.binds: list[BindUse] = []
        self.reads: list[ReadUse] = []
        self.changed: dict[tuple[str, int], None] = {}
        self.draws: dict[tuple[str, int], None] = {}
        self.groups: dict[tuple[str, ...], None] = {}
        self.bound: set[str] = set()
        self.before = dict(memory.points)  # what names pointed to when the cell began
        self.frames: list[Frame] = []
        self.quiet = 0  # above 0 nothing is recorded but changes and draws: a call is followed, or a loop goes round
        self.doubtful = 0  # above 0 a read may find nothing, and the cell goes on
        self.site: tuple[object, ...] = ()
        self.line = 0  # of the statement of the cell, while a call is followed

    # -- things -----------------------------------------------------------------------------------------------------

    def made(self, node: ast.AST, kind: Kind, holding: Iterable[Thing] = (), *, resource: str = "",
             random: bool = False, what: object = "") -> Things:  # fmt: skip
        """The thing that an expression makes."""
        thing = self.memory.thing((self.site, id(node), what), kind, resource=resource, random=random)
        self.memory.hold([thing], holding)
        return frozenset({thing})

    def at(self, node: ast.AST) -> int:
        return self.line or getattr(node, "lineno", 1)

    def change(self, things: Iterable[Thing], node: ast.AST, *, memory: bool = False) -> None:
        """Things are changed in place, for every name that reaches them. `memory`: parts that look at it change too."""
        if memory:
            things = self.memory.below(things, lambda thing: thing.part)
        above = self.memory.above(things)
        names = [name for name in self.memory.names(above) if name not in self.bound]
        self.changed |= dict.fromkeys((name, self.at(node)) for name in names)
        group = self.memory.together(self.memory.names(above, self.before), self.before)
        if len(group) > 1:
            self.groups.setdefault(tuple(sorted(group)))

    # -- names ------------------------------------------------------------------------------------------------------

    def frame_of(self, name: str) -> Frame | None:
        return next((frame for frame in reversed(self.frames) if name in frame.names), None)

    def read(self, name: str, line: int, *, used: bool = False) -> Things:
        """`used`: a function of that name is called, or handed to something that calls it."""
        frame = self.frame_of(name)
        if frame is not None:
            return frame.points.get(name, NOTHING)
        if not self.quiet:
            self.reads.append(ReadUse(name, line, name in self.bound, optional=self.doubtful > 0))
            self._read_through(name, line, used)
        return self.looked_up(name)

    def looked_up(self, name: str) -> Things:
        there = self.memory.points.get(name)
        if there is None:
            if name in self.memory.imports or name in BUILTINS:
                return NOTHING
            there = frozenset({self.memory.thing(("name", name), "unknown")})
            self.memory.foreign |= there
            self.memory.bind(name, there)
        return there

    def _read_through(self, name: str, line: int, used: bool) -> None:
        """Using a function uses what its body uses, and what the functions that it reaches use."""
        pending, seen = [name], {name}
        while pending:
            points = self.memory.points.get(pending.pop(), NOTHING)
            if not points:
                continue
            for thing in in_order(self.memory.below(points)):
                if thing.function is None:
                    continue
                self.binds += [BindUse(written, line) for written in thing.function.writes]
                for read, _ in thing.function.reads:
                    if read not in seen:
                        seen.add(read)
                        pending.append(read)
                        optional = self.doubtful > 0 or not used
                        self.reads.append(ReadUse(read, line, read in self.bound, name, optional))

    def visit_Name(self, node: ast.Name) -> Things:
        return self.read(node.id, node.lineno)

    def used(self, node: ast.expr) -> Things:
        """The value of what is called, or may be called by what it is handed to."""
        if isinstance(node, ast.Name):
            return self.read(node.id, node.lineno, used=True)
        outer, self.lambda_is_used = self.lambda_is_used, True
        found = self.value(node)
        self.lambda_is_used = outer
        return found

    def value(self, node: ast.expr) -> Things:
        found = self.visit(node)
        return found if isinstance(found, frozenset) else NOTHING

    def dotted(self, node: ast.expr) -> str | None:
        """`numpy.random.shuffle` for `np.random.shuffle` when np is an import."""
        words: list[str] = []
        while isinstance(node, ast.Attribute):
            words.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or self.frame_of(node.id) is not None:
            return None
        root = self.memory.imports.get(node.id)
        if root is None and node.id not in self.memory.points:
            root = CONVENTIONS.get(node.id)
        return None if root is None else ".".join([root, *reversed(words)])

    # -- expressions ------------------------------------------------------------------------------------------------

    def generic_visit(self, node: ast.AST) -> Things:
        super().generic_visit(node)
        return NOTHING

    def visit_Constant(self, node: ast.Constant) -> Things:
        return NOTHING

    def visit_Compare(self, node: ast.Compare) -> Things:
        parts = [self.value(part) for part in (node.left, *node.comparators)]
        plain = all(isinstance(operator, ast.Is | ast.IsNot | ast.In | ast.NotIn) for operator in node.ops)
        return self.made(node, "data") if any(parts) and not plain else NOTHING

    def visit_BinOp(self, node: ast.BinOp) -> Things:
        left, right = self.value(node.left), self.value(node.right)
        if not left and not right:
            return NOTHING
        built = any(thing.kind == "literal" for thing in left | right)
        if not built:
            return self.made(node, "data")
        return self.made(node, "literal", self.memory.contents(left | right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Things:
        operand = self.value(node.operand)
        return self.made(node, "data") if operand and not isinstance(node.op, ast.Not) else NOTHING

    def visit_BoolOp(self, node: ast.BoolOp) -> Things:
        found = set(self.value(node.values[0]))
        self.branches(node.values[1:], or_none=True, into=found)
        return frozenset(found)

    def visit_IfExp(self, node: ast.IfExp) -> Things:
        self.value(node.test)
        found: set[Thing] = set()
        self.branches([node.body], [node.orelse], or_none=False, into=found)
        return frozenset(found)

    @abstractmethod
    def branches(self, *bodies: Iterable[ast.AST], or_none: bool, into: set[Thing] | None = None) -> None:
        """Visit alternatives from the same state; see `flow`."""

    def _listed(self, node: ast.List | ast.Tuple | ast.Set) -> Things:
        items = [self._element(item) for item in node.elts]
        if isinstance(node, ast.Tuple) and not any(items):
            return NOTHING
        found = self.made(node, "literal", (thing for item in items for thing in item))
        if isinstance(node, ast.Tuple) and not any(isinstance(item, ast.Starred) for item in node.elts):
            (thing,) = found
            earlier = self.memory.tuples.get(thing)
            self.memory.tuples[thing] = tuple(
                item | earlier[position] if earlier and len(earlier) == len(items) else item
                for position, item in enumerate(items)
            )
        return found

    visit_List = visit_Tuple = visit_Set = _listed

    def _element(self, node: ast.expr) -> Things:
        return self.memory.contents(self.value(node.value)) if isinstance(node, ast.Starred) else self.value(node)

    def visit_Starred(self, node: ast.Starred) -> Things:
        return self._element(node)

    def visit_Dict(self, node: ast.Dict) -> Things:
        held: set[Thing] = set()
        for key, item in zip(node.keys, node.values, strict=True):
            if key is not None:
                held |= self.value(key)
            held |= self.value(item) if key is not None else self.memory.contents(self.value(item))
        return self.made(node, "literal", held)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Things:
        for part in ast.iter_child_nodes(node):
            self.visit(part)
        return NOTHING

    def visit_Attribute(self, node: ast.Attribute) -> Things:
        whole = self.value(node.value)
        if node.attr in PLAIN_ATTRIBUTES or (node.attr in LABELS and all(t.kind != "object" for t in whole)):
            return NOTHING
        return self.memory.contents(whole)

    def visit_Subscript(self, node: ast.Subscript) -> Things:
        whole, index = self.value(node.value), self.value(node.slice)
        if not whole:
            return NOTHING
        if self._copies(node.slice, index) and all(thing.kind in ("data", "unknown") for thing in whole):
            return self.made(node, "data")
        if isinstance(node.slice, ast.Slice) and all(thing.kind == "literal" for thing in whole):
            return self.made(node, "literal", self.memory.contents(whole))
        return self.memory.contents(whole)

    def _copies(self, node: ast.expr, index: Things) -> bool:
        """Whether an index is a list of columns or a mask, which pandas and numpy answer with a copy."""
        if isinstance(node, COPYING_INDEX):
            return bool(index)
        return isinstance(node, ast.Name) and bool(index) and all(t.kind in ("data", "literal") for t in index)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Things:
        things = self.value(node.value)
        inner = [self.frames.pop() for frame in list(self.frames) if self.frames[-1].kind == "comprehension"]
        self.bind(node.target.id, node.lineno, things)  # a walrus in a comprehension binds around it
        self.frames += reversed(inner)
        return things

    @abstractmethod
    def bind(self, name: str, line: int, things: Things, kind: BindingKind = "value") -> None:
        """A name is given a value; see `flow`."""

    def visit_Await(self, node: ast.Await) -> Things:
        return self.value(node.value)

    def visit_Yield(self, node: ast.Yield) -> Things:
        things = self.value(node.value) if node.value else NOTHING
        for frame in reversed(self.frames):
            if frame.kind == "function":
                frame.yields |= things
                break
        return things

    def visit_YieldFrom(self, node: ast.YieldFrom) -> Things:
        things = self.iterated(self.value(node.value), node)
        for frame in reversed(self.frames):
            if frame.kind == "function":
                frame.yields |= things
                break
        return things

    @abstractmethod
    def iterated(self, things: Things, node: ast.AST, *, advances: bool = False) -> Things:
        """What a loop over `things` hands out; see `calls`."""

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Things:
        source = self.iterated(self.value(node.generators[0].iter), node)
        before = set(self.bound)  # its parts may run no time at all
        frame = Frame(frozenset(name for part in node.generators for name in targets_of(part.target)))
        self.frames.append(frame)
        held: set[Thing] = set()
        for _ in range(2):  # what the first round changes, the second sees
            for position, part in enumerate(node.generators):
                if position:
                    source = self.iterated(self.value(part.iter), node)
                self.unpack(part.target, source)
                for condition in part.ifs:
                    self.value(condition)
            for item in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
                held |= self.value(item)
            self.quiet += 1
        self.quiet -= 2
        self.frames.pop()
        self.bound &= before
        if isinstance(node, ast.GeneratorExp):
            return self.made(node, "literal", held | source, resource="generator")
        return self.made(node, "literal", held)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    # -- targets ----------------------------------------------------------------------------------------------------

    def unpack(self, target: ast.expr, things: Things) -> None:
        """Give a target its value."""
        match target:
            case ast.Name():
                self.bind(target.id, target.lineno, things)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                starred = any(isinstance(part, ast.Starred) for part in targets)
                for position, part in enumerate(targets):
                    self.unpack(part, self._item(things, position, -1 if starred else len(targets), part))
            case ast.Starred():
                self.unpack(target.value, things)
            case ast.Attribute() | ast.Subscript():
                self._store(target, things)

    def _item(self, things: Things, position: int, count: int, target: ast.expr) -> Things:
        if isinstance(target, ast.Starred):
            return self.made(target, "literal", self.memory.contents(things))
        return frozenset(item for thing in things for item in self.memory.item_of(thing, position, count))

    def _store(self, target: ast.Attribute | ast.Subscript, things: Things) -> None:
        """`df["x"] = …` replaces what the key holds; `arr[0:2] = …` writes into what its views look at."""
        whole = self.value(target.value)
        shallow = isinstance(target, ast.Attribute) or isinstance(target.slice, ast.Constant)
        if isinstance(target, ast.Subscript):
            self.value(target.slice)
            number = isinstance(target.slice, ast.Constant) and not isinstance(target.slice.value, str)
            shallow = shallow and not number
            self.dunder(whole, "__setitem__", target)
        self.change(whole, target, memory=not shallow)
        self.memory.hold(whole, things)

    @abstractmethod
    def dunder(self, things: Things, method: str, node: ast.AST) -> Things:
        """What a special method of a class of the notebook does when it is called; see `calls`."""

    # -- functions as values ----------------------------------------------------------------------------------------

    def visit_Lambda(self, node: ast.Lambda) -> Things:
        return frozenset({self.code("<lambda>", node)})

    def code(self, name: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Thing:
        """The thing that a definition makes. It holds its defaults, and what it takes from functions around it."""
        defaults = self._defaults(node.args)
        used = free(node)
        inner = [frame for frame in self.frames if frame.kind != "class"]
        local = {read for read in used.reads if any(read in frame.names for frame in inner)}
        function = Function(name, node.lineno, _without(used.reads, local | {name}), tuple(sorted(used.writes)), node)
        thing = self.memory.thing((self.site, id(node), "code"), "function", function=function)
        self.memory.defaults[thing] = defaults
        self.memory.hold([thing], (held for held_by_one in defaults.values() for held in held_by_one))
        if inner:
            self.memory.closures[thing] = tuple(inner)
            self.memory.hold([thing], (frame.cell for frame in inner if frame.cell is not None))
            own = local_names(node)
            for frame in inner:
                for read in local - own:
                    self.memory.hold([thing], frame.points.get(read, NOTHING))
        if not self.quiet and isinstance(node, ast.Lambda):
            for read, line in function.reads:
                self.reads.append(ReadUse(read, line, read in self.bound, optional=not self.lambda_is_used))
                self._read_through(read, line, self.lambda_is_used)
        return thing

    lambda_is_used = False

    def _defaults(self, arguments: ast.arguments) -> dict[str, Things]:
        positional = [*arguments.posonlyargs, *arguments.args]
        named = list(zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True))
        named += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
        for argument in [*positional, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
            if argument is not None and argument.annotation and not self.memory.keeps_annotations:
                self.visit(argument.annotation)
        return {argument.arg: self.value(default) for argument, default in named}


def _without(reads: dict[str, int], names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    left_out = set(names)
    return tuple((name, line) for name, line in reads.items() if name not in left_out)
