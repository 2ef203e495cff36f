"""Calls of libraries and builtins: what `purity` knows of them, and what is taken for granted of the others.

What is not known is taken not to change its arguments, while a method that is not known to be pure changes its object
and the objects that this holds, and may give any of them back.
"""

from __future__ import annotations

import ast
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nb2prod.language import purity
from nb2prod.language.aliases import NOTHING, Thing, Things
from nb2prod.language.uses import ReadUse
from nb2prod.language.values import BUILTINS, Values

HOLDERS = frozenset({"partial", "wraps", "lru_cache", "cache", "singledispatch", "staticmethod", "classmethod"})
IN_TEXT = re.compile(r"(?<!\$)\{([^{}]+)\}|\$\{?([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Given:
    """The values that a call hands over. `any` are those whose place is not known (`*xs`, `**options`)."""

    positional: tuple[Things, ...] = ()
    named: Mapping[str, Things] | None = None
    any: Things = NOTHING

    @property
    def all(self) -> Things:
        things = (*self.positional, *(self.named or {}).values(), self.any)
        return frozenset(thing for there in things for thing in there)


class LibraryCalls(Values):
    """What a call of a library does with what it is given."""

    @abstractmethod
    def _called_back(self, node: ast.AST, given: Given, inside: Things) -> Things:
        """What the functions among the arguments do when the library calls them; see `calls`."""

    @abstractmethod
    def _reached(self, receiver: Things) -> set[Thing]:
        """What a method may change: the object and all that it holds; see `calls`."""

    def _given(self, node: ast.Call, *, uses: bool) -> Given:
        """The arguments' values. `uses`: a function among them is called before the call is over."""
        look = self.used if uses else self.value
        outer, self.lambda_is_used = self.lambda_is_used, uses  # also of a lambda deep within an argument
        positional: list[Things] = []
        named: dict[str, Things] = {}
        loose: set[Thing] = set()
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                loose |= self.memory.contents(self.value(argument.value))
            else:
                positional.append(look(argument))
        for keyword in node.keywords:
            things = look(keyword.value)
            if keyword.arg is None:
                loose |= self.memory.contents(things)
            else:
                named[keyword.arg] = things
        self.lambda_is_used = outer
        return Given(tuple(positional), named, frozenset(loose))

    def _shell(self, node: ast.Call) -> Things:
        """`!ls {path}` and `%cd $path` read what stands in braces and behind the dollar, when there is such a name."""
        self.value(node.func)
        text = " ".join(str(part.value) for part in node.args if isinstance(part, ast.Constant))
        for name in shell_names(text):
            if not self.quiet and self.frame_of(name) is None:
                self.reads.append(ReadUse(name, node.lineno, name in self.bound, optional=True))
        return self.made(node, "literal")

    def _library(self, node: ast.Call, name: str, given: Given) -> Things:
        last = name.rpartition(".")[2]
        drawing = self._draws(node, name, last, given)
        self._says_in_place(node, NOTHING, given)
        position = purity.CHANGED_ARGUMENT.get(name)
        if position is not None and position < len(given.positional):
            changed = given.positional[position]
            self.change(changed, node, memory=True)
            if name in purity.KEEPING:
                self.memory.hold(changed, given.all - changed)
            return self.memory.contents(changed)
        if name in purity.RESOURCES:
            kept = NOTHING if last in ("open", "connect", "File", "ZipFile") else given.all  # a path is no part of it
            return self.made(node, "object", kept, resource=purity.RESOURCES[name])
        if "." not in name:
            return self._builtin(node, name, given)
        returned = self._called_back(node, given, self.memory.contents(given.all)) if last not in HOLDERS else NOTHING
        if name in purity.SHARING:
            return self._sharing(node, given) | returned
        if purity.is_fresh(name) and not is_class(last):
            return self.made(node, "data", returned)
        if name.startswith(purity.PLOTTING_MODULES):
            return self.made(node, "object", given.named["ax"] if given.named and "ax" in given.named else ())
        if is_class(last) or last in HOLDERS or last.startswith("make_"):
            return self.made(node, "object", given.all, random=drawing)
        return self.made(node, "unknown", given.all | returned) | given.all

    def _sharing(self, node: ast.Call, given: Given) -> Things:
        """An array or a frame made of one may look at it; one made of a list or a dictionary copies."""
        shared = frozenset(thing for thing in given.all if thing.kind != "literal")
        inner = self.memory.contents([thing for thing in given.all if thing.kind == "literal"])
        return self.made(node, "data") | shared | frozenset(thing for thing in inner if thing.kind != "data")

    def _draws(self, node: ast.Call, name: str, last: str, given: Given) -> bool:
        """Record a draw from a global stream; True for an object that will draw when it is used."""
        if purity.GLOBAL_STREAM.match(name):
            self.draw(name, node)
        states = [word for word in node.keywords if word.arg in ("random_state", "rng", "seed", None)]
        decided = any(not (isinstance(k.value, ast.Constant) and k.value.value is None) for k in states)
        shuffles = any(k.arg == "shuffle" and not (isinstance(k.value, ast.Constant) and not k.value.value)
                       for k in node.keywords)  # fmt: skip
        drawing = (last in purity.DRAWING or (last in purity.SHUFFLING and shuffles)) and not decided
        if name.startswith(("pandas.", "numpy.", "math.")):
            return False
        if drawing and not is_class(last):
            self.draw(name, node)
        held = any(thing.random for thing in self.memory.below(given.all))
        if held and not is_class(last) and not last.startswith("make_"):
            self.draw(name, node)  # `cross_val_score(model, …)` fits a model that draws
        return drawing or held

    def draw(self, what: str, node: ast.AST) -> None:
        self.draws.setdefault((what, self.at(node)))

    def _builtin(self, node: ast.Call, name: str, given: Given) -> Things:
        if name in ("setattr", "delattr") and given.positional:
            self.change(given.positional[0], node)
            self.memory.hold(given.positional[0], given.all - given.positional[0])
            return NOTHING
        if name in ("next", "anext", "aiter") and given.positional:
            return self.iterated(given.positional[0], node, advances=True) | given.all
        if name in purity.PLAIN_BUILTINS:
            for things in given.positional[:1] if name in ("any", "all") else ():
                self.iterated(things, node)
            return NOTHING
        if name in purity.COPYING_BUILTINS:
            inside = frozenset(t for things in given.positional for t in self.iterated(things, node))
            returned = self._called_back(node, given, inside)
            named = frozenset(t for things in (given.named or {}).values() for t in things)
            holding = inside | returned | named | self.memory.contents(given.any) | given.any
            if name in ("max", "min", "sum", "getattr"):
                return holding | (given.all if name in ("max", "min") else NOTHING)
            return self.made(node, "literal", holding)
        if name == "super":
            return next((f.points.get("self", NOTHING) for f in reversed(self.frames) if "self" in f.names), NOTHING)
        if name in ("vars", "globals", "locals", "eval", "exec"):
            return self.memory.contents(given.all)
        return self.made(node, "object", given.all) if name not in EXCEPTIONS else NOTHING

    def _says_in_place(self, node: ast.Call, receiver: Things, given: Given) -> bool:
        """`inplace=True` changes the object, `out=` what is handed over."""
        found = False
        for keyword in node.keywords:
            off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            if keyword.arg == "out" and not off and given.named:
                self.change(given.named["out"], node, memory=True)
                found = True
            found = found or (keyword.arg == "inplace" and not off)
        return found

    def _looked_at(self, node: ast.Call, receiver: Things, method: str, given: Given) -> Things:
        """What a pure method gives: a part of the object, or something new."""
        row = receiver if method == "pipe" else self.made(node, "data", what="row")
        inner = self.memory.contents([thing for thing in receiver if thing.kind != "data"])
        returned = self._called_back(node, given, row | inner)
        if method in purity.VIEWING:
            if method in ("items", "values", "keys", "iterrows", "itertuples"):
                return self.made(node, "literal", self.memory.contents(receiver))
            looked = self.made(node, "data", receiver) if any(t.kind != "literal" for t in receiver) else NOTHING
            kept = given.all if method in ("get", "pipe") else NOTHING
            return self.memory.contents(receiver) | looked | returned | kept
        if not receiver and not returned:
            return NOTHING
        return self.made(node, "data", returned)

    def _copied(self, node: ast.Call, receiver: Things) -> Things:
        if not receiver:
            return NOTHING
        literal = [thing for thing in receiver if thing.kind == "literal"]
        if literal:
            return self.made(node, "literal", self.memory.contents(literal))
        kind = "data" if all(thing.kind == "data" for thing in receiver) else "unknown"
        held = {held for t in receiver for held in self.memory.holds.get(t, ()) if not held.part}
        return self.made(node, kind, held)  # type: ignore[arg-type]  # one of two literals

    def _container(self, node: ast.Call, receiver: Things, method: str, given: Given) -> Things:
        built = all(thing.kind == "literal" for thing in receiver)
        self.change(receiver if built else self._reached(receiver), node, memory=not built)
        added = set(given.all)
        if method in ("extend", "update", "extendleft") or not built:
            added |= {t for things in given.positional for t in self.iterated(things, node)}
        self.memory.hold(receiver, added)
        if method in ("pop", "popitem", "popleft", "setdefault"):
            return self.memory.contents(receiver) | given.all
        return NOTHING if built else receiver

    def _method_draws(self, node: ast.Call, receiver: Things, method: str) -> None:
        stated = any(keyword.arg in ("random_state", None) for keyword in node.keywords)
        draws = not stated and (method == "rvs" or (method == "sample" and is_frames_sample(node, receiver)))
        if draws or (not purity.changes_nothing(method) and any(t.random for t in self.memory.below(receiver))):
            self.draw(f".{method}", node)


EXCEPTIONS = frozenset(name for name in BUILTINS if name.endswith(("Error", "Warning", "Exception", "Exit")))


def is_class(name: str) -> bool:
    return name[:1].isupper()


def is_frames_sample(node: ast.Call, receiver: Things) -> bool:
    """Whether `.sample(…)` is a frame's: a generator has such a method too, and changes itself."""
    words = {keyword.arg for keyword in node.keywords}
    return bool(words & {"frac", "random_state", "weights", "axis", "n"}) or all(t.kind == "data" for t in receiver)


def shell_names(text: str) -> Iterable[str]:
    """The names that IPython looks for in a shell line or a magic: `{path}`, `{n + 1}`, `$path`."""
    found: dict[str, None] = {}
    for braces, word in IN_TEXT.findall(text):
        try:
            tree = ast.parse((braces or word).strip(), mode="eval")
        except (SyntaxError, ValueError):
            continue
        found |= dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return found
