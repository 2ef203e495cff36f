"""What a consumer of packages allows: a value, made from a `policy.toml`, that no package has a say in.

A rule is one key of that file. What stands against a package is a `Breach`, which names the rule that would allow it;
nothing is allowed by itself. `DEFAULT` is what holds where there is no policy.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal

from nb2prod.core.errors import UsageError
from nb2prod.core.package_contents import NameSeen, PackageContents

SCHEMA = "nb2prod/policy/1"
KNOWN = "known"  # the word for nb2prod's own list of types
Allowance = Literal["allow", "signed", "deny"]
_ALLOWANCES = ("allow", "signed", "deny")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(B|KB|MB|GB|TB)")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, slots=True)
class Policy:
    """`place` is the file that it was read from, empty for the default.

    `types` are patterns of the names that a skops file may hold, `known` stands for nb2prod's list; `pickle_names`
    the same for pickles, where empty means any. `code` and `pickle` say who may bring code of its own, or a pickle,
    which is code: anybody, who signs with one of `keys`, or nobody. `identities` are names in certificates.
    """

    place: str = ""
    formats: tuple[str, ...] = ("*",)
    types: tuple[str, ...] = (KNOWN,)
    pickle: Allowance = "allow"
    pickle_names: tuple[str, ...] = ()
    code: Allowance = "allow"
    plain_folders: Allowance = "allow"
    signature: Literal["optional", "required"] = "optional"
    keys: tuple[str, ...] = ()
    maximum_size: int = 20 * 10**9
    maximum_files: int = 20_000
    licences: tuple[str, ...] = ("*",)

    @property
    def is_default(self) -> bool:
        return not self.place


DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Breach:
    """`what` in the package is against the rule; `allow` is the line of a policy that would allow it."""

    what: str
    rule: str
    allow: str


# -- reading --------------------------------------------------------------------------------------------------------


def from_mapping(content: Mapping[str, Any], place: str) -> Policy:
    """The policy that a TOML document says. Raises UsageError for a key or value that is none."""
    known = {field.name for field in fields(Policy)} - {"place"}
    for key in content.keys() - known - {"schema"}:
        near = difflib.get_close_matches(key, known, 1)
        raise _wrong(place, f"there is no rule {key}", f"{near[0]}?" if near else f"rules: {', '.join(sorted(known))}")
    if content.get("schema", SCHEMA) != SCHEMA:
        raise _wrong(place, f"it is not of the schema {SCHEMA}", f'write schema = "{SCHEMA}"')
    values = {key: _READERS[key](content[key], key, place) for key in content.keys() & known}
    return Policy(place=place, **values)


def _wrong(place: str, what: str, fix: str) -> UsageError:
    return UsageError(f"the policy cannot be used: {what}", where=place, fix=fix)


def _patterns(value: Any, key: str, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _wrong(place, f"{key} is no list of texts", f'write {key} = ["…"]')
    return tuple(value)


def _one_of(*allowed: str) -> Callable[[Any, str, str], Any]:
    def read(value: Any, key: str, place: str) -> Any:
        if value not in allowed:
            raise _wrong(place, f"{key} is {value!r}", f"write one of {', '.join(allowed)}")
        return value

    return read


def _size(value: Any, key: str, place: str) -> int:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _wrong(place, f"{key} is {value!r}", f'write a size as {key} = "500 MB"')
    return round(float(found[1]) * _UNITS[found[2]])


def _count(value: Any, key: str, place: str) -> int:
    if type(value) is not int or value < 1:
        raise _wrong(place, f"{key} is {value!r}", f"write {key} = 1000")
    return value


_READERS: dict[str, Callable[[Any, str, str], Any]] = {
    "formats": _patterns,
    "types": _patterns,
    "pickle": _one_of(*_ALLOWANCES),
    "pickle_names": _patterns,
    "code": _one_of(*_ALLOWANCES),
    "plain_folders": _one_of("allow", "deny"),
    "signature": _one_of("optional", "required"),
    "keys": _patterns,
    "maximum_size": _size,
    "maximum_files": _count,
    "licences": _patterns,
}


# -- writing --------------------------------------------------------------------------------------------------------

_SAID = {
    "formats": "how models may be written: skops, cloudpickle, pickle, onnx, xgboost, lightgbm …",
    "types": f'what a skops file may hold; "{KNOWN}" is nb2prod\'s own list: classes and pure functions of\n'
    "# scikit-learn, scipy and numpy, a few builtins, and what the package's own module defines",
    "pickle": "allow, signed (by one of the keys below) or deny; unpickling can run anything",
    "pickle_names": "what a pickle may name, as module.name; empty: anything",
    "code": "allow, signed or deny: code of the package's own, other than what nb2prod itself put there",
    "plain_folders": "allow or deny: MLflow model folders that are no packages, which have no checksums",
    "signature": "optional or required",
    "keys": "public keys (PEM files, beside this file) of those whose signature counts",
    "maximum_size": "of all files, unpacked",
    "maximum_files": "how many files a package may have",
    "licences": "SPDX names that licences.json may list",
}


def as_toml(policy: Policy) -> str:
    """The policy as the file that says it, every rule with a line on what it is."""
    lines = [f'schema = "{SCHEMA}"']
    for name, said in _SAID.items():
        lines += ["", f"# {said}", f"{name} = {_toml(name, getattr(policy, name))}"]
    return "\n".join(lines)


def _toml(name: str, value: Any) -> str:
    if name == "maximum_size":
        return f'"{size_of(value)}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(quoted(item) for item in value) + "]"
    return str(value) if isinstance(value, int) else quoted(value)


def quoted(text: str) -> str:
    """A TOML string: JSON's escapes are among TOML's."""
    import json

    return json.dumps(text, ensure_ascii=True)


def size_of(size: int) -> str:
    unit = next((unit for unit, many in reversed(_UNITS.items()) if size >= many), "B")
    number = f"{size / _UNITS[unit]:.1f}".removesuffix(".0")
    return f"{number} {unit}"


# -- judging --------------------------------------------------------------------------------------------------------


def breaches(
    policy: Policy, contents: PackageContents, *, signed_by: str, is_known: Callable[[NameSeen], bool]
) -> tuple[Breach, ...]:
    """Everything that stands against the package. `signed_by` is who signed it with one of the policy's keys, empty
    for nobody; `is_known` whether a name is on nb2prod's list.
    """
    return (
        *_folder(policy, contents),
        *_signature(policy, signed_by),
        *_formats(policy, contents),
        *_types(policy, contents, is_known),
        *_pickles(policy, contents, signed_by),
        *_code(policy, contents, signed_by),
        *_licences(policy, contents),
    )


def _folder(policy: Policy, contents: PackageContents) -> Iterable[Breach]:
    if not contents.is_package and policy.plain_folders == "deny":
        yield Breach("it is no package: it has no checksums", "plain_folders", 'plain_folders = "allow"')
    if contents.size > policy.maximum_size:
        size = size_of(contents.size)
        yield Breach(
            f"it has {size}, more than {size_of(policy.maximum_size)}", "maximum_size", f'maximum_size = "{size}"'
        )
    if len(contents.files) > policy.maximum_files:
        many = len(contents.files)
        yield Breach(f"it has {many} files", "maximum_files", f"maximum_files = {many}")


def _signature(policy: Policy, signed_by: str) -> Iterable[Breach]:
    if policy.signature == "required" and not signed_by:
        yield Breach("nobody whose key the policy has signed it", "signature", 'keys = ["THEIR-KEY.pem"]')


def _formats(policy: Policy, contents: PackageContents) -> Iterable[Breach]:
    for name in contents.formats:
        if not matches(name, policy.formats):
            yield Breach(f"a model is written as {name}", "formats", f"formats = [{quoted(name)}]")


def _types(policy: Policy, contents: PackageContents, is_known: Callable[[NameSeen], bool]) -> Iterable[Breach]:
    patterns = [pattern for pattern in policy.types if pattern != KNOWN]
    held = tuple(_names_in(contents, "skops"))
    only_trusted = set(contents.trusted) - {seen.name for seen in held}
    for seen in (*held, *(NameSeen(name, "", "value") for name in sorted(only_trusted))):
        if not matches(seen.name, patterns) and not (KNOWN in policy.types and is_known(seen)):
            what = f"it trusts {seen.name}, which none of its files has"
            what = f"{seen.file} holds {seen.name}" if seen.file else what
            yield Breach(what, "types", f"types = [{quoted(seen.name)}]")


def _names_in(contents: PackageContents, kind: str) -> Iterable[NameSeen]:
    """The names in files of a kind; one that is used in two ways is there in both."""
    files = {file.path for file in contents.files if file.kind == kind}
    return {(seen.name, seen.use): seen for seen in contents.names if seen.file in files}.values()


def _pickles(policy: Policy, contents: PackageContents, signed_by: str) -> Iterable[Breach]:
    found = [permission for permission in contents.permissions if permission.kind == "pickle"]
    if found and not _is_allowed(policy.pickle, signed_by):
        files = ", ".join(permission.where for permission in found)
        yield Breach(f"{files}: a pickle, which can run any code", "pickle", _allowing("pickle", policy.pickle))
    if policy.pickle_names:
        for seen in _names_in(contents, "pickle"):
            if not matches(seen.name, policy.pickle_names):
                yield Breach(f"{seen.file} names {seen.name}", "pickle_names", f"pickle_names = [{quoted(seen.name)}]")


def _code(policy: Policy, contents: PackageContents, signed_by: str) -> Iterable[Breach]:
    if _is_allowed(policy.code, signed_by):
        return
    native = [permission for permission in contents.permissions if permission.kind == "native"]
    foreign = [code.path for code in contents.code if not code.own] + [permission.where for permission in native]
    if foreign:
        yield Breach(f"{', '.join(foreign)}: code of its own", "code", _allowing("code", policy.code))


def _licences(policy: Policy, contents: PackageContents) -> Iterable[Breach]:
    for licence in contents.licences:
        if not matches(licence, policy.licences):
            yield Breach(f"it needs a library under {licence}", "licences", f"licences = [{quoted(licence)}]")


def _is_allowed(allowance: Allowance, signed_by: str) -> bool:
    return allowance == "allow" or (allowance == "signed" and bool(signed_by))


def _allowing(rule: str, allowance: Allowance) -> str:
    signed = ", or sign it with one of the policy's keys" if allowance == "signed" else ""
    return f'{rule} = "allow"{signed}'


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def needs_signature(policy: Policy) -> bool:
    """Whether who signed a package makes a difference."""
    return policy.signature == "required" or "signed" in (policy.pickle, policy.code)
