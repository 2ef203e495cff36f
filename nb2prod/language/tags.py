"""The grammar of cells: what a code cell is for, said by its tags or by a magic on its first line.

    ["step:train", "model:model"]      is the same as      %%step train --model model

Foreign vocabularies are translated to these words first (`dialects.py`). A tag that nobody knows is kept and ignored;
one that looks like a misspelling of ours is reported by `misspelled`.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from nb2prod.core.pipeline import Role, RoleKind

BARE: tuple[str, ...] = ("parameters", "imports", "functions", "setup", "test", "skip")
NAMED: tuple[str, ...] = ("step", "test")
OPTIONS: tuple[str, ...] = ("after", "metric", "model", "example", "plot", "retries", "timeout", "cache", "reads")
MAGICS: tuple[str, ...] = ("parameters", "imports", "functions", "setup", "step", "test")
# words of other tools that may stand on a cell and mean nothing to us (see docs/tags.md)
FOREIGN = re.compile(
    r"(papermill-error-cell-tag|raises-exception|(remove|hide)[-_](cell|input|output)|scrolled|no-?stderr|nbval.*"
    r"|image|limit|secret|label|annotation|report|notebook|collapsed|jupyter.*|soorgeon-.*|export.*|default parameters)"
    r"(:.*)?$",
    re.IGNORECASE,
)
STEP_NAME = re.compile(r"[A-Za-z_][\w.-]{0,99}\Z")
# what tells a cell's source apart from a step's (`core.pipeline.Binding.source`), and a test's id
RESERVED = (*BARE, "exploration", "pipeline")
MAGIC_LINE = re.compile(r"\s*%%(?P<name>\w+)(?P<arguments>[^\n]*)(?:\n|$)")


@dataclass(frozen=True, slots=True)
class Words:
    """What tags or a magic say, before it is judged: the roles named, the options, and what is wrong with them."""

    roles: tuple[tuple[RoleKind, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spoken:
    """The role of a cell and the problems with how it was said (each a sentence for a finding)."""

    role: Role
    problems: tuple[str, ...] = field(default=())


def role_of(source: str, tags: Iterable[str]) -> Spoken:
    """The role of one code cell. A magic and tags may both speak; two different roles are a problem."""
    magic = MAGIC_LINE.match(source)
    spoken = [of_tags(tags)]
    body, offset = source, 0
    if not magic or magic["name"] not in MAGICS:
        spoken.append(Words(problems=_unheard(source)))
    if magic and magic["name"] in MAGICS:
        spoken.append(of_magic(magic["name"], magic["arguments"]))
        body, offset = source[magic.end() :], source[: magic.end()].count("\n")
    roles = tuple(dict.fromkeys(role for words in spoken for role in words.roles))
    options = tuple(option for words in spoken for option in words.options)
    problems = [problem for words in spoken for problem in words.problems]
    if len(roles) > 1 and ("skip", "") not in roles:
        problems.append(f"the cell has {len(roles)} roles: {', '.join(_spelled(role) for role in roles)}")
    role_words: tuple[RoleKind, str] = (
        ("skip", "") if ("skip", "") in roles else roles[0] if roles else ("exploration", "")
    )
    kind, name = role_words
    if options and kind not in ("step", "skip"):
        problems.append(f"{options[0][0]}:{options[0][1]} belongs on a step, and this cell is none")
    role, wrong = _role(kind, name, body, offset, options)
    return Spoken(role, (*problems, *wrong))


def _unheard(source: str) -> tuple[str, ...]:
    """A magic that was probably meant to be one of ours, and would do nothing: below another line, or misspelled."""
    for line in source.splitlines():
        word = re.match(r"\s*(%{1,2})(\w+)", line)
        if word and word[2] in MAGICS:
            place = "stands below another line" if word[1] == "%%" else "has one % too few"
            return (f"{word[0].strip()} {place}: write %%{word[2]} on the first line of the cell",)
        near = difflib.get_close_matches(word[2].lower(), MAGICS, n=1, cutoff=0.75) if word and word[1] == "%%" else []
        if near and word:
            return (f"{word[0].strip()} is no magic: did you mean %%{near[0]}?",)
        if line.strip() and not line.lstrip().startswith(("#", "%")):
            break
    return ()


def of_tags(tags: Iterable[str]) -> Words:
    """`["step:train", "model:model"]` as words. Tags that are none of ours are left out here."""
    roles: list[tuple[RoleKind, str]] = []
    options: list[tuple[str, str]] = []
    problems: list[str] = []
    for tag in tags:
        word, colon, rest = tag.partition(":")
        if not colon and word in BARE:
            roles.append((word, ""))  # type: ignore[arg-type]  # BARE holds role kinds only
        elif colon and word in NAMED:
            problems += _name_problems(tag, rest)
            roles.append((word, rest))  # type: ignore[arg-type]  # NAMED holds role kinds only
        elif colon and word in OPTIONS:
            options.append((word, rest))
    return Words(tuple(roles), tuple(options), tuple(problems))


def of_magic(magic: str, arguments: str) -> Words:
    """`%%step train --model model` as words: the same words as the tags would give."""
    try:
        words = shlex.split(arguments, comments=True)
    except ValueError as error:
        return Words(problems=(f"%%{magic}{arguments}: {error}",))
    options: list[tuple[str, str]] = []
    problems: list[str] = []
    names: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        option, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            names.append(word)
        elif option not in OPTIONS:
            near = difflib.get_close_matches(option, OPTIONS, n=1)
            problems.append(f"%%{magic} has no option --{option}" + (f": did you mean --{near[0]}?" if near else ""))
        elif equals:
            options.append((option, value))
        elif position + 1 < len(words):
            position += 1
            options.append((option, words[position]))
        else:
            problems.append(f"%%{magic} --{option} needs a value")
        position += 1
    if len(names) > 1 or (names and magic not in NAMED):
        problems.append(f"%%{magic} does not take {names[-1]!r}")
    name = names[0] if names and magic in NAMED else ""
    if magic == "step" or name:
        problems += _name_problems(f"%%{magic}", name)
    return Words(((magic, name),), tuple(options), tuple(problems))  # type: ignore[arg-type]  # MAGICS are role kinds


def is_ours(tag: str) -> bool:
    word, colon, _ = tag.partition(":")
    return word in (*NAMED, *OPTIONS) if colon else word in BARE


def misspelled(tag: str) -> str | None:
    """The tag of ours that this one was probably meant to be; None when it is ours, or clearly another tool's."""
    if is_ours(tag) or FOREIGN.match(tag):
        return None
    word, colon, rest = tag.partition(":")
    known = (*NAMED, *OPTIONS) if colon else BARE
    plain = word.strip().lower().replace(" ", "")
    near = [plain] if plain in known else difflib.get_close_matches(plain, known, n=1, cutoff=0.75)
    if not near and not colon:
        # `step train`, `step-train`: the colon is what is missing
        joined = re.match(rf"\s*({'|'.join((*NAMED, *OPTIONS))})\s*[ =_-]\s*(\w+)\s*$", tag, re.IGNORECASE)
        return f"{joined[1].lower()}:{joined[2]}" if joined else None
    return f"{near[0]}{colon}{rest.strip()}" if near else None


def _name_problems(spelled: str, name: str) -> list[str]:
    if name in RESERVED:
        return [f"no step can be named {name!r}, which means something else here: choose another name"]
    if STEP_NAME.match(name) and not name.endswith("."):
        return []
    return [f"{spelled!r} needs a name of at most 100 letters, digits, `_`, `-` and `.`, such as step:train"]


def _spelled(role: tuple[str, str]) -> str:
    return ":".join(word for word in role if word)


def _role(
    kind: RoleKind, name: str, body: str, offset: int, options: tuple[tuple[str, str], ...]
) -> tuple[Role, list[str]]:
    said: dict[str, tuple[str, ...]] = {}
    for option, value in options:
        said[option] = (*said.get(option, ()), value)
    problems: list[str] = []
    retries = _number(said, "retries", int, problems)
    timeout = _number(said, "timeout", float, problems)
    cache = said.get("cache", ("on",))[-1].lower()
    if cache not in ("on", "off", "enabled", "disabled"):
        problems.append(f"cache:{cache} is neither cache:on nor cache:off")
    for option in ("metric", "model", "example", "plot"):
        problems += [
            f"{option}:{value} is not a name that a cell can bind"
            for value in said.get(option, ())
            if not value.isidentifier()
        ]
    role = Role(
        kind=kind,
        name=name,
        body=body,
        line_offset=offset,
        after=said.get("after", ()),
        metrics=said.get("metric", ()),
        models=said.get("model", ()),
        examples=said.get("example", ()),
        plots=said.get("plot", ()),
        retries=int(retries or 0),
        timeout=timeout,
        cache=cache not in ("off", "disabled"),
        reads=said.get("reads", ()),
        options=said,
    )
    return role, problems


def _number(
    said: dict[str, tuple[str, ...]], option: str, kind: type[int] | type[float], problems: list[str]
) -> float | None:
    if option not in said:
        return None
    try:
        number = kind(said[option][-1])
    except ValueError:
        number = kind(-1)
    if not 0 <= number < 1e9:
        problems.append(f"{option}:{said[option][-1]} is not a {kind.__name__} that makes sense here")
        return None
    return number
