"""What a notebook says it needs: `%pip install`, `!pip install` and `%conda install` lines, read, not run.

`%pip install -q "pandas>=2" scikit-learn==1.5 -r requirements.txt` declares three requirements. Which versions ran is
another question, and the environment's to answer.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nb2prod.core.pipeline import Pipeline
from nb2prod.language.plain import plain

Manager = Literal["pip", "conda"]

# options of pip and conda that take the next word
_WITH_VALUE = frozenset(
    str.split(
        "-c --constraint -i --index-url --extra-index-url -f --find-links -t --target --prefix --root "
        "--trusted-host --timeout --retries --proxy --cert --client-cert --log --progress-bar --src --platform "
        "--python-version --implementation --abi --only-binary --no-binary --upgrade-strategy --cache-dir -C "
        "--config-settings --report --global-option --root-user-action -n --name -p --channel --solver "
        "--override-channels-file"
    )
)
_FILES = ("-r", "--requirement", "--file")
_EDITABLE = ("-e", "--editable")
_INSTALL = re.compile(
    r"""(?:sudo\s+(?:-\w+\s+)*)?
    (?:(?:["']?(?:\{\s*sys\.executable\s*\}|\$\{?sys\.executable\}?|(?:[\w./~-]*/)?python[\d.]*|(?:[\w./~-]*/)?py)["']?\s+
       -m\s+)?
       (?:[\w./~-]*/)?(?P<pip>pip[\d.]*|uv\s+pip)
     |(?P<conda>conda|mamba|micromamba))
    \s+(?:-\S+\s+)*install\s+(?P<words>.*)""",
    re.VERBOSE,
)
_SHELL_CELL = ("%%bash", "%%sh", "%%!", "%%sx", "%%system", "%%script")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement as the notebook declares it, with its place.

    `requirement` is a line of a requirements file (`pandas>=2`, `-r requirements.txt`, `git+https://…`), credentials
    masked. `problem` says why it is none (a name that only the kernel knows, say); it is empty for a good one.
    """

    requirement: str
    cell: int
    line: int
    manager: Manager = "pip"
    problem: str = ""

    @property
    def project(self) -> str:
        """The name of the package; empty for a file, an address, or what is no requirement."""
        match = re.match(r"[A-Za-z0-9][\w.-]*", self.requirement)
        return match[0] if match and not self.problem and "://" not in self.requirement else ""


def declared(pipeline: Pipeline) -> tuple[Requirement, ...]:
    """The requirements of all cells in order, skipped ones left out, each once."""
    found: dict[tuple[str, str], Requirement] = {}
    for index, role in enumerate(pipeline.roles):
        if role is None or role.kind == "skip":
            continue
        for line, command in _commands(role.body):
            for requirement in of_command(command, cell=index, line=line + role.line_offset):
                found.setdefault((requirement.manager, requirement.requirement), requirement)
    return tuple(found.values())


def of_command(command: str, *, cell: int = 0, line: int = 1) -> tuple[Requirement, ...]:
    """The requirements of one line of a shell: `pip install -q "pandas>=2" && echo done`."""
    return tuple(Requirement(text, cell, line, manager, problem) for manager, text, problem in _installed(command))


def as_file(requirements: tuple[Requirement, ...]) -> str:
    """A requirements file, each line with the cell that declares it.

    A comment is what pip could not read from it: conda's packages, what is no requirement, and the names of files,
    which are not where this one is.
    """
    return "".join(f"{_line(wanted)}\n" for wanted in requirements)


def _line(wanted: Requirement) -> str:
    note = f"  # cell {wanted.cell}" + (f": {wanted.problem}" if wanted.problem else "")
    if wanted.manager == "conda":
        return f"# conda: {wanted.requirement}{note}"
    aside = wanted.problem or wanted.requirement.startswith(("-r ", "-e "))
    return f"{'# ' if aside else ''}{wanted.requirement}{note}"


def public(text: str) -> str:
    """The text without the credentials in its addresses: `https://***@host/simple`."""
    return _CREDENTIALS.sub("***@", text)


def _commands(body: str) -> Iterator[tuple[int, str]]:
    """(line, text) of what a shell is told, `%pip` and `%conda` as the programs that they call."""
    if "install" not in body:
        return
    for magic in plain(body).magics:
        if magic.name in ("%pip", "%conda", "%mamba", "%uv"):
            yield magic.line, f"{magic.name[1:]} {magic.arguments}"
        elif magic.name in ("!", "%sx", "%system", "%%!"):
            yield magic.line, magic.arguments
        if magic.name in _SHELL_CELL:
            yield from ((number, line) for number, line in enumerate(body.split("\n"), 1) if number > magic.line)


def _installed(command: str) -> Iterator[tuple[Manager, str, str]]:
    for part in _parts(command):
        match = _INSTALL.match(part.strip())
        if match is not None:
            manager: Manager = "conda" if match["conda"] else "pip"
            yield from ((manager, *judged) for judged in _requirements(_words(match["words"]), manager))


def _parts(command: str) -> list[str]:
    """The commands of a line: what stands between `&&`, `||`, `;` and `|` outside of quotes."""
    parts = [""]
    for piece in re.findall(r"""\"[^"]*"?|'[^']*'?|&&|[;|]+|[^"'&;|]+|&""", command):
        if piece == "&&" or set(piece) <= {";", "|"}:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # a quote that is not closed
        return text.split()


def _requirements(words: list[str], manager: Manager) -> Iterator[tuple[str, str]]:
    """(text, problem) of each requirement among the words of an `install`."""
    rest = iter(words)
    for word in rest:
        if re.fullmatch(r"\d?>{1,2}|<|&", word) or re.match(r"(?:\d|&)?>{1,2}(?!=)", word):
            return  # from here on the words are the shell's
        option, equals, value = word.partition("=")
        if option in _FILES:
            yield f"-r {public(value if equals else next(rest, ''))}", ""
        elif option in _EDITABLE:
            yield f"-e {public(value if equals else next(rest, ''))}", ""
        elif option in _WITH_VALUE:
            if not equals:
                next(rest, "")
        elif word.startswith("-"):
            continue
        else:
            yield _judged(word, manager)


def _judged(word: str, manager: Manager) -> tuple[str, str]:
    text = public(word)
    if manager == "conda" or _address(word):
        return text, ""
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    if re.search(r"[{}$]", word):
        return text, "the kernel alone knows what it stands for"
    try:
        return str(Parsed(text)), ""
    except InvalidRequirement as error:
        return text, str(error).partition("\n")[0]


def _address(word: str) -> bool:
    """A place to install from rather than a name."""
    return "://" in word or word.startswith((".", "/", "~")) or word.endswith((".whl", ".tar.gz", ".zip"))
