"""How strict `nb2prod check` is: `[tool.nb2prod.check]` of the nearest `pyproject.toml` above the notebook.

    [tool.nb2prod.check]
    ignore = ["untested-step"]           never told
    select = ["no-seed", "secret"]       told only these
    severity = { secret = "error" }      told as something worse, or milder
    fail-on = "warning"                  the exit code is 3 from there on (default: error)

Nothing here touches errors that a check itself gives: they are told, whatever is selected, and cannot be made milder.
A word that is none is refused, with the nearest that is.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.core.finding import SEVERITIES, Finding, Severity

KEYS = ("ignore", "select", "severity", "fail-on")


@dataclass(frozen=True, slots=True)
class Settings:
    """`select` is None when everything is told."""

    ignore: frozenset[str] = frozenset()
    select: frozenset[str] | None = None
    severity: Mapping[str, Severity] = field(default_factory=dict)
    fail_on: Severity = "error"

    def applied(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """What is told of the findings, each with the severity that it has here."""
        return tuple(self._judged(finding) for finding in findings if self._told(finding))

    def _told(self, finding: Finding) -> bool:
        if finding.severity == "error":
            return True
        return finding.code not in self.ignore and (self.select is None or finding.code in self.select)

    def _judged(self, finding: Finding) -> Finding:
        severity = self.severity.get(finding.code, finding.severity)
        return finding if finding.severity == "error" else dataclasses.replace(finding, severity=severity)

    def failed(self, findings: Iterable[Finding]) -> bool:
        """Whether one of the findings, as they are told, is as bad as `fail_on`."""
        return any(SEVERITIES.index(finding.severity) <= SEVERITIES.index(self.fail_on) for finding in findings)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; it wins over the file."""

    ignore: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    fail_on: Severity | None = None


def settings_for(notebook: Path, wanted: Wanted, codes: Collection[str], errors: Collection[str]) -> Settings:
    """The settings that hold for a notebook. `codes` are all there are, `errors` those that cannot be settled."""
    found = _found(notebook.absolute().parent)
    settings = Settings() if found is None else _settings(*found, codes, errors)
    for code in (*wanted.ignore, *wanted.select):
        _known(code, codes, "the command line", "a code")
    for code in wanted.ignore:
        _no_error(code, errors, "the command line")
    return dataclasses.replace(
        settings,
        ignore=settings.ignore | set(wanted.ignore),
        select=frozenset(wanted.select) if wanted.select else settings.select,
        fail_on=wanted.fail_on or settings.fail_on,
    )


@lru_cache(maxsize=256)
def _found(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The nearest file that speaks of nb2prod, with its table."""
    for above in (folder, *folder.parents):
        file = above / "pyproject.toml"
        if file.is_file():
            table = _table(file)
            if table is not None:
                return file, table
    return None


def _table(file: Path) -> dict[str, Any] | None:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"it is no TOML: {error}", where=str(file), fix="correct the file") from error
    ours = document.get("tool", {}).get("nb2prod")
    if not isinstance(ours, dict):
        return None
    for key in ours:
        if key != "check" and difflib.get_close_matches(key, ["check"]):
            raise UsageError(f"[tool.nb2prod.{key}] means nothing", where=str(file), fix="did you mean 'check'?")
    table = ours.get("check", {})
    if not isinstance(table, dict):
        raise UsageError("tool.nb2prod.check is no table", where=str(file), fix="write [tool.nb2prod.check]")
    return table


def _settings(file: Path, table: Mapping[str, Any], codes: Collection[str], errors: Collection[str]) -> Settings:
    where = f"{file} [tool.nb2prod.check]"
    for key in table:
        _known(key, KEYS, where, "a key")
    severity = table.get("severity", {})
    if not isinstance(severity, dict):
        raise UsageError("severity is no table", where=where, fix='write severity = { no-seed = "error" }')
    for code, word in severity.items():
        _known(code, codes, where, "a code")
        _known(word, SEVERITIES, where, "a severity")
        _no_error(code, errors, where)
    ignore = _codes(table, "ignore", codes, where)
    for code in ignore or ():
        _no_error(code, errors, where)
    fail_on = table.get("fail-on", "error")
    _known(fail_on, SEVERITIES, where, "a severity")
    return Settings(ignore or frozenset(), _codes(table, "select", codes, where), severity, fail_on)


def _codes(table: Mapping[str, Any], key: str, codes: Collection[str], where: str) -> frozenset[str] | None:
    given = table.get(key)
    if given is None:
        return None
    if not isinstance(given, list):
        raise UsageError(f"{key} is no list", where=where, fix=f'write {key} = ["no-seed"]')
    for code in given:
        _known(code, codes, where, "a code")
    return frozenset(given)


def _known(word: Any, words: Collection[str], where: str, what: str) -> None:
    if word not in words:
        near = difflib.get_close_matches(str(word), words, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(words))}"
        raise UsageError(f"{word!r} is not {what} that there is", where=where, fix=fix)


def _no_error(code: str, errors: Collection[str], where: str) -> None:
    if code in errors:
        fix = "correct the notebook: no pipeline that one can trust comes out of it"
        raise UsageError(f"{code} is an error, which cannot be ignored or made milder", where=where, fix=fix)
