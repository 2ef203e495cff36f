"""What of the project is not in the notebook: every difference of its code is told, with the place where it stands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from nb2prod.core.origin import Origin
from nb2prod.stages.syncing.proving import Refused
from nb2prod.stages.syncing.segments import Unclear, functions_in
from nb2prod.stages.syncing.statements import placed_items

WHY = {
    "settings.py": "settings come from the parameters of the notebook: change them there",
    "pipeline.py": "the order of the steps, and what they hand on, come from the notebook's cells",
    "__main__.py": "the command line comes from the parameters of the notebook",
    "__init__.py": "it comes from the notebook's first heading",
}


def left_over(now: Mapping[str, str], made: Origin, known: Collection[tuple[str, str]]) -> Iterator[Refused]:
    """The differences between the project's modules and the export of the notebook that was brought up to date.

    `known` are functions (file, name) about which something is told already.
    """
    source = f"src/{made.package}/"
    for name in sorted({*now, *made.texts}):
        if name.startswith(source) and name.endswith(".py"):
            yield from _of_module(name, now.get(name), made.texts.get(name), known)


def own_files(now: Mapping[str, str], before: Mapping[str, str], package: str) -> tuple[str, ...]:
    """Changed and new files that have no part in the notebook: of the project alone."""
    source = f"src/{package}/"
    names = {*before, *now}
    return tuple(sorted(n for n in names if not n.startswith(source) and now.get(n) != before.get(n)))


def first_difference(text: str, other: str) -> str:
    """What two modules say differently, whatever their layout and the order of their imports; empty when nothing."""
    try:
        here, there = placed_items(text), placed_items(other)
    except Unclear:
        return "the code"
    keys = [key for key in {**here, **there} if here.get(key, (0, None))[1] != there.get(key, (0, None))[1]]
    return keys[0] if keys else ""


def _of_module(name: str, now: str | None, made: str | None, known: Collection[tuple[str, str]]) -> Iterator[Refused]:
    if now is None:
        yield Refused(name, 1, "", "the file is gone; the notebook still makes it")
        return
    if made is None:
        yield Refused(name, 1, "", "the file is the project's own: no cell makes it")
        return
    try:
        here, there = placed_items(now), placed_items(made)
    except Unclear as error:
        yield Refused(name, error.line, "", str(error))
        return
    for key, (line, text) in here.items():
        if (name, key) not in known and there.get(key, (0, ""))[1] != text:
            yield from _item(name, key, line, now, made, new=key not in there)
    for key in there.keys() - here.keys():
        if (name, key) not in known:
            yield Refused(name, 1, key, f"{key} is gone; the notebook still makes it")


def _item(name: str, key: str, line: int, now: str, made: str, *, new: bool) -> Iterator[Refused]:
    file = name.rpartition("/")[2]
    if file == "steps.py" and not new and key in functions_in_or_none(now) and key in functions_in_or_none(made):
        yield from _of_function(name, key, line, now, made)
    elif file == "steps.py" and new:
        yield Refused(name, line, key, f"{key} is new: a step is made of tagged cells, write it in the notebook")
    else:
        why = WHY.get(file, "it stands outside of the step functions")
        yield Refused(name, line, key, f"{key} differs from the notebook: {why}")


def _of_function(name: str, key: str, line: int, now: str, made: str) -> Iterator[Refused]:
    """What surrounds the statements of a step function."""
    here, there = functions_in(now)[key], functions_in(made)[key]
    if here.docstring.split() != there.docstring.split():
        yield Refused(name, line, key, "its docstring is the Markdown above the cell: change it there")
    if (here.takes, here.gives) != (there.takes, there.gives):
        yield Refused(name, line, key, "what it takes and returns, and their types, come from the notebook's cells")


def functions_in_or_none(text: str) -> Collection[str]:
    try:
        return functions_in(text)
    except Unclear:
        return ()
