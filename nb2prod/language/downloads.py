"""A shell line that downloads a file, written so that a download which breaks off leaves no half file.

`!wget https://host/data.csv` that stops in the middle leaves the first half of `data.csv`, and whatever reads it next
takes that for the data. The line written anew downloads to a name of its own in the same folder, and gives the file its
name when all of it is there. On success it does what the line does; where that is not certain (several addresses,
options that change the name, words that the shell or the kernel fills in) there is no rewriting.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

# wget: options that leave the name of the file as it is
_WGET_FLAGS = frozenset(
    str.split(
        "-q --quiet -nv --no-verbose -v --verbose --no-check-certificate --show-progress --no-cache --no-proxy -4 -6"
    )
)
_WGET_VALUES = frozenset(
    str.split("-t --tries -T --timeout -w --wait -U --user-agent --waitretry --limit-rate --progress")
)
_CURL_FLAGS = frozenset(
    str.split(
        "-s --silent -S --show-error -L --location -f --fail -k --insecure -# --progress-bar -4 -6 --compressed -sS"
    )
)
_CURL_VALUES = frozenset(str.split("--retry --retry-delay --connect-timeout -m --max-time -A --user-agent"))
_CURL_LETTERS = re.compile(r"-[sSLfk46#]*[oO]?")
# what a shell or the kernel would fill in or act on, when no quotes stand around it
_FILLED = re.compile(r"[${}`\\!\n]")
_ACTED = re.compile(r"[|&;<>()*\[\]~#]|\s#")
_PLAIN = re.compile(r"[\w.,+@=:-]+")


@dataclass(slots=True)
class _Download:
    """What a line says: `others` are the words that stay as they are."""

    program: str
    others: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    output: str = ""
    folder: str = ""
    remote_name: bool = False

    @property
    def name(self) -> str:
        """The name under which the program keeps the file; empty when that is not certain."""
        tail = self.addresses[0].partition("://")[2].partition("/")[2].rpartition("/")[2]
        return tail if _PLAIN.fullmatch(tail) else ""


def safe(line: str, *, token: str | None = None) -> str | None:
    """The line written anew, for a shell; None where the line is no download or may mean something else.

    `line` is a shell line without its `!`. `token` makes the temporary name; left out, it is random, so that two
    downloads at once do not write to one file.
    """
    words = _words(line)
    found = _parsed(words) if words else None
    if found is None or len(found.addresses) != 1:
        return None
    target = _target(found)
    if not target:
        return None
    part = str(PurePosixPath(target).parent / f".{PurePosixPath(target).name}.{token or secrets.token_hex(4)}.part")
    fetch = f"{_fetching(found, shlex.quote(part))} && mv -f {shlex.quote(part)} {shlex.quote(target)}"
    folder = f"mkdir -p {shlex.quote(found.folder)} && " if found.folder else ""
    whole = f"{folder}(trap {shlex.quote(f'rm -f {shlex.quote(part)}')} EXIT; {fetch})"
    return f"if {_odd(found, shlex.quote(target))}; then {line.strip()}; else {whole}; fi"


def _fetching(found: _Download, part: str) -> str:
    option = "-O" if found.program == "wget" else "-o"
    return f"{shlex.join([found.program, *found.others])} {option} {part} {shlex.quote(found.addresses[0])}"


def _odd(found: _Download, target: str) -> str:
    """Whether the line is to run as it is written: what a link, a device or a folder of that name becomes is the
    program's affair, and wget without -O never writes over a file but takes another name."""
    if found.program == "wget" and not found.output:
        return f"[ -L {target} ] || [ -e {target} ]"
    return f"[ -L {target} ] || ([ -e {target} ] && [ ! -f {target} ])"


def _words(line: str) -> list[str]:
    if _FILLED.search(line):
        return []
    bare = re.sub(r""""[^"]*"|'[^']*'""", "", line)
    if _ACTED.search(bare):
        return []
    try:
        return shlex.split(line)
    except ValueError:
        return []


def _parsed(words: list[str]) -> _Download | None:
    reader = {"wget": _wget, "curl": _curl}.get(words[0])
    found = _Download(words[0])
    return found if reader is not None and reader(found, iter(words[1:])) else None


def _wget(found: _Download, words: Iterator[str]) -> bool:
    """Reads wget's words into `found`; whether every word is understood."""
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in ("-O", "--output-document"):
            found.output = value if equals else next(words, "")
        elif word == "-qO":
            found.others.append("-q")
            found.output = next(words, "")
        elif name in ("-P", "--directory-prefix"):
            found.folder = value if equals else next(words, "")
        elif name in _WGET_VALUES:
            found.others += [word] if equals else [word, next(words, "")]
        elif word in _WGET_FLAGS:
            found.others.append(word)
        elif not _address(found, word):
            return False
    # with -O wget takes no notice of -P
    return not (found.output and found.folder)


def _curl(found: _Download, words: Iterator[str]) -> bool:
    for word in words:
        if word in ("-o", "--output"):
            found.output = next(words, "")
        elif word in ("-O", "--remote-name"):
            found.remote_name = True
        elif word in _CURL_FLAGS:
            found.others.append(word)
        elif word in _CURL_VALUES:
            found.others += [word, next(words, "")]
        elif word.startswith("-") and _CURL_LETTERS.fullmatch(word):
            found.others.append(word.rstrip("oO"))
            if word.endswith("o"):
                found.output = next(words, "")
            found.remote_name = found.remote_name or word.endswith("O")
        elif not _address(found, word):
            return False
    return bool(found.output) != found.remote_name


def _address(found: _Download, word: str) -> bool:
    if not re.match(r"https?://[^\s]+$", word) or (found.program == "curl" and re.search(r"[{}\[\]]", word)):
        return False
    found.addresses.append(word)
    return True


def _target(found: _Download) -> str:
    """The path of the file; empty when it is not certain."""
    if found.output:
        file = PurePosixPath(found.output)
        sure = found.output not in ("-", ".", "..") and not found.output.endswith("/") and file.name
        return found.output if sure and not found.output.startswith(("/dev/", "-")) and "#" not in found.output else ""
    if not found.name:
        return ""
    return str(PurePosixPath(found.folder) / found.name) if found.folder else found.name
