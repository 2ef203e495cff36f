"""The walk through a cell's statements, in the order in which Python runs them.

It keeps the names that are bound for certain, and what they may point to. After a branch, what is certain is what each
way binds, and a name may point to what it points to at the end of any way. A loop is walked until nothing new comes of
going round.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence

from nb2prod.language.aliases import NOTHING, Memory, Thing, Things, in_order, joined
from nb2prod.language.calls import ROUNDS, Calls
from nb2prod.language.library_calls import Given
from nb2prod.language.scopes import free, targets_of
from nb2prod.language.uses import KEEPS_NO_NAMES, BindingKind, BindUse, Function
from nb2prod.language.values import Frame

NO_NAME = frozenset({"NameError", "UnboundLocalError"})


class Walk(Calls):
    """One cell."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.deletes: list[tuple[str, int]] = []
        self.stars: list[tuple[str, int]] = []
        self.gone: set[str] = set()
        self.active = {}
        self.subject: Things = NOTHING  # of the `match` around

    # -- names ------------------------------------------------------------------------------------------------------

    def bind(self, name: str, line: int, things: Things, kind: BindingKind = "value") -> None:
        frame = self._frame_that_binds(name)
        if frame is not None:
            if self.frames[-1] is not frame and frame.kind == "function":
                # `nonlocal`: whoever holds the function around holds what it rebinds
                self.memory.hold([frame.cell] if frame.cell else (), things)
                self.change([frame.cell] if frame.cell else (), ast.Pass(lineno=line))
                things |= frame.points.get(name, NOTHING)
            frame.points[name] = things
            return
        if self.quiet:
            # a call writes a global, or a loop goes round: what was there may be there still
            self.memory.bind(name, things | self.memory.points.get(name, NOTHING))
            return
        reached = [*in_order(things), *in_order(self.memory.below(things) - things)] if things else []
        resource = next((thing.resource for thing in reached if thing.resource), "")
        self.binds.append(BindUse(name, line, kind, resource))
        self.bound.add(name)
        self.gone.discard(name)
        self.defined.pop(name, None)
        if kind != "import":
            self.memory.imports.pop(name, None)
        self.memory.bind(name, things)

    def _frame_that_binds(self, name: str) -> Frame | None:
        if self.frames and self.frames[-1].kind == "class":
            frame = self.frames[-1]
            frame.names |= {name}
            return frame
        return self.frame_of(name)

    # -- statements -------------------------------------------------------------------------------------------------

    def body(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self.visit(statement)

    def _state(self) -> tuple[set[str], set[str], list[dict[str, Things]]]:
        frames = [self.memory.points, *(frame.points for frame in self.frames)]
        return set(self.bound), set(self.gone), [dict(points) for points in frames]

    def _resume(self, state: tuple[set[str], set[str], list[dict[str, Things]]]) -> None:
        self.bound, self.gone = set(state[0]), set(state[1])
        self.memory.points = dict(state[2][0])
        for frame, points in zip(self.frames, state[2][1:], strict=True):
            frame.points = dict(points)

    def _join(self, states: list[tuple[set[str], set[str], list[dict[str, Things]]]]) -> None:
        self.bound = set.intersection(*(state[0] for state in states))
        self.gone = set.intersection(*(state[1] for state in states))
        self.memory.points = joined([state[2][0] for state in states])
        for position, frame in enumerate(self.frames, start=1):
            frame.points = joined([state[2][position] for state in states])

    def branches(self, *bodies: Iterable[ast.AST], or_none: bool, into: set[Thing] | None = None) -> None:
        """Visit alternatives from the same state; `into` takes the values of those that are expressions."""
        before = self._state()
        after = [before] if or_none else []
        for body in bodies:
            self._resume(before)
            for node in body:
                found = self.visit(node)
                if into is not None and isinstance(found, frozenset):
                    into |= found
            after.append(self._state())
        self._join(after or [before])

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        if not getattr(node, KEEPS_NO_NAMES, False):
            self.branches(node.body, node.orelse, or_none=False)
            return
        before, count = self._state(), len(self.binds)
        self._rounds(lambda: self.body(node.body))
        self._resume(before)
        del self.binds[count:]

    def _rounds(self, once: Callable[[], None]) -> None:
        """What runs several times: the first round records, the others only find what comes of going round."""
        once()
        for _ in range(ROUNDS):
            before, links, changed = self._state(), self.memory.links, len(self.changed)
            self.quiet += 1
            once()
            self.quiet -= 1
            self._join([before, self._state()])
            self.bound, self.gone = before[0], before[1]
            if self._state()[2] == before[2] and (links, changed) == (self.memory.links, len(self.changed)):
                break

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        source = self.value(node.iter)
        before = self._state()

        def once() -> None:
            self.unpack(node.target, self.iterated(source, node.iter))
            self.body(node.body)

        self._rounds(once)
        self._join([before, self._state()])
        for name in targets_of(node.target) & self.memory.passing if not self.frames else ():
            self.memory.points[name] = NOTHING
        self.branches(node.orelse, or_none=True)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        before = self._state()

        def once() -> None:
            self.body(node.body)
            self.visit(node.test)

        self._rounds(once)
        self._join([before, self._state()])
        self.branches(node.orelse, or_none=True)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        # a handler may start after any statement of the body, so only what was bound before the try is certain there
        before = self._state()
        seen = [before]
        self.doubtful += catches_name_error(node)
        for statement in node.body:
            self.visit(statement)
            seen.append(self._state())
        self.doubtful -= catches_name_error(node)
        self.body(node.orelse)
        after = [self._state()]
        for handler in node.handlers:
            self._join(seen)
            self.bound = set(before[0])
            self.visit(handler)
            after.append(self._state())
        self._join(after if node.handlers else [*seen, *after] if node.finalbody else after)
        if not node.handlers:
            self.bound = after[0][0]
        self.body(node.finalbody)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type:
            self.visit(node.type)
        if node.name:
            self.frames.append(Frame(frozenset({node.name}), kind="except"))  # gone when the handler ends
        self.body(node.body)
        if node.name:
            self.frames.pop()

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            things = self.value(item.context_expr)
            things |= self.dunder(things, "__enter__", item.context_expr)
            if item.optional_vars is not None:
                self.unpack(item.optional_vars, things)
        self.body(node.body)

    visit_AsyncWith = visit_With

    def visit_Match(self, node: ast.Match) -> None:
        subject = self.value(node.subject)
        self.subject = subject | frozenset(self.memory.below(subject))
        cases = [[case] for case in node.cases]
        irrefutable = any(
            case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None
            for case in node.cases
        )
        self.branches(*cases, or_none=not irrefutable)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name:
            self.bind(node.name, node.lineno, self.subject)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.bind(node.name, node.lineno, self.made(node, "literal", self.subject))

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self.bind(node.rest, node.lineno, self.made(node, "literal", self.subject))

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.value, ast.Lambda) and isinstance(node.targets[0], ast.Name):
            self._lambda(node.targets[0].id, node.value)
            for target in node.targets[1:]:
                self.unpack(target, self.memory.points.get(node.targets[0].id, NOTHING))
            return
        pairs = [_pairs(target, node.value) for target in node.targets]
        if len(pairs) == 1 and pairs[0] is not None:
            values = [(target, self.value(value)) for target, value in pairs[0]]
            for target, things in values:
                self.unpack(target, things)
            return
        things = self.value(node.value)
        for target in node.targets:
            self.unpack(target, things)

    def _lambda(self, name: str, node: ast.Lambda) -> None:
        """`f = lambda v: v * k` is a definition: k is read where f is called."""
        thing = self.code(name, node)
        self.bind(name, node.lineno, frozenset({thing}))
        self._defines(name, thing)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if not self.memory.keeps_annotations:
            self.visit(node.annotation)
        if node.value is not None:
            self.unpack(node.target, self.value(node.value))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        added = self.value(node.value) if not isinstance(node.target, ast.Name) else NOTHING
        if isinstance(node.target, ast.Name):
            there = self.read(node.target.id, node.lineno)
            added = self.value(node.value)
        else:
            there = self.value(ast.copy_location(_loaded(node.target), node.target))
        if there:
            self.change(there, node, memory=True)  # `a += [1]` changes the list that others may hold
            self.memory.hold(there, self.memory.contents(added))
        elif added:
            there = self.made(node, "data")
        self.unpack(node.target, there)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.read(target.id, target.lineno)
                if self.frame_of(target.id) is None and not self.quiet:
                    self.deletes.append((target.id, target.lineno))
                    self.bound.discard(target.id)
                    self.gone.add(target.id)
            elif isinstance(target, ast.Attribute | ast.Subscript):
                self._store(target, NOTHING)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            root = alias.name.partition(".")[0]
            self._import(alias.asname or root, alias.name if alias.asname else root, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.stars.append((node.module or "", node.lineno))
            else:
                self._import(alias.asname or alias.name, f"{node.module}.{alias.name}", node.lineno)

    def _import(self, name: str, dotted: str, line: int) -> None:
        self.bind(name, line, NOTHING, "import")
        if self.frame_of(name) is None:
            self.memory.imports[name] = dotted

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        """Scopes have it already."""

    visit_Nonlocal = visit_Global

    def visit_Return(self, node: ast.Return) -> None:
        things = self.value(node.value) if node.value else NOTHING
        for frame in reversed(self.frames):
            if frame.kind == "function":
                frame.returns |= things
                break

    # -- definitions ------------------------------------------------------------------------------------------------

    def _defines(self, name: str, thing: Thing) -> None:
        if thing.function is not None and not self.quiet and not self.frames:
            self.defined[name] = thing.function

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        thing = self.code(node.name, node)
        if node.returns and not self.memory.keeps_annotations:
            self.visit(node.returns)
        made: Things = frozenset({thing})
        for decorator in reversed(node.decorator_list):
            made = self._decorated(decorator, made)
        if thing not in made and made:
            self.memory.hold(made, [thing])
        self.bind(node.name, node.lineno, made or frozenset({thing}), "function")
        self._defines(node.name, thing)

    visit_AsyncFunctionDef = visit_FunctionDef

    def _decorated(self, decorator: ast.expr, made: Things) -> Things:
        """What a decorator makes of a function: what the notebook's own gives, else the function or what holds it."""
        callee = self.used(decorator)
        codes = frozenset(thing for thing in callee if thing.function is not None)
        if codes:
            return self._called(decorator, codes, Given((made,)))
        return made

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [self.value(base) for base in node.bases]
        for part in (*node.decorator_list, *(keyword.value for keyword in node.keywords)):
            self.value(part)
        frame = Frame(frozenset(), kind="class")
        self.frames.append(frame)
        self.body(node.body)
        self.frames.pop()
        used = free(node)
        # what a function around binds is no name of the notebook
        outer = {name for name in used.reads if self.frame_of(name) is not None} | {node.name}
        reads = tuple((name, line) for name, line in used.reads.items() if name not in outer)
        function = Function(node.name, node.lineno, reads, tuple(sorted(used.writes)), node)
        thing = self.memory.thing((self.site, id(node), "class"), "function", function=function)
        self.memory.attributes[thing] = dict(frame.points)
        self.memory.bases[thing] = tuple(held for base in bases for held in base)
        self.memory.hold([thing], (held for there in (*frame.points.values(), *bases) for held in there))
        for name, there in frame.points.items():
            codes = {held for held in there if held.function is not None}
            if codes:
                self.memory.methods.setdefault(name, set()).update(codes)
        self.bind(node.name, node.lineno, frozenset({thing}), "class")
        self._defines(node.name, thing)


def catches_name_error(node: ast.Try | ast.TryStar) -> bool:
    """Whether a try block expects that a name may be missing."""
    return any(
        handler.type is None or any(isinstance(n, ast.Name) and n.id in NO_NAME for n in ast.walk(handler.type))
        for handler in node.handlers
    )


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]] | None:
    """`a, b = b, a` as two assignments; None when the two sides do not stand one against one."""
    if not (isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)):
        return None
    if len(target.elts) != len(value.elts) or any(isinstance(e, ast.Starred) for e in (*target.elts, *value.elts)):
        return None
    return list(zip(target.elts, value.elts, strict=True))


def _loaded(target: ast.Attribute | ast.Subscript) -> ast.Attribute | ast.Subscript:
    """The target of `x[i] += 1`, as something that is read."""
    if isinstance(target, ast.Attribute):
        return ast.Attribute(target.value, target.attr, ast.Load())
    return ast.Subscript(target.value, target.slice, ast.Load())
