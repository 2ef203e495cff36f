"""The grammar of cells: what a code cell is for, said by its tags or by a magic on its first line.

    ["step:train", "model:model"]      is the same as      %%step train --model model

Foreign vocabularies are translated to these words first (`dialects/`). A tag that nobody knows is kept and ignored;
one that looks like a misspelling of ours is reported by `misspelled`.
"""

from __future__ import annotations

import difflib
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from nb2prod.core.pipeline import Role, RoleKind

BARE: tuple[str, ...] = ("parameters", "imports", "functions", "setup", "test", "skip")
NAMED: tuple[str, ...] = ("step", "test")
OPTIONS: tuple[str, ...] = (
    *("after", "metric", "model", "example", "predict", "plot"),
    *("retries", "retry-on", "timeout", "cache", "reads"),
)
MAGICS: tuple[str, ...] = ("parameters", "imports", "functions", "setup", "step", "test")
STEP_NAME = re.compile(r"[^\W\d][\w.-]*\Z")
LONGEST_NAME = 100
LONGEST_IN_BYTES = 200  # a step's name becomes a part of file names, which end at 255 bytes
# words that a tag may well say although a slip of the pen leads from one of ours to them
REAL_WORDS = frozenset(
    {"best", "mode", "modes", "nest", "pest", "ready", "rest", "ship", "skim", "skin", "slip", "slot", "stem", "stop"}
    | {"text", "vest", "west"}
)
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


NONE: Mapping[str, str] = {}


def role_of(source: str, tags: Iterable[str], magics: Mapping[str, str] = NONE) -> Spoken:
    """The role of one code cell. A magic and tags may both speak; two different roles are a problem.

    `magics` are those of other tools that say the same as a tag of ours, whatever their arguments.
    """
    magic = MAGIC_LINE.match(source)
    spoken = [of_tags(tags)]
    body, offset = source, 0
    if magic and magic["name"] in (*MAGICS, *magics):
        body, offset = source[magic.end() :], source[: magic.end()].count("\n")
    if magic and magic["name"] in MAGICS:
        spoken.append(of_magic(magic["name"], magic["arguments"]))
    elif magic and magic["name"] in magics:
        spoken.append(of_tags((magics[magic["name"]],)))
    else:
        spoken.append(Words(problems=_unheard(source)))
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
        near = _near(word[2].lower(), MAGICS) if word and word[1] == "%%" else None
        if near and word:
            return (f"{word[0].strip()} is no magic: did you mean %%{near}?",)
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
            name = unicodedata.normalize("NFC", rest)
            problems += _name_problems(f"{word}:", name)
            roles.append((word, name))  # type: ignore[arg-type]  # NAMED holds role kinds only
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
    name = unicodedata.normalize("NFC", names[0]) if names and magic in NAMED else ""
    if magic == "step" or name:
        problems += _name_problems(f"%%{magic} ", name)
    return Words(((magic, name),), tuple(options), tuple(problems))  # type: ignore[arg-type]  # MAGICS are role kinds


def is_ours(tag: str) -> bool:
    word, colon, _ = tag.partition(":")
    return word in (*NAMED, *OPTIONS) if colon else word in BARE


def misspelled(tag: str) -> str | None:
    """The tag of ours that this one was probably meant to be; None when it is ours, or means something else.

    Other tools' words are not known here: ask `dialects.known` first.
    """
    said = unicodedata.normalize("NFKC", tag)  # `step：train` has a colon of its own
    if is_ours(tag) or is_ours(said):
        return None if is_ours(tag) else said
    word, colon, rest = said.partition(":")
    name = rest.strip()
    plain = re.sub(r"[\s_-]", "", word.lower())
    if not colon:
        return plain if plain in BARE else _without_colon(said) or _near(plain, BARE)
    if plain in BARE and plain not in NAMED:
        return plain  # `skip:slow`
    near = plain if plain in (*NAMED, *OPTIONS) else _near(plain, (*NAMED, *OPTIONS))
    return f"{near}:{name}" if near else None


def _without_colon(tag: str) -> str | None:
    """`step train`, `step-train`, `metric=auc`: the colon is what is missing."""
    if tag.strip().lower() == "step":
        return "step:NAME"
    joined = re.fullmatch(
        rf"\s*(?:(step)\s*[ =_-]|({'|'.join((*NAMED, *OPTIONS))})\s*=)\s*(\w+)\s*", tag, re.IGNORECASE
    )
    return f"{(joined[1] or joined[2]).lower()}:{joined[3]}" if joined else None


def _near(word: str, known: Iterable[str]) -> str | None:
    """The word that was meant: one slip of the pen away, or nearly the same and long."""
    if word in REAL_WORDS:
        return None
    slips = [there for there in known if _one_slip(word, there)]
    alike = difflib.get_close_matches(word, [there for there in known if len(there) > 6], n=1, cutoff=0.85)
    return next(iter((*slips, *alike)), None)


def _one_slip(word: str, other: str) -> bool:
    """Whether one letter too few, too many, wrong, or two exchanged lead from one word to the other."""
    same = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    a, b = word[same:], other[same:]
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


def _name_problems(before: str, name: str) -> list[str]:
    """What is wrong with a step's name; `before` is what stands before it (`step:`, `%%step `)."""
    if name in RESERVED:
        return [f"no step can be named {name!r}, which means something else here: choose another name"]
    fits = len(name) <= LONGEST_NAME and len(name.encode("utf-8", "replace")) <= LONGEST_IN_BYTES
    if STEP_NAME.match(name) and not name.endswith(".") and fits:
        return []
    rule = f"a name of at most {LONGEST_NAME} letters, digits, `_`, `-` and `.` that begins with a letter"
    if re.search(rf"[\s,;](?:{'|'.join((*NAMED, *OPTIONS))}):", name):
        return [f"{before + name!r} looks like several tags in one: write each as a tag of its own"]
    return [f"{(before + name).strip()!r} needs {rule}, such as {before}{_fitting(name)}"]


def _fitting(name: str) -> str:
    """A name that may stand for one that may not."""
    words = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:30]
    return f"step_{words}" if words[:1].isdigit() else words if STEP_NAME.match(words) else "train"


def _spelled(role: tuple[str, str]) -> str:
    return ":".join(word for word in role if word)


def _role(
    kind: RoleKind, name: str, body: str, offset: int, options: tuple[tuple[str, str], ...]
) -> tuple[Role, list[str]]:
    said: dict[str, tuple[str, ...]] = {}
    for option, value in options:
        said[option] = (*said.get(option, ()), _as_python_has_it(option, value))
    problems: list[str] = []
    retries = _number(said, "retries", int, problems)
    timeout = _number(said, "timeout", float, problems)
    cache = said.get("cache", ("on",))[-1].lower()
    if cache not in ("on", "off", "enabled", "disabled"):
        problems.append(f"cache:{cache} is neither cache:on nor cache:off")
    errors = said.get("retry-on", ())
    problems += [f"retry-on:{name} is not the name of an error" for name in errors if not _is_dotted(name)]
    if errors and not retries:
        problems.append(f"retry-on:{errors[0]} does not say how often: add retries:3")
    for option in ("metric", "model", "example", "predict", "plot"):
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
        predicts=said.get("predict", ()),
        plots=said.get("plot", ()),
        retries=int(retries or 0),
        retry_on=errors,
        timeout=timeout,
        cache=cache not in ("off", "disabled"),
        reads=said.get("reads", ()),
        options=said,
    )
    return role, problems


def _as_python_has_it(option: str, value: str) -> str:
    """A name in the form in which Python binds it (NFKC), a step's name in the one in which steps are named."""
    form: Literal["NFC", "NFKC"] = "NFC" if option == "after" else "NFKC"
    return value if option in ("reads", "cache") else unicodedata.normalize(form, value)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


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
