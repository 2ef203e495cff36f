"""What a call may change, keep and give back.

A function or method of the notebook is followed: its body is walked with the things that it is given, so that what it
does to its arguments, to globals and to its own closure is found where it is called. For calls of libraries see
`library_calls`.
"""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Sequence

from nb2prod.language import purity
from nb2prod.language.aliases import NOTHING, Thing, Things, in_order
from nb2prod.language.library_calls import HOLDERS, Given, LibraryCalls, is_class, is_frames_sample
from nb2prod.language.scopes import is_generator, local_names, parameters_of
from nb2prod.language.values import BUILTINS, Frame

DEEPEST = 12  # calls within calls that are followed
ROUNDS = 4  # of a loop or a recursion, until nothing new comes of it
BUDGET = 40_000  # statements that are walked in following calls, over the whole notebook


class Calls(LibraryCalls):
    """Calls, and what else runs code: loops over generators, operators of the notebook's classes."""

    active: dict[Thing, Frame]

    def visit_Call(self, node: ast.Call) -> Things:
        if _is_shell(node):
            return self._shell(node)
        dotted = self.dotted(node.func)
        if isinstance(node.func, ast.Attribute) and dotted is None:
            receiver = self.value(node.func.value)
            return self._method(node, receiver, node.func.attr, self._given(node, uses=not _keeps(node.func.attr)))
        callee = self.used(node.func)
        name = dotted or (node.func.id if isinstance(node.func, ast.Name) and not callee else "")
        given = self._given(node, uses=not _keeps(name.rpartition(".")[2] if name else ""))
        if name and (dotted or name in BUILTINS):
            return self._library(node, name, given)
        return self._called(node, callee, given)

    def _method(self, node: ast.Call, receiver: Things, method: str, given: Given) -> Things:
        own, known = self._own_method(node, receiver, method, given)
        if known:
            return own
        stated = self._says_in_place(node, receiver, given)
        self._method_draws(node, receiver, method)
        if method == "sample" and is_frames_sample(node, receiver):
            return self.made(node, "data") | own
        if purity.changes_nothing(method):
            if stated:
                self.change(receiver, node, memory=True)
            return self._looked_at(node, receiver, method, given) | own
        if method == "copy":
            return self._copied(node, receiver) | own
        if method in purity.CONTAINER:
            return self._container(node, receiver, method, given) | own
        plots = method in purity.PLOTTING
        self.change(self._reached(receiver), node, memory=True)
        if method in ("fit", "partial_fit"):
            return receiver | own
        used_up = method in purity.READING and receiver and all(thing.resource for thing in receiver)
        if plots or used_up or method in purity.FIT:
            return self.made(node, "object" if plots else "data") | own
        returned = self._called_back(node, Given((receiver,), None, given.all), self.memory.contents(receiver))
        self.memory.hold(receiver, given.all - receiver)
        if not receiver:
            return self.made(node, "unknown", given.all | returned) if given.all | returned else NOTHING
        return self.made(node, "unknown", given.all | returned) | self.memory.contents(receiver) | receiver | own

    def _reached(self, receiver: Things) -> set[Thing]:
        """What an unknown method of a library may change: the object, and objects that it holds; no data, no list."""
        below = self.memory.below(receiver, lambda thing: thing.kind != "data" or thing.part)
        return {t for t in below if t in receiver or t.kind in ("object", "unknown")} - {
            t for t in below if t.kind == "function"
        }

    def _called(self, node: ast.AST, callee: Things, given: Given) -> Things:
        """Call what an expression gives: a function, a class, or an object that can be called."""
        found: set[Thing] = set()
        for thing in in_order(callee):
            if thing.function is None:
                found |= self._object_called(node, thing, given)
            elif isinstance(thing.function.node, ast.ClassDef):
                found |= self._instance(node, thing, given)
            else:
                found |= self.follow(node, thing, given)
        return frozenset(found)

    def _object_called(self, node: ast.AST, thing: Thing, given: Given) -> Things:
        own, known = self._own_method(node, frozenset({thing}), "__call__", given)
        if known or thing.kind in ("literal", "data"):
            return own
        if thing in self.memory.foreign:
            return self._foreign_called(node, thing, given)
        self.change(self._reached(frozenset({thing})), node, memory=True)
        if any(below.random for below in self.memory.below([thing])):
            self.draw("call", node)
        held = given.all | self.memory.below([thing])  # `partial(f, x)` hands x to f
        returned = self._called_back(node, Given((frozenset({thing}),), None, given.all), held)
        return self.made(node, "unknown", given.all | returned | {thing}) | given.all | returned | own

    def _foreign_called(self, node: ast.AST, thing: Thing, given: Given) -> Things:
        """A function or class that comes from elsewhere, a star import for one."""
        name = next(iter(self.memory.named.get(thing, {""})))
        if is_class(name):
            return self.made(node, "object", given.all)
        returned = self._called_back(node, given, self.memory.contents(given.all))
        return self.made(node, "unknown", given.all | returned) | given.all

    def _instance(self, node: ast.AST, cls: Thing, given: Given) -> Things:
        made = self.made(node, "object", [cls])
        _, known = self._own_method(node, made, "__init__", given)
        if not known:
            self.memory.hold(made, given.all)
        return made

    def _classes(self, thing: Thing) -> list[Thing]:
        """The notebook's classes that a thing is an instance of, or is itself, with their bases."""
        first = [thing, *in_order(self.memory.holds.get(thing, ()))]
        found: dict[Thing, None] = {}
        while first:
            cls = first.pop(0)
            if cls.function is not None and isinstance(cls.function.node, ast.ClassDef) and cls not in found:
                found[cls] = None
                first += self.memory.bases.get(cls, ())
        return list(found)

    def _own_method(self, node: ast.AST, receiver: Things, method: str, given: Given) -> tuple[Things, bool]:
        """Follow a method of the notebook's classes; with whether no other method can be meant."""
        found: set[Thing] = set()
        known = bool(receiver)
        for thing in in_order(receiver):
            classes = self._classes(thing)
            methods = [m for cls in classes for m in self.memory.attributes.get(cls, {}).get(method, ()) if m.function]
            if not classes and thing.kind in ("unknown", "object"):
                methods = list(self.memory.methods.get(method, ()))
                known = False
            elif not methods:
                known = False
            for code in in_order(set(methods[:1] if classes else methods)):
                found |= self.follow(node, code, _with_self(code, thing, given))
        return frozenset(found), known

    def dunder(self, things: Things, method: str, node: ast.AST) -> Things:
        if method not in self.memory.methods:
            return NOTHING
        return self._own_method(node, things, method, Given())[0]

    def iterated(self, things: Things, node: ast.AST, *, advances: bool = False) -> Things:
        """What a loop over things gives. A generator runs, and is another one afterwards."""
        found = set(self.memory.contents(things))
        for method in ("__iter__", "__next__"):
            found |= self.memory.contents(self.dunder(things, method, node))
        for thing in in_order(things):
            if thing.resource or advances:
                held = self.memory.below([thing])
                code = [t for t in in_order(held) if t.function and not isinstance(t.function.node, ast.ClassDef)]
                self.change({thing, *(t for t in held if code or t.resource)}, node)
                for function in code:
                    found |= self.follow(node, function, Given(any=frozenset(held - {function})))
            if thing.random:
                self.draw("loop", node)
        return frozenset(found)

    def _called_back(self, node: ast.AST, given: Given, inside: Things) -> Things:
        """What functions among the arguments do when a library calls them, with what it finds inside the others."""
        found: set[Thing] = set()
        handed = self.memory.below(given.all, lambda t: t.kind in ("literal", "function", "object"))
        for thing in in_order(handed):
            if thing.function is not None and not isinstance(thing.function.node, ast.ClassDef):
                found |= self.follow(node, thing, Given(any=inside - {thing}))
        return frozenset(found)

    def follow(self, node: ast.AST, code: Thing, given: Given) -> Things:
        """Walk the body of a function with the values of one call; what it may give back."""
        function = code.function
        definition = function.node if function is not None else None
        if not isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return given.all
        frame = self._frame(node, code, definition, given)
        if code in self.active:
            return self._again(self.active[code], frame)
        if len(self.active) >= DEEPEST or self.memory.spent > BUDGET:
            return self._not_followed(node, code, given)
        outer = (self.site, self.line, self.frames, self.quiet, set(self.bound))
        self.site = (*self.site[-1:], id(node), id(definition))
        self.line = self.line or getattr(node, "lineno", 1)
        self.frames = [*self.memory.closures.get(code, ()), frame]
        self.quiet += 1
        self.active[code] = frame
        self._walk_body(definition, frame)
        del self.active[code]
        self.site, self.line, self.frames, self.quiet, self.bound = outer
        if is_generator(definition):
            return self.made(node, "object", {*frame.yields, *given.all, code}, resource="generator", what=code)
        return frozenset(frame.returns)

    def _walk_body(self, definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, frame: Frame) -> None:
        for _ in range(ROUNDS):
            frame.again = False
            frame.points = dict(frame.entry)
            if isinstance(definition, ast.Lambda):
                frame.returns |= self.value(definition.body)
            else:
                self.memory.spent += len(definition.body)
                self.body(definition.body)
            if not frame.again:
                break

    def _again(self, frame: Frame, inner: Frame) -> Things:
        """A function calls itself: its body is walked again with what it hands to itself as well."""
        for name, things in inner.entry.items():
            if things - frame.entry.get(name, NOTHING):
                frame.entry[name] = frame.entry.get(name, NOTHING) | things
                frame.again = True
        return frozenset(frame.returns)

    @abstractmethod
    def body(self, statements: Sequence[ast.stmt]) -> None:
        """Walk statements in order; see `flow`."""

    def _not_followed(self, node: ast.AST, code: Thing, given: Given) -> Things:
        """Too much code: the arguments and what the function reads may be changed and given back."""
        assert code.function is not None
        reached = set(given.all)
        for name, _ in code.function.reads:
            reached |= self.memory.points.get(name, NOTHING)
        below = {thing for thing in self.memory.below(reached) if thing.kind != "function"}
        self.change(below, node)
        return frozenset(below)

    def _frame(
        self, node: ast.AST, code: Thing, definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, given: Given
    ) -> Frame:
        """The function's names as the call begins."""
        cell = self.memory.thing(("cell", code), "object")
        entry: dict[str, Things] = {}
        frame = Frame(local_names(definition), {}, "function", cell, entry=entry)
        arguments = definition.args
        positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        for name in parameters_of(definition):
            entry[name] = self.memory.defaults.get(code, {}).get(name, NOTHING) | given.any
        for name, things in zip(positional, given.positional, strict=False):
            entry[name] = things | given.any
        rest = frozenset(t for things in given.positional[len(positional) :] for t in things)
        for name, things in (given.named or {}).items():
            if name in entry:
                entry[name] = things | given.any
            else:
                rest |= things
        for star in (arguments.vararg, arguments.kwarg):
            if star is not None:
                entry[star.arg] = self.made(node, "literal", rest | given.any, what=(code, star.arg))
        return frame


def _keeps(name: str) -> bool:
    """Whether what is called keeps a function for later rather than calling it."""
    return name in HOLDERS or is_class(name) or name in ("append", "setdefault", "update", "register")


def _with_self(code: Thing, receiver: Thing, given: Given) -> Given:
    node = code.function.node if code.function else None
    words = [d.id for d in getattr(node, "decorator_list", []) if isinstance(d, ast.Name)]
    if "staticmethod" in words:
        return given
    return Given((frozenset({receiver}), *given.positional), given.named, given.any)


def _is_shell(node: ast.Call) -> bool:
    func = node.func
    return (
        isinstance(func, ast.Attribute)
        and isinstance(func.value, ast.Call)
        and isinstance(func.value.func, ast.Name)
        and func.value.func.id == "get_ipython"
    )
